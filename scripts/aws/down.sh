# shellcheck shell=bash
# Taking everything down, and proving it. To be sourced, after the others.

confirm() {
    [ -z "$sure" ] || return 0
    [ -t 0 ] || fail "--destroy removes every job and result; without a terminal to ask at, say --yes"
    local said
    read -rp "Everything of '$stack' in $region will be removed, jobs and results included. Type its name to go on: " said
    [ "$said" = "$stack" ] || fail "nothing was removed"
}

act_destroy() {
    look_at_stack
    confirm
    let_rest
    ! is_there || end_orchestrators
    end_workers
    if [ "$state" != NONE ]; then
        step "removing the stack"
        delete_stack
    fi
    step "removing the releases and the secrets"
    delete_releases
    delete_secrets
    prove_empty
}

# Looks for everything that could be left, and says so. A load balancer or a gateway cannot outlive its network.
prove_empty() {
    local left='' kept
    state=$(status_of_stack)
    [ "$state" = NONE ] || left+=" the stack;"
    look_for machines ec2 describe-instances --query 'Reservations[].Instances[].InstanceId' \
        --filters "Name=tag:dynwork:stack,Values=$stack" Name=instance-state-name,Values=pending,running,stopping,stopped
    look_for disks ec2 describe-volumes --query 'Volumes[].VolumeId' --filters "Name=tag:dynwork:stack,Values=$stack"
    look_for addresses ec2 describe-addresses --query 'Addresses[].PublicIp' --filters "Name=tag:dynwork:stack,Values=$stack"
    look_for networks ec2 describe-vpcs --query 'Vpcs[].VpcId' --filters "Name=tag:Name,Values=$stack" Name=cidr,Values=10.80.0.0/16
    look_for databases rds describe-db-instances --query "DBInstances[?TagList[?Key=='dynwork:stack' && Value=='$stack']].DBInstanceIdentifier"
    look_for secrets ssm get-parameters-by-path --path "/dynwork/$stack" --query 'Parameters[].Name'
    look_for logs logs describe-log-groups --log-group-name-prefix "/dynwork/$stack" --query "logGroups[?logGroupName=='/dynwork/$stack'].logGroupName"
    if bucket_is_there; then left+=" the bucket $bucket;"; fi
    [ -z "$left" ] || fail "something is left:$left run this again"
    step "nothing of '$stack' is left in $region: no stack, machine, disk, address, network, database, secret, log or release"
    kept=$(aws_ rds describe-db-snapshots --snapshot-type manual \
        --query "DBSnapshots[?TagList[?Key=='dynwork:stack' && Value=='$stack']].DBSnapshotIdentifier" | lines | tr '\n' ' ')
    [ -z "$kept" ] || say "kept, since somebody took them: the snapshots $kept(to remove one: aws rds delete-db-snapshot)"
}

look_for() { # WHAT CALL...: adds to the caller's $left
    local what=$1 found
    shift
    found=$(aws_ "$@" | lines | tr '\n' ' ')
    [ -z "$found" ] || left+=" $what ${found% };"
}
