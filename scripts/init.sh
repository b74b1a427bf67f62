#!/usr/bin/env bash
# Rolls dynwork out to AWS, from an empty account to a checked hash; run again, it updates or changes nothing.
# What it makes is deploy/aws/dynwork.yaml. Nothing is kept on this machine: the stack is the state. See docs/howto/aws.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

USAGE='usage: scripts/init.sh [options]
  --stack NAME           what it is called (default: dynwork)
  --region REGION        where it runs (default: as the AWS CLI is set up)
  --max-workers N        most workers (default: 4)
  --ha, --no-ha          two orchestrators, a database in two zones, a NAT gateway in each; or not (default)
  --certificate ARN      HTTPS with this certificate of ACM (of the same region)
  --insecure-http        no certificate: keys travel in clear
  --alarm-email ADDRESS  who is told of alarms
  --timeout SECONDS      longest that one machine may take until it answers (default: 1200); the stack: an hour
  --new-image            take the latest Amazon Linux 2023 also for what runs already
  --dry-run              say what would be done
  --status               say what runs
  --destroy [--yes]      take everything down, jobs and results included; --yes does not ask
  --help                 this
An option that is left out stays as it is at the next run.'
TEMPLATE=deploy/aws/dynwork.yaml

stack=dynwork region='' max_workers='' ha='' certificate='' insecure='' email='' new_image='' action=deploy sure='' timeout_s=1200 deploying=''
scratch=$(mktemp -d)
# shellcheck source=scripts/aws/ask.sh
. scripts/aws/ask.sh
# shellcheck source=scripts/aws/stack.sh
. scripts/aws/stack.sh
# shellcheck source=scripts/aws/ground.sh
. scripts/aws/ground.sh
# shellcheck source=scripts/aws/machines.sh
. scripts/aws/machines.sh
# shellcheck source=scripts/aws/trial.sh
. scripts/aws/trial.sh
# shellcheck source=scripts/aws/down.sh
. scripts/aws/down.sh

finish() {
    local status=$?
    [ -z "$deploying" ] || kill "$deploying" 2>/dev/null || true # an interrupt does not reach it
    rm -rf "$scratch"
    [ $status != $HOPELESS ] || exit 1
}
trap finish EXIT

refuse() {
    complain "$1"
    printf '%s\n' "$USAGE" >&2
    exit 2
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --stack | --region | --max-workers | --certificate | --alarm-email | --timeout)
            [ $# -gt 1 ] || refuse "$1 needs a value"
            case $1 in
            --stack) stack=$2 ;;
            --region) region=$2 ;;
            --max-workers) max_workers=$2 ;;
            --certificate) certificate=$2 ;;
            --alarm-email) email=$2 ;;
            --timeout) timeout_s=$2 ;;
            esac
            shift
            ;;
        --ha) ha=true ;;
        --no-ha) ha=false ;;
        --insecure-http) insecure=true ;;
        --new-image) new_image=true ;;
        --dry-run) action=plan ;;
        --status) action=status ;;
        --destroy) action=destroy ;;
        --yes) sure=true ;;
        -h | --help) say "$USAGE" && exit ;;
        *) refuse "there is no option $1" ;;
        esac
        shift
    done
    [[ $stack =~ ^[a-z][a-z0-9-]{0,19}$ ]] || refuse "--stack: up to 20 lower-case letters, digits and hyphens, a letter first; not '$stack'"
    [[ $max_workers =~ ^([1-9][0-9]{0,3})?$ ]] || refuse "--max-workers: a number from 1 to 9999, not '$max_workers'"
    [[ $timeout_s =~ ^[1-9][0-9]{0,4}$ ]] || refuse "--timeout: seconds, not '$timeout_s'"
    [[ $certificate =~ ^(arn:aws[a-z-]*:acm:.+)?$ ]] || refuse "--certificate: the ARN of a certificate of ACM, not '$certificate'"
    [[ $email =~ ^([^@[:space:]]+@[^@[:space:]]+)?$ ]] || refuse "--alarm-email: an address, not '$email'"
    [ -z "$certificate" ] || [ -z "$insecure" ] || refuse "--certificate and --insecure-http exclude each other"
}

# Sets $account and $bucket.
check_needs() {
    local said zones
    [ $((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1])) -ge 404 ] || fail "bash 4.4 or later is needed, this is $BASH_VERSION (macOS: brew install bash, or use AWS CloudShell)"
    command -v curl >/dev/null || fail "curl is needed (Debian, Ubuntu: apt install curl)"
    command -v sha256sum >/dev/null || fail "sha256sum is needed (macOS: brew install coreutils, or use AWS CloudShell)"
    command -v openssl >/dev/null || fail "openssl is needed (Debian, Ubuntu: apt install openssl)"
    said=$(aws --version 2>/dev/null) || fail "the AWS CLI, version 2, is needed: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html (AWS CloudShell has it)"
    [[ $said =~ aws-cli/([0-9]+) && ${BASH_REMATCH[1]} -ge 2 ]] || fail "the AWS CLI must be of version 2, and this is ${said%% *}"
    [ -n "$region" ] || region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
    [[ $region =~ ^[a-z]{2}(-[a-z]+)+-[0-9]$ ]] || fail "say in which region, e.g. --region eu-central-1: not '$region'"
    [[ $certificate = '' || $certificate = *":$region:"* ]] || fail "the certificate must be of the region $region, and is $certificate"
    account=$(aws_ sts get-caller-identity --query Account)
    zones=$(aws_ ec2 describe-availability-zones --filters Name=state,Values=available Name=zone-type,Values=availability-zone \
        --query 'length(AvailabilityZones)')
    [ "$zones" -ge 2 ] || fail "two availability zones are needed, and $region has $zones"
    bucket=dynwork-$stack-$account-$region
    [ -z "$certificate" ] || check_certificate
}

check_certificate() {
    local said status=0
    said=$(try acm describe-certificate --certificate-arn "$certificate" --query Certificate.Status) || status=$?
    [ $status != "$ABSENT" ] || fail "there is no certificate $certificate in this account: see 'aws acm list-certificates'"
    [ $status = 0 ] || return $status
    [ "$said" = ISSUED ] || fail "the certificate is $said, and no load balancer takes it until it is ISSUED: see the ACM console"
}

check_transport() { # the first time somebody has to say that keys may travel in clear
    [ -n "$certificate$insecure" ] || is_there ||
        fail "without a certificate keys and data travel in clear over the internet: give --certificate ARN, or say" \
            "--insecure-http if that is what you want (a trial, or a network that only you can reach)"
}

# What was said when the stack was first made, before that is removed.
keep_options() {
    [ -n "$max_workers" ] || max_workers=$(parameter WorkersMax)
    [ -n "$ha" ] || ha=$(parameter HighAvailability)
    [ -n "$email" ] || email=$(parameter AlarmEmail)
    [ -n "$certificate$insecure" ] || certificate=$(parameter CertificateArn)
    [ -n "$certificate" ] || insecure=true
}

# Sets $parameters: what is said now, and what is to be as it was is not said.
choose_parameters() {
    parameters=("ReleaseBucket=$bucket" "Release=$release" "ReleaseSha256=$release_sha256" "ImageId=$image")
    [ -z "$max_workers" ] || parameters+=("WorkersMax=$max_workers")
    [ -z "$ha" ] || parameters+=("HighAvailability=$ha")
    [ -z "$email" ] || parameters+=("AlarmEmail=$email")
    [ -z "$certificate" ] || parameters+=("CertificateArn=$certificate")
    [ -z "$insecure" ] || parameters+=("CertificateArn=")
}

act_plan() {
    local orchestrators='1 orchestrator'
    look_at_stack
    check_transport
    choose_release
    [ "$ha" != true ] || orchestrators='2 orchestrators'
    step "nothing is done: this is what would be, in account $account, $region"
    case $state in
    NONE | REVIEW_IN_PROGRESS) say "the stack $stack is made: network, load balancers, database, 2 APIs, $orchestrators, workers (1 to ${max_workers:-4})" ;;
    ROLLBACK* | CREATE_FAILED | DELETE_FAILED) say "what a failed run left of the stack $stack ($state) is removed, and the stack made" ;;
    *) say "the stack $stack ($state) is updated, where something is different" ;;
    esac
    if release_is_there; then
        say "the release $release is there"
    else
        say "the release $release is built, and put into the bucket $bucket"
    fi
}

act_deploy() {
    look_at_stack
    check_transport
    choose_release
    mend_stack
    ensure_secrets
    ensure_service_roles
    ensure_bucket
    ensure_release
    choose_image
    choose_parameters
    step "the stack $stack, in account $account, $region (the first time: about ten minutes, most of it the database)"
    deploy_stack "${parameters[@]}"
    key=$(read_secret admin-key)
    find_address
    bring_up_to_date
    step "waiting for $url"
    wait_for "$timeout_s" "$url answers" is_ready
    check_key
    wait_for "$timeout_s" "a worker is ready" a_worker_is_ready
    renew_workers
    check_a_hash
    tell_what_runs
}

bring_up_to_date() {
    local orchestrators apis seed_targets api_targets least=1
    orchestrators=$(output OrchestratorGroup) apis=$(output ApiGroup)
    seed_targets=$(output Orchestrators) api_targets=$(output Apis)
    [ "$(parameter HighAvailability)" != true ] || least=2
    ensure_size "$orchestrators" $least
    ensure_size "$apis" 2
    ensure_protection
    replace_outdated orchestrator "$orchestrators" "$seed_targets"
    replace_outdated API "$apis" "$api_targets"
}

tell_what_runs() {
    step "$url/docs"
    [[ $url = *"$host" ]] || say "for this the name must lead to $host: a CNAME record, or an alias"
    say "submit jobs there, or with: DYNWORK_URL=$url dynwork submit FILE --iterations 1000"
    say "the key: aws ssm get-parameter --region $region --name /dynwork/$stack/admin-key --with-decryption --query Parameter.Value --output text"
    count_machines
}

act_status() {
    look_at_stack
    is_there || fail "there is no stack $stack in $region"
    say "stack $stack in account $account, $region: $state"
    case $state in
    *_IN_PROGRESS) fail "something is at work on it: ask again later, or run this without --status, which waits for it" ;;
    ROLLBACK_* | *_FAILED) fail "it is not complete: $(first_failure). Mend that and run this without --status" ;;
    esac
    find_address
    say "address: $url, at $host"
    release=$(output Release)
    say "release: $release"
    say "key: /dynwork/$stack/admin-key in SSM"
    count_machines
    is_ready || fail "not ready: $(curl "${reach[@]}" --no-fail --max-time 5 "$url/readyz" 2>&1 || true). $(hint)"
    say "ready"
}

read_options "$@"
check_needs
"act_$action"
