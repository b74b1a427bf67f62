# shellcheck shell=bash
# The public API, and one real job from its submission to its hash. To be sourced, after ask.sh and stack.sh; uses $key.

# Sets $url, $host and $reach, curl's options. With a certificate it is asked by the name that this is for, at the load
# balancer's address, whether or not the name leads there yet.
find_address() {
    local certificate name
    url=$(output Url)
    host=${url#*://} reach=(--silent --show-error --fail)
    certificate=$(parameter CertificateArn)
    [ -n "$certificate" ] || return 0
    name=$(aws_ acm describe-certificate --certificate-arn "$certificate" --query Certificate.DomainName) || return
    name=${name/#'*'/dynwork}
    url=https://$name
    reach+=(--connect-to "$name:443:$host:443")
}

api() { # PATH [curl's options]: with the key, which is on no command line
    local path=$1
    shift
    printf 'header = "Authorization: Bearer %s"\n' "$key" | curl --config - "${reach[@]}" --max-time 40 "$@" "$url$path"
}

is_ready() { curl "${reach[@]}" --max-time 5 --output /dev/null "$url/readyz"; }

check_key() { # api-keys may have been changed without it
    local status
    status=$(api /fleet --output /dev/null --write-out '%{http_code}' 2>/dev/null) || true
    [[ $status != 40[13] ]] || fail "the key in /dynwork/$stack/admin-key is refused: is it, with all three rights, in" \
        "/dynwork/$stack/api-keys, and were the APIs started since? Put it there, or the new one into admin-key, and run this again"
}

a_worker_is_ready() {
    local fleet
    fleet=$(api /fleet) || return
    [[ $fleet =~ \"state\"\ *:\ *\"ready\" ]] || { say "the fleet: $fleet" && return 1; }
}

sha512_chain() { # FILE TIMES: in hex
    local _
    cp "$1" "$scratch/link"
    for _ in $(seq "$2"); do
        openssl dgst -sha512 -binary -out "$scratch/next" "$scratch/link"
        mv "$scratch/next" "$scratch/link"
    done
    od -An -v -tx1 "$scratch/link" | tr -d ' \n'
}

# One real job; its hash is computed here as well.
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
    answer=$(api "/jobs/$1?wait_s=20") || return
    [[ $answer =~ \"state\"\ *:\ *\"(succeeded|dead|cancelled)\" ]] || return 1
    [[ $answer = *"$2"* ]] || give_up "the job $1 has not the hash that it should have, $2: $answer"
}
