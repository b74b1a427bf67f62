#!/usr/bin/env bash
# Checks of a rollout what only real AWS can show: verify-aws.sh --stack NAME --region REGION [--failover]
# It ends one API, which its group replaces; with --failover the database changes zones. About ten minutes. A line for each
# check; exit code 1 if one failed.
# shellcheck disable=SC2329 # check calls what it is given
set -uo pipefail

stack=dynwork region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}} failover='' failed=0
while [ $# -gt 0 ]; do
    case $1 in
    --stack) stack=${2:?} && shift ;;
    --region) region=${2:?} && shift ;;
    --failover) failover=true ;;
    *) sed -n '2,4s/^# //p' "$0" && exit 2 ;;
    esac
    shift
done
[ -n "$region" ] || { echo 'verify-aws.sh: say --region' >&2 && exit 2; }
export AWS_PAGER='' AWS_REGION=$region

ask() { aws --output text "$@" | sed 's/\t/\n/g' | sed '/^None$/d'; }
output() { ask cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"; }
physical() { ask cloudformation describe-stack-resource --stack-name "$stack" --logical-resource-id "$1" --query StackResourceDetail.PhysicalResourceId; }
machines() { # QUERY ROLE
    ask ec2 describe-instances --query "Reservations[].Instances[] | $1" --filters "Name=tag:dynwork:stack,Values=$stack" \
        "Name=tag:dynwork:role,Values=$2" Name=instance-state-name,Values=running
}

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

within() { # SECONDS COMMAND...
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 5
    done
}

in_two_zones() { [ "$(machines '[].Placement.AvailabilityZone' api | sort -u | wc -l)" -ge 2 ]; }
without_public_address() { ! machines '[].PublicIpAddress' api,orchestrator,worker | grep .; }
disks_encrypted() { ! ask ec2 describe-volumes --filters "Name=tag:dynwork:stack,Values=$stack" Name=encrypted,Values=false --query 'Volumes[].VolumeId' | grep .; }
answers() { curl --silent --fail --max-time 5 --output /dev/null "$url/readyz"; }
some_spot() { machines '[].InstanceLifecycle' worker | grep -q spot; }
logs_of() { ask logs describe-log-streams --log-group-name "/dynwork/$stack" --log-stream-name-prefix "$1" --query 'logStreams[].logStreamName' | grep -q .; }
shell_on() {
    local machine
    for machine in $(machines '[].InstanceId' "$1"); do
        [ "$(ask ssm describe-instance-information --filters "Key=InstanceIds,Values=$machine" --query 'InstanceInformationList[].PingStatus')" = Online ] || return 1
    done
}
console_tells() { ask ec2 get-console-output --latest --instance-id "$(machines '[].InstanceId' worker | sed -n 1p)" --query Output | grep -q .; }

decision() { # ROLE ACTION RESOURCE [KEY=VALUE...]: as IAM evaluates it
    local role action=$2 resource=$3 context=() pair
    role=$(ask iam get-role --role-name "$(physical "$1")" --query Role.Arn)
    shift 3
    for pair in "$@"; do context+=("ContextKeyName=${pair%%=*},ContextKeyValues=${pair#*=},ContextKeyType=string"); done
    ask iam simulate-principal-policy --policy-source-arn "$role" --action-names "$action" --resource-arns "$resource" \
        ${context[0]+--context-entries "${context[@]}"} --query 'EvaluationResults[].EvalDecision'
}
permitted() { [ "$(decision "$@")" = allowed ]; }
denied() { [[ $(decision "$@") = *Deny ]]; }

an_api_dies_and_comes_back() {
    local group dead
    group=$(output ApiGroup)
    dead=$(machines '[].InstanceId' api | sed -n 1p)
    aws ec2 terminate-instances --instance-ids "$dead" >/dev/null || return 1
    local until=$((SECONDS + 600)) misses=0 healthy
    while [ "$SECONDS" -lt "$until" ]; do
        answers || misses=$((misses + 1))
        healthy=$(ask elbv2 describe-target-health --target-group-arn "$(output Apis)" \
            --query "TargetHealthDescriptions[?TargetHealth.State=='healthy'].Target.Id")
        [ "$(grep -cv "$dead" <<<"$healthy")" -lt 2 ] || break
        sleep 2
    done
    [ "$SECONDS" -lt "$until" ] || { echo "the group $group has not replaced it within ten minutes" && return 1; }
    [ "$misses" = 0 ] || { echo "$misses requests were not answered meanwhile" && return 1; }
}

database_fails_over() {
    local database before
    database=$(output Database)
    before=$(ask rds describe-db-instances --db-instance-identifier "$database" --query 'DBInstances[].AvailabilityZone')
    aws rds reboot-db-instance --db-instance-identifier "$database" --force-failover >/dev/null || return 1
    sleep 30
    within 300 answers || return 1
    [ "$(ask rds describe-db-instances --db-instance-identifier "$database" --query 'DBInstances[].AvailabilityZone')" != "$before" ]
}

url=$(output Url)
[ -n "$url" ] || { echo "verify-aws.sh: there is no stack $stack in $region, or these credentials may not see it" >&2 && exit 1; }
account=$(ask sts get-caller-identity --query Account)
arn=arn:aws:ec2:$region:$account
template=$arn:launch-template/$(physical WorkerTemplate)
secret=arn:aws:ssm:$region:$account:parameter/dynwork/$stack

check "the address answers" within 60 answers
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
check "a worker is a spot machine (there may be none: then on-demand ones serve)" some_spot
check "the APIs' logs arrive" within 300 logs_of api
check "the orchestrator's logs arrive" within 300 logs_of orchestrator
check "Session Manager reaches the APIs" shell_on api
check "Session Manager reaches the orchestrator" shell_on orchestrator
check "a worker's console output can be read" console_tells
check "an API that dies is replaced, and the address answers meanwhile" an_api_dies_and_comes_back
[ -z "$failover" ] || check "the database fails over within five minutes" database_fails_over
[ $failed = 0 ] && echo "all of it is as it should be"
exit $failed
