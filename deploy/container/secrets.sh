#!/usr/bin/env bash
# Writes .env for compose.yaml: fresh secrets, readable by you alone. It never overwrites one: the database keeps its password.
set -euo pipefail
cd "$(dirname "$0")"
if [ -e .env ]; then
    echo "dynwork: deploy/container/.env is there already and was left alone; remove it, and the database's volume, to begin anew" >&2
    exit 1
fi
secret() { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
umask 077
cat >.env <<ENV
DYNWORK_DATABASE_PASSWORD=$(secret)
DYNWORK_API_TOKEN=$(secret)
DYNWORK_WORKER_TOKEN=$(secret)
DYNWORK_API_KEYS=team:$(secret)
ENV
echo "dynwork: wrote deploy/container/.env; the key of your client is in DYNWORK_API_KEYS, after team:" >&2
