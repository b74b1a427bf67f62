#!/usr/bin/env bash
# Rolls dynwork out to AWS, from an empty account to a checked hash; run again, it updates or changes nothing.
# What it makes is deploy/aws/dynwork.yaml. Nothing is kept on this machine: the stack is the state. See docs/howto/aws.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

USAGE='usage: scripts/init.sh [options]
  --stack NAME           what it is called (default: dynwork)
  --region REGION        where it runs (default: as the AWS CLI is set up)
  --max-workers N        most workers (default: 4)
  --ha                   two orchestrators, a database in two zones, a NAT gateway in each
  --certificate ARN      HTTPS with this certificate of ACM (of the same region)
  --insecure-http        no certificate: keys travel in clear
  --alarm-email ADDRESS  who is told of alarms
  --timeout SECONDS      longest that the stack, or one machine, may take (default: 1200)
  --new-image            take the latest Amazon Linux 2023 also for what runs already
  --dry-run              say what would be done
  --status               say what runs
  --destroy [--yes]      take everything down, jobs and results included; --yes does not ask
An option that is left out stays as it is at the next run.'
TEMPLATE=deploy/aws/dynwork.yaml
IMAGE_NAME=/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64
POLL_S=3
HOPELESS=9 # the exit code of a check that waiting does not help
export AWS_PAGER='' AWS_CLI_AUTO_PROMPT=off

stack=dynwork region='' max_workers='' ha='' certificate='' insecure='' email='' new_image='' action=deploy sure='' timeout_s=1200
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# ---------------------------------------------------------------------------------------------- saying, and asking AWS
say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
fail() {
    printf 'init.sh: %s\n' "$*" >&2
    exit 1
}
give_up() { # in a check of wait_for
    printf 'init.sh: %s\n' "$*" >&2
    exit $HOPELESS
}
refuse() {
    printf 'init.sh: %s\n%s\n' "$1" "$USAGE" >&2
    exit 2
}

# Run the AWS CLI; a failure ends the script with one sentence that says what to do.
aws_() {
    local status=0
    aws --region "$region" --output text "$@" 2>"$scratch/errors" || status=$?
    [ $status = 0 ] || fail "$(explained "$(tr -s '\n ' ' ' <"$scratch/errors")" "$1 $2")"
}

# Run the AWS CLI; whether it succeeded is the answer. What is there not is no failure, all else is.
try() {
    local said status=0
    said=$(aws --region "$region" --output text "$@" 2>&1) || status=$?
    [ $status = 0 ] || case $said in
    *NotFound* | *NoSuch* | *'Not Found'* | *'does not exist'* | *'(404)'*) return 1 ;;
    *) fail "$(explained "$said" "$1 $2")" ;;
    esac
    printf '%s\n' "$said"
}

explained() { # WHAT-THE-CLI-SAID CALL
    local said=$1
    case $said in
    *'Unable to locate credentials'* | *'NoCredentials'* | *'config profile'*'could not be found'*)
        say "no AWS credentials: run 'aws configure', or 'aws sso login', and then this again" ;;
    *InvalidClientTokenId* | *ExpiredToken* | *'SignatureDoesNotMatch'* | *'Token has expired'* | *UnrecognizedClient* | *AuthFailure*)
        say "AWS does not accept these credentials (expired or mistyped): run 'aws configure' or 'aws sso login', and then this again" ;;
    *'Could not connect to the endpoint URL'* | *'Unable to parse response'* | *'Invalid endpoint'* | *'must be one of'*region* | *'Could not resolve'*)
        say "AWS cannot be reached in the region $region: is it spelt right, is it enabled for the account, is there a network?" ;;
    *AccessDenied* | *UnauthorizedOperation* | *'not authorized'*)
        say "these credentials are not permitted to do '$2', which the rollout needs: ask an administrator. AWS says: ${said##*: }" ;;
    *LimitExceeded* | *QuotaExceeded*)
        say "a quota of the account is full; raise it in Service Quotas, or remove what is not needed. AWS says: ${said##*: }" ;;
    *) say "AWS refused '$2': ${said##*An error occurred }" ;;
    esac
}

# Wait until a check succeeds, and tell now and then for what. What a check says is shown only if the wait was in vain.
wait_for() { # SECONDS WHAT CHECK...
    local seconds=$1 what=$2 began=$SECONDS told=$SECONDS said status
    shift 2
    while :; do
        status=0
        said=$("$@" 2>&1) || status=$?
        [ $status != 0 ] || return 0
        [ $status != $HOPELESS ] || fail "${said#init.sh: }"
        [ $((SECONDS - began)) -lt "$seconds" ] || fail "not within $seconds s: $what. ${said#init.sh: } $(hint)"
        if [ $((SECONDS - told)) -ge 30 ]; then
            say "    still waiting: $what ($((SECONDS - began)) s)"
            told=$SECONDS
        fi
        sleep $POLL_S
    done
}

hint() {
    say "Look at 'scripts/init.sh --stack $stack --region $region --status', at the log group /dynwork/$stack, and at" \
        "'aws ec2 get-console-output' of a machine that does not come up; then run this again"
}

# ------------------------------------------------------------------------------------------------------------- options
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

check_needs() {
    local said
    [ "${BASH_VERSINFO[0]}" -ge 4 ] || fail "bash 4 or later is needed, this is $BASH_VERSION (macOS: brew install bash, or use AWS CloudShell)"
    command -v curl >/dev/null || fail "curl is needed (Debian, Ubuntu: apt install curl)"
    command -v sha256sum >/dev/null || fail "sha256sum is needed (macOS: brew install coreutils, or use AWS CloudShell)"
    command -v openssl >/dev/null || fail "openssl is needed (Debian, Ubuntu: apt install openssl)"
    said=$(aws --version 2>/dev/null) || fail "the AWS CLI, version 2, is needed: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html (AWS CloudShell has it)"
    [[ $said =~ aws-cli/([0-9]+) && ${BASH_REMATCH[1]} -ge 2 ]] || fail "the AWS CLI must be of version 2, and this is ${said%% *}"
    [ -n "$region" ] || region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
    [[ $region =~ ^[a-z]{2}(-[a-z]+)+-[0-9]$ ]] || fail "say in which region, e.g. --region eu-central-1: not '$region'"
    account=$(aws_ sts get-caller-identity --query Account)
    local zones
    zones=$(aws_ ec2 describe-availability-zones --filters Name=state,Values=available --query 'length(AvailabilityZones)')
    [ "$zones" -ge 2 ] || fail "two availability zones are needed, and $region has $zones"
    bucket=dynwork-$stack-$account-$region
}

# ----------------------------------------------------------------------------------------------------------- the stack
state_of_stack() { try cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' || say NONE; }
output() {
    local value
    value=$(aws_ cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue")
    [ -n "$value" ] && [ "$value" != None ] || fail "the stack $stack does not say what its $1 is: see the CloudFormation console"
    say "$value"
}
parameter() { # what the stack was last deployed with
    aws_ cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Parameters[?ParameterKey=='$1'].ParameterValue"
}

resource() { # LOGICAL-ID: what it is called, if it is there
    aws_ cloudformation describe-stack-resources --stack-name "$stack" \
        --query "StackResources[?LogicalResourceId=='$1' && ResourceStatus!='DELETE_COMPLETE' && PhysicalResourceId].PhysicalResourceId"
}

check_owner() { # a stack of this name that is somebody else's is left alone
    local ours
    ours=$(aws_ cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Tags[?Key=='dynwork:stack'].Value")
    [ "$ours" = "$stack" ] || fail "there is a stack '$stack' in $region that is not dynwork's: choose another name with --stack"
}

stack_rests() { [[ $(state_of_stack) != *_IN_PROGRESS ]]; }

# Whatever an earlier run left, lead to a stack that can be made or updated.
mend_stack() {
    local state
    state=$(state_of_stack)
    [ "$state" = NONE ] || check_owner
    if [[ $state = *_IN_PROGRESS ]]; then
        step "an earlier run is still at work on the stack ($state)"
        wait_for $((2 * timeout_s)) "the stack rests" stack_rests
        state=$(state_of_stack)
    fi
    case $state in
    NONE | *UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE | CREATE_COMPLETE) ;;
    UPDATE_ROLLBACK_FAILED)
        step "an update could not be taken back; AWS tries it again"
        aws_ cloudformation continue-update-rollback --stack-name "$stack"
        wait_for "$timeout_s" "the update is taken back" stack_rests
        state=$(state_of_stack)
        [ "$state" = UPDATE_ROLLBACK_COMPLETE ] || fail "the stack is stuck in $state: $(first_failure)"
        ;;
    ROLLBACK_COMPLETE | ROLLBACK_FAILED | CREATE_FAILED | DELETE_FAILED | REVIEW_IN_PROGRESS)
        step "an earlier run was not completed ($state): what it left is removed first"
        delete_stack
        ;;
    *) fail "the stack is in the state $state, which this script does not know: see the CloudFormation console" ;;
    esac
}

first_failure() { # why the last change of the stack failed: the first that went wrong
    aws_ cloudformation describe-stack-events --stack-name "$stack" --max-items 200 \
        --query "StackEvents[?contains(ResourceStatus, 'FAILED') && ResourceStatusReason != 'Resource creation cancelled'].[LogicalResourceId, ResourceStatusReason]" |
        grep -v '^None$' | tail -1 | tr '\t' ' '
}

delete_stack() {
    local database
    database=$(resource Database)
    if [ -n "$database" ] && try rds describe-db-instances --db-instance-identifier "$database" >/dev/null; then
        aws_ rds modify-db-instance --db-instance-identifier "$database" --no-deletion-protection --apply-immediately >/dev/null
    fi
    aws_ cloudformation delete-stack --stack-name "$stack"
    wait_for $((2 * timeout_s)) "the stack is gone" stack_is_gone
}

stack_is_gone() {
    local state
    state=$(state_of_stack)
    [ "$state" != DELETE_FAILED ] || give_up "the stack cannot be deleted: $(first_failure)"
    [ "$state" = NONE ]
}

# Deploy the template; what happens is told as it happens.
deploy_stack() {
    local deploying seen=''
    aws --region "$region" cloudformation deploy --stack-name "$stack" --template-file "$TEMPLATE" --no-fail-on-empty-changeset \
        --capabilities CAPABILITY_IAM --tags "dynwork:stack=$stack" --parameter-overrides "$@" >"$scratch/deploy" 2>&1 &
    deploying=$!
    while kill -0 $deploying 2>/dev/null; do
        sleep $POLL_S
        tell_events
    done
    wait $deploying || why_not_deployed
}

why_not_deployed() {
    local state
    state=$(state_of_stack)
    case $state in
    *ROLLBACK* | *FAILED) fail "the stack could not be deployed: $(first_failure). Mend that and run this again" ;;
    *) fail "$(explained "$(tr -s '\n ' ' ' <"$scratch/deploy")" 'cloudformation deploy')" ;;
    esac
}

tell_events() { # those that are new since the last time; uses the caller's $seen
    local events id what status
    events=$(aws --region "$region" --output text cloudformation describe-stack-events --stack-name "$stack" --max-items 100 \
        --query 'reverse(StackEvents[].[EventId, LogicalResourceId, ResourceStatus])' 2>/dev/null) || return 0
    while IFS=$'\t' read -r id what status; do
        [[ $status = *_COMPLETE || $status = *_FAILED ]] || continue
        [[ $seen != *"$id"* ]] || continue
        [ -z "$seen" ] || say "    $what: $status"
        seen+=" $id"
    done <<<"$events"
    seen+=' .'
}

# ------------------------------------------------------------------------------------------- what the template rests on
random_secret() { openssl rand -hex 24; }

ensure_secret() { # NAME VALUE: stored unless there is one; it is passed by a pipe, not on a command line
    local name=/dynwork/$stack/$1
    try ssm get-parameter --name "$name" --query Parameter.Name >/dev/null && return
    printf '%s' "$2" | aws_ ssm put-parameter --name "$name" --type SecureString --value file:///dev/stdin \
        --tags "Key=dynwork:stack,Value=$stack" >/dev/null
}

read_secret() { aws_ ssm get-parameter --name "/dynwork/$stack/$1" --with-decryption --query Parameter.Value; }

ensure_secrets() {
    step "secrets, in SSM under /dynwork/$stack"
    ensure_secret api-token "$(random_secret)"
    ensure_secret worker-token "$(random_secret)"
    ensure_secret database-password "$(random_secret)"
    ensure_secret admin-key "$(random_secret)"
    ensure_secret api-keys "admin[submit+read+admin]:$(read_secret admin-key)"
}

ensure_spot_role() { # without it EC2 launches no spot machine for anybody but an administrator
    local said
    said=$(aws --region "$region" iam create-service-linked-role --aws-service-name spot.amazonaws.com 2>&1) || case $said in
    *'has been taken'* | *AlreadyExists*) ;;
    *) fail "$(explained "$said" 'iam create-service-linked-role')" ;;
    esac
}

ensure_bucket() {
    if ! try s3api head-bucket --bucket "$bucket" >/dev/null; then
        local place=(--create-bucket-configuration "LocationConstraint=$region")
        [ "$region" != us-east-1 ] || place=()
        aws_ s3api create-bucket --bucket "$bucket" "${place[@]}" >/dev/null
    fi
    aws_ s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
    aws_ s3api put-bucket-tagging --bucket "$bucket" --tagging "TagSet=[{Key=dynwork:stack,Value=$stack}]"
}

# The release of this checkout: sets $release and $release_sha256. SHA256SUMS comes last: with it, all is there.
ensure_release() {
    release=releases/$(scripts/release.sh --name)
    local sums=s3://$bucket/$release/SHA256SUMS
    if ! try s3api head-object --bucket "$bucket" --key "$release/SHA256SUMS" >/dev/null; then
        step "building the release $release"
        scripts/release.sh "$scratch/release" || fail "the release could not be built: see above"
        aws_ s3 sync --only-show-errors --delete --exclude SHA256SUMS "$scratch/release" "s3://$bucket/$release"
        aws_ s3 cp --only-show-errors "$scratch/release/SHA256SUMS" "$sums"
    fi
    release_sha256=$(aws_ s3 cp "$sums" - | sha256sum | cut -d' ' -f1)
}

# Sets $image: that of the stack, else the latest.
choose_image() {
    local state
    image='' state=$(state_of_stack)
    [ "$state" = NONE ] || [ -n "$new_image" ] || image=$(parameter ImageId)
    [ -n "$image" ] || image=$(aws_ ssm get-parameter --name "$IMAGE_NAME" --query Parameter.Value)
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

check_transport() { # the first time somebody has to say that keys may travel in clear
    [ -n "$certificate$insecure" ] || [ "$(state_of_stack)" != NONE ] ||
        fail "without a certificate keys and data travel in clear over the internet: give --certificate ARN, or say" \
            "--insecure-http if that is what you want (a trial, or a network that only you can reach)"
}

# ------------------------------------------------------------------------------------------------ updating the machines
group_instances() { # GROUP QUERY
    aws_ autoscaling describe-auto-scaling-groups --auto-scaling-group-names "$1" --query "AutoScalingGroups[0].$2" | tr '\t' '\n' | sed '/^None$/d'
}

outdated() { # GROUP: its machines of another version of the template than the group's
    local version
    version=$(group_instances "$1" LaunchTemplate.Version)
    group_instances "$1" "Instances[?LaunchTemplate.Version!='$version' && !starts_with(LifecycleState, 'Terminat')].InstanceId"
}

healthy() { # TARGETS
    aws_ elbv2 describe-target-health --target-group-arn "$1" \
        --query "TargetHealthDescriptions[?TargetHealth.State=='healthy'].Target.Id" | tr '\t' '\n' | sed '/^None$/d'
}

as_many_healthy() { [ "$(healthy "$1" | wc -l)" -ge "$2" ]; } # TARGETS COUNT
not_a_target() { ! aws_ elbv2 describe-target-health --target-group-arn "$1" --query 'TargetHealthDescriptions[].Target.Id' | grep -q "$2"; }

outdated_and_unhealthy() { # GROUP TARGETS
    local late well
    late=$(outdated "$1")
    well=$(healthy "$2")
    comm -23 <(sort <<<"$late") <(sort <<<"$well")
}

# What is outdated and does not answer makes place at once. Of the others: one machine more than the group has, then an
# outdated one less, until none is left. What an earlier run began goes on.
replace_outdated() { # ROLE GROUP TARGETS
    local role=$1 group=$2 targets=$3 least old dead late count
    least=$(group_instances "$group" MinSize)
    dead=$(outdated_and_unhealthy "$group" "$targets")
    for old in $dead; do
        step "replacing the $role $old, which does not answer"
        aws_ autoscaling terminate-instance-in-auto-scaling-group --instance-id "$old" --no-should-decrement-desired-capacity >/dev/null
    done
    late=$(outdated "$group")
    for old in $late; do
        step "replacing the $role $old"
        aws_ autoscaling set-desired-capacity --auto-scaling-group-name "$group" --desired-capacity $((least + 1))
        wait_for "$timeout_s" "a new $role answers" as_many_healthy "$targets" $((least + 1))
        aws_ autoscaling terminate-instance-in-auto-scaling-group --instance-id "$old" --should-decrement-desired-capacity >/dev/null
        wait_for "$timeout_s" "the old $role is out of service" not_a_target "$targets" "$old"
    done
    count=$(group_instances "$group" DesiredCapacity)
    if [ "$count" -gt "$least" ]; then
        aws_ autoscaling set-desired-capacity --auto-scaling-group-name "$group" --desired-capacity "$least"
    fi
}

workers() { # QUERY [further filters]
    local query=$1
    shift
    aws_ ec2 describe-instances --query "Reservations[].Instances[] | $query" --filters "Name=tag:dynwork:stack,Values=$stack" \
        Name=tag:dynwork:role,Values=worker "$@" | tr '\t' '\n' | sed '/^None$/d'
}

outdated_workers() {
    workers "[?!(Tags[?Key=='dynwork:release' && Value=='$release']) || !(Tags[?Key=='dynwork:image' && Value=='$image'])].InstanceId" \
        Name=instance-state-name,Values=pending,running
}

# The orchestrators do it, one by one, the successor first; each old one hands its work back.
renew_workers() {
    local late
    late=$(outdated_workers | wc -l)
    [ "$late" -gt 0 ] || return 0
    step "the fleet renews $late workers"
    wait_for $((timeout_s * late)) "every worker is of this release" no_outdated_worker
}

no_outdated_worker() {
    local late
    late=$(outdated_workers)
    [ -z "$late" ] || { say "outdated: $(tr '\n' ' ' <<<"$late")" && return 1; }
}

# ------------------------------------------------------------------------------------------------------- the public API
api() { # PATH [curl's options]: with the key, which is on no command line
    local path=$1
    shift
    printf 'header = "Authorization: Bearer %s"\n' "$key" | curl --config - --silent --show-error --fail --max-time 40 "$@" "$url$path"
}

is_ready() { curl --silent --fail --max-time 5 --output /dev/null "$url/readyz"; }
a_worker_is_ready() { api /fleet | grep -q '"state" *: *"ready"'; }

sha512_chain() { # FILE TIMES: in hex
    local _
    cp "$1" "$scratch/link"
    for _ in $(seq "$2"); do
        openssl dgst -sha512 -binary -out "$scratch/next" "$scratch/link"
        mv "$scratch/next" "$scratch/link"
    done
    od -An -v -tx1 "$scratch/link" | tr -d ' \n'
}

# One real job, from its submission to its hash, which is computed here as well.
check_a_hash() {
    local hash job answer
    step "one real job, and its hash"
    openssl rand -out "$scratch/buffer" 16384
    hash=$(sha512_chain "$scratch/buffer" 3)
    answer=$(api '/enqueue?iterations=3' --request PUT --data-binary "@$scratch/buffer" --header 'Content-Type: application/octet-stream') ||
        fail "the job was not taken. $(hint)"
    job=$(sed -n 's/.*"job_id" *: *"\([^"]*\)".*/\1/p' <<<"$answer")
    [ -n "$job" ] || fail "the answer to a submission has no job id: $answer"
    wait_for "$timeout_s" "the job $job is done" job_is_done "$job" "$hash"
    say "    $job: $hash"
}

job_is_done() { # JOB HASH
    local answer
    answer=$(api "/jobs/$1?wait_s=20")
    [[ $answer =~ \"state\"\ *:\ *\"(succeeded|dead|cancelled)\" ]] || return 1
    [[ $answer = *"$2"* ]] || give_up "the job $1 has not the hash that it should have, $2: $answer"
}

# ------------------------------------------------------------------------------------------------------------- actions
act_plan() {
    local state
    state=$(state_of_stack)
    [ "$state" = NONE ] || check_owner
    check_transport
    release=releases/$(scripts/release.sh --name)
    step "nothing is done: this is what would be, in account $account, $region"
    case $state in
    NONE) say "the stack $stack is made: network, load balancers, database, 2 APIs, ${ha:+2 orchestrators}${ha:-1 orchestrator}, workers (1 to ${max_workers:-4})" ;;
    ROLLBACK* | *FAILED) say "what a failed run left of the stack $stack ($state) is removed, and the stack made" ;;
    *) say "the stack $stack ($state) is updated, where something is different" ;;
    esac
    if try s3api head-object --bucket "$bucket" --key "$release/SHA256SUMS" >/dev/null; then
        say "the release $release is there"
    else
        say "the release $release is built, and put into the bucket $bucket"
    fi
}

act_deploy() {
    check_transport
    mend_stack
    ensure_secrets
    ensure_spot_role
    ensure_bucket
    ensure_release
    choose_image
    choose_parameters
    step "the stack $stack, in account $account, $region (the first time: about ten minutes, most of it the database)"
    deploy_stack "${parameters[@]}"
    url=$(output Url)
    key=$(read_secret admin-key)
    orchestrators=$(output OrchestratorGroup) apis=$(output ApiGroup)
    seed_targets=$(output Orchestrators) api_targets=$(output Apis)
    replace_outdated orchestrator "$orchestrators" "$seed_targets"
    replace_outdated API "$apis" "$api_targets"
    step "waiting for $url"
    wait_for "$timeout_s" "$url answers" is_ready
    wait_for "$timeout_s" "a worker is ready" a_worker_is_ready
    renew_workers
    check_a_hash
    tell_what_runs
}

tell_what_runs() {
    step "$url/docs"
    say "submit jobs there, or with: DYNWORK_URL=$url dynwork submit FILE --iterations 1000"
    say "the key: aws ssm get-parameter --region $region --name /dynwork/$stack/admin-key --with-decryption --query Parameter.Value --output text"
    count_machines
}

count_machines() {
    local role count
    for role in api orchestrator worker; do
        count=$(aws_ ec2 describe-instances --query 'length(Reservations[].Instances[])' --filters "Name=tag:dynwork:stack,Values=$stack" \
            "Name=tag:dynwork:role,Values=$role" Name=instance-state-name,Values=pending,running)
        say "$role: $count"
    done
}

act_status() {
    local state
    state=$(state_of_stack)
    [ "$state" != NONE ] || fail "there is no stack $stack in $region"
    check_owner
    say "stack $stack in account $account, $region: $state"
    [[ $state = *COMPLETE && $state != ROLLBACK* && $state != DELETE* ]] || fail "it is not complete; why: $(first_failure)"
    url=$(output Url)
    say "address: $url"
    release=$(output Release)
    say "release: $release"
    say "key: /dynwork/$stack/admin-key in SSM"
    count_machines
    is_ready || fail "not ready: $(curl --silent --show-error --max-time 5 "$url/readyz" 2>&1 || true). $(hint)"
    say "ready"
}

confirm() {
    [ -z "$sure" ] || return 0
    [ -t 0 ] || fail "--destroy removes every job and result; without a terminal to ask at, say --yes"
    local said
    read -rp "Everything of '$stack' in $region will be removed, jobs and results included. Type its name to go on: " said
    [ "$said" = "$stack" ] || fail "nothing was removed"
}

no_machines() { # ROLE
    local found
    found=$(aws_ ec2 describe-instances --query 'Reservations[].Instances[].InstanceId' --filters "Name=tag:dynwork:stack,Values=$stack" \
        "Name=tag:dynwork:role,Values=$1" Name=instance-state-name,Values=pending,running,shutting-down,stopping)
    [ -z "$found" ] || [ "$found" = None ]
}

# Orchestrators first, that none launches another worker; then the workers, which the stack does not know; then the rest.
end_machines() {
    local group machines=()
    group=$(resource OrchestratorGroup)
    if [ -n "$group" ]; then
        step "ending the orchestrators"
        aws_ autoscaling update-auto-scaling-group --auto-scaling-group-name "$group" --min-size 0 --desired-capacity 0
        wait_for "$timeout_s" "the orchestrators are gone" no_machines orchestrator
    fi
    workers '[].InstanceId' Name=instance-state-name,Values=pending,running,stopping,stopped >"$scratch/machines"
    mapfile -t machines <"$scratch/machines"
    if [ ${#machines[@]} -gt 0 ]; then
        step "ending ${#machines[@]} workers"
        aws_ ec2 terminate-instances --instance-ids "${machines[@]}" >/dev/null
    fi
    wait_for "$timeout_s" "the workers are gone" no_machines worker
}

delete_secrets() {
    local names=()
    parameters_left >"$scratch/names"
    mapfile -t names <"$scratch/names"
    [ ${#names[@]} = 0 ] || aws_ ssm delete-parameters --names "${names[@]}" >/dev/null
}

parameters_left() { aws_ ssm get-parameters-by-path --path "/dynwork/$stack" --query 'Parameters[].Name' | tr '\t' '\n' | sed '/^None$/d'; }

act_destroy() {
    confirm
    local state
    state=$(state_of_stack)
    if [ "$state" != NONE ]; then
        check_owner
        [[ $state != *_IN_PROGRESS ]] || wait_for $((2 * timeout_s)) "the stack rests" stack_rests
        end_machines
        step "removing the stack"
        delete_stack
    fi
    step "removing the releases and the secrets"
    if try s3api head-bucket --bucket "$bucket" >/dev/null; then
        aws_ s3 rm --recursive --only-show-errors "s3://$bucket"
        aws_ s3api delete-bucket --bucket "$bucket"
    fi
    delete_secrets
    prove_empty
}

# Looks for everything that could be left, and says so.
prove_empty() {
    local left='' state
    state=$(state_of_stack)
    [ "$state" = NONE ] || left+=" the stack;"
    left+=$(leftover machines ec2 describe-instances --query 'Reservations[].Instances[].InstanceId' \
        --filters "Name=tag:dynwork:stack,Values=$stack" Name=instance-state-name,Values=pending,running,stopping,stopped)
    left+=$(leftover disks ec2 describe-volumes --query 'Volumes[].VolumeId' --filters "Name=tag:dynwork:stack,Values=$stack")
    left+=$(leftover networks ec2 describe-vpcs --query 'Vpcs[].VpcId' --filters "Name=tag:Name,Values=$stack" Name=cidr,Values=10.80.0.0/16)
    left+=$(leftover secrets ssm get-parameters-by-path --path "/dynwork/$stack" --query 'Parameters[].Name')
    left+=$(leftover logs logs describe-log-groups --log-group-name-prefix "/dynwork/$stack" --query 'logGroups[].logGroupName')
    if try s3api head-bucket --bucket "$bucket" >/dev/null; then left+=" the bucket $bucket;"; fi
    [ -z "$left" ] || fail "something is left:$left run this again"
    step "nothing of '$stack' is left in $region: no stack, machine, disk, network, secret, log or release"
}

leftover() { # WHAT CALL...
    local what=$1 found
    shift
    found=$(aws_ "$@" | tr '\t\n' '  ' | sed 's/None//; s/^ *//; s/ *$//')
    [ -z "$found" ] || printf ' %s %s;' "$what" "$found"
}

read_options "$@"
check_needs
"act_$action"
