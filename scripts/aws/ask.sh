# shellcheck shell=bash
# Saying, asking AWS, waiting. To be sourced; uses the caller's $region, $stack, $bucket and $scratch, a folder.
POLL_S=3
TOLD_EVERY_S=30
HOPELESS=9 # the exit code of a failure that waiting does not help
ABSENT=4   # the exit code of try when there is no such thing
export AWS_PAGER='' AWS_CLI_AUTO_PROMPT=off

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
complain() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() { # ends the script, or the subshell that it is in; what wait_for waits for is not there yet
    complain "$@"
    exit 1
}
give_up() { # the same, and wait_for does not wait on
    complain "$@"
    exit $HOPELESS
}

# Run the AWS CLI; a failure ends the script with one sentence that says what to do.
aws_() {
    local status=0
    aws --region "$region" --output text "$@" 2>"$scratch/errors" || status=$?
    [ $status = 0 ] || not_done "$(tr -s '\n ' ' ' <"$scratch/errors")" "$1 $2"
}

# Run the AWS CLI, to see whether something is there: if not, that is no failure, all else is.
try() {
    local said status=0
    said=$(aws --region "$region" --output text "$@" 2>&1) || status=$?
    [ $status = 0 ] || case $said in
    *NotFound* | *NoSuch* | *'Not Found'* | *'does not exist'* | *'(404)'*) return $ABSENT ;;
    *) not_done "$said" "$1 $2" ;;
    esac
    printf '%s\n' "$said"
}

lines() { tr '\t' '\n' | sed '/^None$/d; /^$/d'; } # what the CLI says of several, one a line

not_done() { # WHAT-THE-CLI-SAID CALL
    local said=$1 reason
    reason=${said##*An error occurred }
    case $said in
    *'Unable to locate credentials'* | *NoCredentials* | *'config profile'*'could not be found'*)
        give_up "no AWS credentials: run 'aws configure', or 'aws sso login', and then this again" ;;
    *InvalidClientTokenId* | *ExpiredToken* | *SignatureDoesNotMatch* | *'Token has expired'* | *UnrecognizedClient* | *AuthFailure*)
        give_up "AWS does not accept these credentials in $region (expired or mistyped, or the region is not enabled for the" \
            "account): run 'aws configure' or 'aws sso login', and then this again" ;;
    *'Could not connect to the endpoint URL'* | *'Connection was closed'* | *'Invalid endpoint'* | *'Could not resolve'* | *'timeout on endpoint'*)
        fail "AWS cannot be reached in the region $region: is it spelt right, is there a network?" ;;
    *'(403)'*Head*)
        give_up "the bucket $bucket is another account's, or these credentials may not read it: choose another name with --stack," \
            "or ask an administrator" ;;
    *AccessDenied* | *UnauthorizedOperation* | *'not authorized'* | *'(403)'*)
        give_up "these credentials are not permitted to do '$2', which this needs: ask an administrator. AWS says: $reason" ;;
    *RequestLimitExceeded* | *Throttl* | *'Rate exceeded'* | *SlowDown*)
        fail "AWS is asked too often ('$2'): wait a minute, and then run this again" ;;
    *LimitExceeded* | *QuotaExceeded*)
        give_up "a quota of the account is full: raise it in Service Quotas, or remove what is not needed, and then run this" \
            "again. AWS says: $reason" ;;
    *) fail "AWS did not do '$2': $reason" ;;
    esac
}

# Wait until a check succeeds, and tell now and then for what. What a check says is shown only if the wait was in vain.
wait_for() { # SECONDS WHAT CHECK...
    local seconds=$1 what=$2 began=$SECONDS told=$SECONDS said status
    shift 2
    while :; do
        status=0
        said=$("$@" 2>&1) || status=$?
        said=${said#"${0##*/}: "}
        [ $status != 0 ] || return 0
        [ $status != $HOPELESS ] || give_up "$said"
        [ $((SECONDS - began)) -lt "$seconds" ] || fail "not within $seconds s: $what. ${said:+$said. }$(hint)"
        if [ $((SECONDS - told)) -ge $TOLD_EVERY_S ]; then
            say "    still waiting: $what ($((SECONDS - began)) s)"
            told=$SECONDS
        fi
        sleep $POLL_S
    done
}

hint() {
    say "Look at the log group /dynwork/$stack, and at 'aws ec2 get-console-output' of a machine that does not come up;" \
        "then run 'scripts/init.sh --stack $stack --region $region' again"
}
