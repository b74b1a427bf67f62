# shellcheck shell=bash
# The stack: what state it is in, and how it is led to the one that is wanted. To be sourced, after ask.sh; uses $timeout_s.

# Its status and whose it is, by its tag; or NONE.
describe_stack() {
    local said status=0
    said=$(try cloudformation describe-stacks --stack-name "$stack" \
        --query "Stacks[0].[StackStatus, Tags[?Key=='dynwork:stack'].Value | [0]]") || status=$?
    [ $status != "$ABSENT" ] || said=NONE status=0
    [ $status = 0 ] && say "$said" || return $status
}

status_of_stack() {
    local said
    said=$(describe_stack) || return
    say "${said%%$'\t'*}"
}

# Sets $state. What is somebody else's is left alone.
look_at_stack() {
    local said
    said=$(describe_stack)
    state=${said%%$'\t'*}
    case $state in
    NONE) ;;
    REVIEW_IN_PROGRESS) check_review ;;
    *) [ "${said#*$'\t'}" = "$stack" ] || fail "there is a stack '$stack' in $region that is not dynwork's: choose another name with --stack" ;;
    esac
}

# One that is only being reviewed has nothing yet.
is_there() { [[ $state != NONE && $state != REVIEW_IN_PROGRESS ]]; }

output() { # NAME
    local value
    value=$(aws_ cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue") || return
    [ -n "$value" ] && [ "$value" != None ] || fail "the stack $stack in $region does not say what its $1 is: see the CloudFormation console"
    say "$value"
}

parameter() { # NAME: what the stack was last deployed with
    aws_ cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Parameters[?ParameterKey=='$1'].ParameterValue" | lines
}

resource() { # LOGICAL-ID: what it is called, if it is there
    aws_ cloudformation describe-stack-resources --stack-name "$stack" \
        --query "StackResources[?LogicalResourceId=='$1' && ResourceStatus!='DELETE_COMPLETE' && PhysicalResourceId].PhysicalResourceId" | lines
}

# A change set that a run has left before anything was made does no harm; one that is somebody else's may.
check_review() {
    local name names ours
    names=$(aws_ cloudformation list-change-sets --stack-name "$stack" --query 'Summaries[].ChangeSetName' | lines)
    for name in $names; do
        ours=$(aws_ cloudformation describe-change-set --stack-name "$stack" --change-set-name "$name" \
            --query "Tags[?Key=='dynwork:stack'].Value" | lines)
        [ "$ours" = "$stack" ] || fail "somebody prepares a stack '$stack' in $region: choose another name with --stack"
    done
}

stack_rests() {
    local now
    now=$(status_of_stack) || return
    [[ $now != *_IN_PROGRESS ]] || { say "it is in $now" && return 1; }
}

# What an earlier run is still at is waited for.
let_rest() {
    [[ $state = *_IN_PROGRESS ]] && is_there || return 0
    step "something is still at work on the stack ($state)"
    wait_for $((2 * timeout_s)) "the stack rests" stack_rests
    look_at_stack
}

# Whatever an earlier run left, lead to a stack that can be made or updated. One that is removed takes along its options.
mend_stack() {
    [ "$state" != DELETE_IN_PROGRESS ] || keep_options
    let_rest
    case $state in
    NONE | REVIEW_IN_PROGRESS | *UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE | CREATE_COMPLETE) ;;
    UPDATE_ROLLBACK_FAILED)
        step "an update could not be taken back; AWS tries it again"
        aws_ cloudformation continue-update-rollback --stack-name "$stack"
        sleep "$POLL_S" # it may not be seen at once
        wait_for "$timeout_s" "the update is taken back" stack_rests
        look_at_stack
        [ "$state" = UPDATE_ROLLBACK_COMPLETE ] || fail "the stack is stuck in $state: $(first_failure)"
        ;;
    ROLLBACK_COMPLETE | ROLLBACK_FAILED | CREATE_FAILED | DELETE_FAILED)
        step "an earlier run was not completed ($state): what it left is removed first"
        keep_options
        end_orchestrators
        end_workers
        delete_stack
        ;;
    *) fail "the stack is in the state $state, which this script does not know: see the CloudFormation console" ;;
    esac
}

# Why the last change of the stack failed: the first that went wrong.
first_failure() {
    local id status reason found='its events do not say'
    aws_ cloudformation describe-stack-events --stack-name "$stack" --max-items 500 \
        --query 'StackEvents[].[LogicalResourceId, ResourceStatus, ResourceStatusReason]' >"$scratch/newest_first"
    while IFS=$'\t' read -r id status reason; do
        [[ $status != *_FAILED || $reason = *' cancelled' ]] || found="$id: $reason"
        [ "$id $reason" != "$stack User Initiated" ] || break
    done <"$scratch/newest_first"
    say "$found"
}

# One that is still being made, changed or backed up refuses it until that is done.
unprotect() { # DATABASE
    try rds modify-db-instance --db-instance-identifier "$1" --no-deletion-protection --apply-immediately >/dev/null || [ $? = "$ABSENT" ]
}

# A run of --destroy that was ended early has left it so.
ensure_protection() {
    local database protected
    database=$(output Database)
    protected=$(aws_ rds describe-db-instances --db-instance-identifier "$database" --query 'DBInstances[0].DeletionProtection')
    [ "$protected" = True ] ||
        aws_ rds modify-db-instance --db-instance-identifier "$database" --deletion-protection --apply-immediately >/dev/null
}

delete_stack() {
    local database
    database=$(resource Database)
    [ -z "$database" ] || wait_for "$timeout_s" "the database may be deleted" unprotect "$database"
    aws_ cloudformation delete-stack --stack-name "$stack"
    sleep "$POLL_S" # it may not be seen at once
    wait_for $((2 * timeout_s)) "the stack is gone" stack_is_gone
    state=NONE
}

stack_is_gone() {
    local now
    now=$(status_of_stack) || return
    [ "$now" != DELETE_FAILED ] || give_up "the stack cannot be deleted: $(first_failure). Mend that and run this again"
    [ "$now" = NONE ] || { say "it is in $now" && return 1; }
}

# Deploy the template; what happens is told as it happens. Sets $deploying, which must not outlive the script: what it has
# not begun yet, nobody waits for any more.
deploy_stack() { # PARAMETER=VALUE...
    local status=0
    events >"$scratch/told" || true
    aws --region "$region" cloudformation deploy --stack-name "$stack" --template-file "$TEMPLATE" --no-fail-on-empty-changeset \
        --capabilities CAPABILITY_IAM --tags "dynwork:stack=$stack" --parameter-overrides "$@" >"$scratch/deploy" 2>&1 &
    deploying=$!
    while kill -0 "$deploying" 2>/dev/null; do
        sleep "$POLL_S"
        tell_events
    done
    wait "$deploying" || status=$?
    deploying=''
    [ $status = 0 ] || why_not_deployed
}

# What was refused before anything was changed has no events: those that there are tell of an earlier failure.
why_not_deployed() {
    local said now
    said=$(tr -s '\n ' ' ' <"$scratch/deploy")
    [[ $said = *'Failed to create/update the stack'* ]] || not_done "$said" 'cloudformation deploy'
    now=$(status_of_stack) || exit # what waits for the stack may have failed, and not the stack
    [[ $now != *_IN_PROGRESS ]] || fail "AWS is still at work on the stack ($now): run this again, which waits for it"
    fail "the stack could not be deployed: $(first_failure). Mend that and run this again"
}

events() { # the newest hundred, the oldest first; none while there is no stack
    aws --region "$region" --output text cloudformation describe-stack-events --stack-name "$stack" --no-paginate \
        --query 'reverse(StackEvents[].[EventId, LogicalResourceId, ResourceStatus])' 2>/dev/null
}

tell_events() { # those that are new since the last time
    local what status
    events >"$scratch/events" || return 0
    grep -vxFf "$scratch/told" "$scratch/events" >"$scratch/new" || true
    while IFS=$'\t' read -r _ what status; do
        case $status in *_COMPLETE | *_FAILED) say "    $what: $status" ;; esac
    done <"$scratch/new"
    mv "$scratch/events" "$scratch/told"
}
