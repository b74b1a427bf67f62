#!/bin/bash
# Makes this machine an API or an orchestrator: boot.sh ROLE LOG-GROUP <SETTINGS, in the folder of a release whose files
# have been checked. The settings are lines NAME=VALUE; in a value, {/name} is an SSM parameter's and {address} this machine's.
set -euo pipefail
umask 077
role=$1 log_group=$2

say() { echo "dynwork: $*"; }

install_release() {
    dnf install --assumeyes --quiet python3.11 python3.11-pip amazon-cloudwatch-agent
    python3.11 -I -m venv --clear /opt/dynwork
    /opt/dynwork/bin/python -I -m pip install --quiet --no-index --find-links . --require-hashes -r requirements.txt
    /opt/dynwork/bin/python -I -m pip install --quiet --no-index --no-deps ./dynwork-*.whl
    chmod -R a+rX /opt/dynwork
}

secret() { # NAME
    local value
    value=$(aws ssm get-parameter --name "$1" --with-decryption --query Parameter.Value --output text)
    if [[ ! $value =~ ^[]A-Za-z0-9._~:,+/=[-]+$ ]]; then
        say "the parameter $1 has characters that an environment file does not keep" >&2
        return 1
    fi
    echo "$value"
}

address() {
    local token
    token=$(curl -sS -f -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
    curl -sS -f -m 5 -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/local-ipv4
}

write_settings() { # reads the settings
    local line name value
    mkdir -p /etc/dynwork
    while read -r line; do
        while [[ $line =~ \{([a-z/][A-Za-z0-9/_.-]*)\} ]]; do
            name=${BASH_REMATCH[1]}
            if [ "$name" = address ]; then value=$(address); else value=$(secret "$name"); fi
            line=${line//"{$name}"/$value}
        done
        echo "$line"
    done >"/etc/dynwork/$role.env"
}

ship_logs() { # what the unit writes goes to CloudWatch, under this machine's id; the file is cut before the disk is full
    cat >/etc/logrotate.d/dynwork <<ROTATE
/var/log/dynwork/*.log {
    size 50M
    rotate 2
    copytruncate
    missingok
}
ROTATE
    cat >/etc/dynwork/logs.json <<AGENT
{"logs": {"logs_collected": {"files": {"collect_list": [
    {"file_path": "/var/log/dynwork/$role.log", "log_group_name": "$log_group", "log_stream_name": "$role {instance_id}"}
]}}}}
AGENT
    /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:/etc/dynwork/logs.json
}

start() {
    mkdir -p /var/log/dynwork
    /opt/dynwork/bin/dynwork unit "$role" --log "/var/log/dynwork/$role.log" >"/etc/systemd/system/dynwork-$role.service"
    systemctl daemon-reload
    systemctl enable --now "dynwork-$role.service"
}

install_release
write_settings
ship_logs
start
say "the $role is started"
