#!/usr/bin/env bash
# Checks of a rollout what only real AWS can show: verify-aws.sh --stack NAME --region REGION [--failover] [--patience SECONDS]
# It ends one API, which its group replaces; with --failover the database changes zones, if it is in two (--ha). About ten
# minutes. A line for each check; exit code 1 if one failed. --patience: longest that one thing is waited for (default: 300).
# shellcheck disable=SC2329 # check calls what it is given
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

stack=dynwork region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}} failover='' failed=0 patience_s=300
while [ $# -gt 0 ]; do
    case $1 in
    --stack) stack=${2:?--stack needs a value} && shift ;;
    --region) region=${2:?--region needs a value} && shift ;;
    --failover) failover=true ;;
    --patience) patience_s=${2:?--patience needs a value} && shift ;;
    *)
        sed -n '2,4s/^# //p' scripts/verify-aws.sh >&2
        exit 2
        ;;
    esac
    shift
done
if ! [[ $patience_s =~ ^[1-9][0-9]{0,4}$ ]]; then
    echo "--patience: seconds, not '$patience_s'" >&2
    exit 2
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# shellcheck source=scripts/aws/ask.sh
. scripts/aws/ask.sh
# shellcheck source=scripts/aws/stack.sh
. scripts/aws/stack.sh
# shellcheck source=scripts/aws/machines.sh
. scripts/aws/machines.sh
# shellcheck source=scripts/aws/trial.sh
. scripts/aws/trial.sh

check() { # WHAT COMMAND...
    local what=$1 said
    shift
    if said=$("$@" 2>&1); then
        printf 'ok      %s\n' "$what"
    else
        printf 'FAILED  %s%s\n' "$what" "${said:+: $said}"
        failed=1
    fi
}

until_() { # SECOND COMMAND...: asked until that second of the script's; says what it says at last, if it fails
    local last=$1 said
    shift
    until said=$("$@" 2>&1); do
        [ "$SECONDS" -lt "$last" ] || { say "$said" && return 1; }
        sleep 2
    done
}

within() { # SECONDS COMMAND...
    local last=$((SECONDS + $1))
    shift
    until_ "$last" "$@"
}

running() { # ROLE QUERY; some must run
    local found
    found=$(machines "$1" running "$2") || return
    [ -n "$found" ] || fail "no $1 runs"
    say "$found"
}

none_of() { # CALL...: what it lists must be nothing
    local found
    found=$(aws_ "$@" | lines) || return
    [ -z "$found" ] || { say "$found" && return 1; }
}

in_two_zones() {
    local zones
    zones=$(running api '[].Placement.AvailabilityZone') || return
    [ "$(sort -u <<<"$zones" | wc -l)" -ge 2 ] || { say "all in ${zones%%$'\n'*}" && return 1; }
}
without_public_address() {
    running api '[].InstanceId' >/dev/null &&
        none_of ec2 describe-instances --filters "Name=tag:dynwork:stack,Values=$stack" --query 'Reservations[].Instances[].PublicIpAddress'
}
disks_encrypted() {
    none_of ec2 describe-volumes --filters "Name=tag:dynwork:stack,Values=$stack" Name=encrypted,Values=false --query 'Volumes[].VolumeId'
}
some_spot() {
    local found
    found=$(running worker '[].InstanceLifecycle') || return
    [[ $found = *spot* ]]
}
logs_of() {
    local found
    found=$(aws_ logs describe-log-streams --log-group-name "/dynwork/$stack" --log-stream-name-prefix "$1" \
        --query 'logStreams[].logStreamName' | lines) || return
    [ -n "$found" ] || { say "no stream of '$1' in the log group /dynwork/$stack" && return 1; }
}
shell_on() {
    local all machine state
    all=$(running "$1" '[].InstanceId') || return
    for machine in $all; do
        state=$(aws_ ssm describe-instance-information --filters "Key=InstanceIds,Values=$machine" \
            --query 'InstanceInformationList[].PingStatus' | lines) || return
        [ "$state" = Online ] || { say "$machine: ${state:-not known to Systems Manager}" && return 1; }
    done
}
console_tells() {
    local all said
    all=$(running worker '[].InstanceId') || return
    said=$(aws_ ec2 get-console-output --latest --instance-id "${all%%$'\n'*}" --query Output | lines) || return
    [ -n "$said" ] || { say "there is none of ${all%%$'\n'*} yet: it is late by some minutes" && return 1; }
}

decision() { # ROLE ACTION RESOURCE [KEY=VALUE...]: as IAM evaluates it
    local role action=$2 resource=$3 context=() pair
    role=$(resource "$1")
    role=$(aws_ iam get-role --role-name "$role" --query Role.Arn) || return
    shift 3
    for pair in "$@"; do context+=("ContextKeyName=${pair%%=*},ContextKeyValues=${pair#*=},ContextKeyType=string"); done
    aws_ iam simulate-principal-policy --policy-source-arn "$role" --action-names "$action" --resource-arns "$resource" \
        ${context[0]+--context-entries "${context[@]}"} --query 'EvaluationResults[].EvalDecision'
}
permitted() {
    local said
    said=$(decision "$@") || return
    [ "$said" = allowed ] || { say "$said" && return 1; }
}
denied() {
    local said
    said=$(decision "$@") || return
    [[ $said = *Deny ]] || { say "$said" && return 1; }
}

# Who repeats what a load balancer has sent to a machine that was just ended.
answers_a_client() { within $((patience_s / 20)) is_ready >/dev/null; }

an_api_dies_and_comes_back() {
    local targets dead well until=$((SECONDS + 2 * patience_s)) misses=0 calls=0
    targets=$(output Apis) || return
    dead=$(running api '[].InstanceId') || return
    dead=${dead%%$'\n'*}
    aws_ ec2 terminate-instances --instance-ids "$dead" >/dev/null || return
    while [ "$SECONDS" -lt "$until" ]; do
        calls=$((calls + 1))
        answers_a_client || misses=$((misses + 1))
        well=$(healthy "$targets") || return
        [ "$(grep -cv "$dead" <<<"$well")" -lt 2 ] || break
        sleep 2
    done
    [ "$SECONDS" -lt "$until" ] || { say "its group has not replaced $dead within $((2 * patience_s)) s" && return 1; }
    [ "$misses" = 0 ] || { say "$misses of $calls requests were not answered meanwhile, although repeated for $((patience_s / 20)) s" && return 1; }
}

zone_of() { aws_ rds describe-db-instances --db-instance-identifier "$1" --query 'DBInstances[].AvailabilityZone'; }
is_elsewhere() { # DATABASE ZONE
    local zone
    zone=$(zone_of "$1") || return
    [ "$zone" != "$2" ] || { say "it is in $2, as before" && return 1; }
}

database_fails_over() {
    local database before until
    database=$(output Database) || return
    before=$(zone_of "$database") || return
    aws_ rds reboot-db-instance --db-instance-identifier "$database" --force-failover >/dev/null || return
    until=$((SECONDS + patience_s))
    until_ "$until" is_elsewhere "$database" "$before" || return
    until_ "$until" is_ready
}

[ -n "$region" ] || fail "say --region"
identity=$(aws_ sts get-caller-identity --query Arn) || exit 1
IFS=: read -r _ partition _ _ account _ <<<"$identity"
look_at_stack
is_there || fail "there is no stack $stack in $region"
find_address || exit 1
template=$(resource WorkerTemplate) || exit 1
arn=arn:$partition:ec2:$region:$account
template=$arn:launch-template/$template
secret=arn:$partition:ssm:$region:$account:parameter/dynwork/$stack

check "the address answers" within $((patience_s / 5)) is_ready
check "the APIs are in two zones" in_two_zones
check "no machine has a public address" without_public_address
check "every disk is encrypted" disks_encrypted
check "a worker may read its token" permitted WorkerRole ssm:GetParameter "$secret/worker-token"
check "a worker may not read the database's password" denied WorkerRole ssm:GetParameter "$secret/database-password"
check "an orchestrator may launch from its template, with its tag" permitted OrchestratorRole ec2:RunInstances "$arn:instance/*" \
    "ec2:LaunchTemplate=$template" "aws:RequestTag/dynwork:stack=$stack"
check "an orchestrator may not launch without it" denied OrchestratorRole ec2:RunInstances "$arn:instance/*"
check "an orchestrator may end a worker" permitted OrchestratorRole ec2:TerminateInstances "$arn:instance/i-0" \
    "aws:ResourceTag/dynwork:stack=$stack" aws:ResourceTag/dynwork:role=worker
check "an orchestrator may end nothing else" denied OrchestratorRole ec2:TerminateInstances "$arn:instance/i-0"
some_spot >/dev/null 2>&1 || say "note    no worker is a spot machine: there is none to be had, and on-demand ones serve"
check "the APIs' logs arrive" within "$patience_s" logs_of api
check "the orchestrator's logs arrive" within "$patience_s" logs_of orchestrator
check "Session Manager reaches the APIs" shell_on api
check "Session Manager reaches the orchestrator" shell_on orchestrator
check "a worker's console output can be read" console_tells
check "an API that dies is replaced, and the address answers meanwhile" an_api_dies_and_comes_back
[ -z "$failover" ] || two_zones=$(parameter HighAvailability) || exit 1
if [ -n "$failover" ] && [ "$two_zones" != true ]; then
    say "note    the database is in one zone (no --ha): it cannot fail over"
elif [ -n "$failover" ]; then
    check "the database fails over within $patience_s s" database_fails_over
fi
[ $failed = 0 ] && echo "all of it is as it should be"
exit $failed
