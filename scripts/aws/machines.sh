# shellcheck shell=bash
# The machines: replaced one by one, renewed, counted, ended. To be sourced, after ask.sh and stack.sh.

group_of() { # GROUP QUERY
    aws_ autoscaling describe-auto-scaling-groups --auto-scaling-group-names "$1" --query "AutoScalingGroups[0].$2" | lines
}

outdated() { # GROUP: its machines of another version of the template than the group's
    local version
    version=$(group_of "$1" LaunchTemplate.Version) || return
    group_of "$1" "Instances[?LaunchTemplate.Version!='$version' && !starts_with(LifecycleState, 'Terminat')].InstanceId"
}

targets_of() { # TARGETS: what is registered, and its state
    aws_ elbv2 describe-target-health --target-group-arn "$1" --query 'TargetHealthDescriptions[].[Target.Id, TargetHealth.State]'
}

healthy() { # TARGETS
    local found
    found=$(targets_of "$1") || return
    awk '$2 == "healthy" { print $1 }' <<<"$found"
}

as_many_healthy() { # TARGETS COUNT
    local found
    found=$(healthy "$1") || return
    [ "$(wc -w <<<"$found")" -ge "$2" ] || { targets_of "$1" && return 1; }
}

not_a_target() { # TARGETS MACHINE
    local found
    found=$(targets_of "$1") || return
    [[ $found != *"$2"* ]] || { say "$found" && return 1; }
}

outdated_and_unhealthy() { # GROUP TARGETS
    local late well
    late=$(outdated "$1") || return
    well=$(healthy "$2") || return
    comm -23 <(sort <<<"$late") <(sort <<<"$well")
}

# A run of --destroy that was ended early has set a group to none.
ensure_size() { # GROUP LEAST
    local least
    least=$(group_of "$1" MinSize)
    [ "$least" -ge "$2" ] ||
        aws_ autoscaling update-auto-scaling-group --auto-scaling-group-name "$1" --min-size "$2" --desired-capacity "$2"
}

# What is outdated and does not answer makes place at once. Of the others: one machine more than the group has, then an
# outdated one less, until none is left. What an earlier run began goes on.
replace_outdated() { # ROLE GROUP TARGETS
    local role=$1 group=$2 targets=$3 least old dead late still count
    least=$(group_of "$group" MinSize)
    dead=$(outdated_and_unhealthy "$group" "$targets")
    for old in $dead; do
        step "replacing the $role $old, which does not answer"
        aws_ autoscaling terminate-instance-in-auto-scaling-group --instance-id "$old" --no-should-decrement-desired-capacity >/dev/null
    done
    late=$(outdated "$group")
    for old in $late; do
        still=$(outdated "$group")
        [[ $still = *"$old"* ]] || continue # its group has ended it meanwhile, to have as many in each zone
        step "replacing the $role $old"
        aws_ autoscaling set-desired-capacity --auto-scaling-group-name "$group" --desired-capacity $((least + 1))
        wait_for "$timeout_s" "a new $role answers" as_many_healthy "$targets" $((least + 1))
        still=$(outdated "$group")
        [[ $still = *"$old"* ]] || continue
        aws_ autoscaling terminate-instance-in-auto-scaling-group --instance-id "$old" --should-decrement-desired-capacity >/dev/null
        wait_for "$timeout_s" "the old $role is out of service" not_a_target "$targets" "$old"
    done
    count=$(group_of "$group" DesiredCapacity)
    if [ "$count" -gt "$least" ]; then
        aws_ autoscaling set-desired-capacity --auto-scaling-group-name "$group" --desired-capacity "$least"
    fi
}

machines() { # ROLE STATES QUERY
    aws_ ec2 describe-instances --query "Reservations[].Instances[] | $3" --filters "Name=tag:dynwork:stack,Values=$stack" \
        "Name=tag:dynwork:role,Values=$1" "Name=instance-state-name,Values=$2" | lines
}

outdated_workers() {
    machines worker pending,running \
        "[?!(Tags[?Key=='dynwork:release' && Value=='$release']) || !(Tags[?Key=='dynwork:image' && Value=='$image'])].InstanceId"
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
    late=$(outdated_workers) || return
    [ -z "$late" ] || { say "outdated: $(tr '\n' ' ' <<<"$late")" && return 1; }
}

count_machines() {
    local role count
    for role in api orchestrator worker; do
        count=$(machines $role pending,running '[].InstanceId' | wc -l)
        say "$role: $count"
    done
}

no_machines() { # ROLE
    local found
    found=$(machines "$1" pending,running,shutting-down,stopping '[].InstanceId') || return
    [ -z "$found" ] || { tr '\n' ' ' <<<"$found" && return 1; }
}

# Before the workers, that none launches another one.
end_orchestrators() {
    local group
    group=$(resource OrchestratorGroup)
    if [ -n "$group" ]; then
        step "ending the orchestrators"
        aws_ autoscaling update-auto-scaling-group --auto-scaling-group-name "$group" --min-size 0 --desired-capacity 0
        wait_for "$timeout_s" "the orchestrators are gone" no_machines orchestrator
    fi
}

# The stack does not know them.
end_workers() {
    local workers=()
    machines worker pending,running,stopping,stopped '[].InstanceId' >"$scratch/workers"
    mapfile -t workers <"$scratch/workers"
    if [ ${#workers[@]} -gt 0 ]; then
        step "ending ${#workers[@]} workers"
        aws_ ec2 terminate-instances --instance-ids "${workers[@]}" >/dev/null
    fi
    wait_for "$timeout_s" "the workers are gone" no_machines worker
}
