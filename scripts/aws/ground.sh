# shellcheck shell=bash
# What the template rests on: secrets, the bucket, the release, an image. To be sourced, after ask.sh and stack.sh.
IMAGE_NAME=/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64

store_secret() { # NAME VALUE; it is passed by a pipe, not on a command line
    printf '%s' "$2" | aws_ ssm put-parameter --name "/dynwork/$stack/$1" --type SecureString --value file:///dev/stdin \
        --tags "Key=dynwork:stack,Value=$stack" >/dev/null
}

read_secret() { aws_ ssm get-parameter --name "/dynwork/$stack/$1" --with-decryption --query Parameter.Value; }

secrets() { aws_ ssm get-parameters-by-path --path "/dynwork/$stack" --query 'Parameters[].Name' | lines; }

# Random ones, unless they are there.
ensure_secrets() {
    local name there key
    step "secrets, in SSM under /dynwork/$stack"
    there=$(secrets)
    for name in api-token worker-token database-password admin-key; do
        if [[ $there != */"$name"* ]]; then
            key=$(openssl rand -hex 24)
            store_secret "$name" "$key"
        fi
    done
    if [[ $there != */api-keys* ]]; then
        key=$(read_secret admin-key)
        store_secret api-keys "admin[submit+read+admin]:$key"
    fi
}

# With them AWS's services act for an account. In a new one they are made at the first use, by those who may, and that may be
# too late for it; the orchestrators may not, and would get no spot machine.
ensure_service_roles() {
    local service role
    while read -r service role; do
        try iam get-role --role-name "AWSServiceRoleFor$role" >/dev/null ||
            aws_ iam create-service-linked-role --aws-service-name "$service.amazonaws.com" >/dev/null
    done <<<'spot EC2Spot
autoscaling AutoScaling
elasticloadbalancing ElasticLoadBalancing
rds RDS'
}

# It is asked whose it is, since anybody may have taken the name.
bucket_is_there() { try s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" >/dev/null; }

bucket_is_gone() { ! bucket_is_there; }

ensure_bucket() {
    if ! bucket_is_there; then
        local place=(--create-bucket-configuration "LocationConstraint=$region")
        [ "$region" != us-east-1 ] || place=()
        aws_ s3api create-bucket --bucket "$bucket" "${place[@]}" >/dev/null
    fi
    aws_ s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
        BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
    aws_ s3api put-bucket-tagging --bucket "$bucket" --tagging "TagSet=[{Key=dynwork:stack,Value=$stack}]"
}

# SHA256SUMS is uploaded last: with it, all is there.
release_is_there() {
    try s3api head-object --bucket "$bucket" --expected-bucket-owner "$account" --key "$release/SHA256SUMS" >/dev/null
}

# Sets $release. If it has to be built, what that needs is looked at before anything is made.
choose_release() {
    local name
    name=$(scripts/release.sh --name) || fail "the release has no name: see above"
    release=releases/$name
    release_is_there || scripts/release.sh --check || fail "the release cannot be built here: see above"
}

# Sets $release_sha256.
ensure_release() {
    local sums=s3://$bucket/$release/SHA256SUMS
    if ! release_is_there; then
        step "building the release $release"
        scripts/release.sh "$scratch/release" || fail "the release could not be built: see above"
        aws_ s3 sync --only-show-errors --delete --exclude SHA256SUMS "$scratch/release" "s3://$bucket/$release"
        aws_ s3 cp --only-show-errors "$scratch/release/SHA256SUMS" "$sums"
    fi
    release_sha256=$(aws_ s3 cp "$sums" - | sha256sum | cut -d' ' -f1)
}

# Sets $image: that of the stack, else the latest.
choose_image() {
    image=''
    ! is_there || [ -n "$new_image" ] || image=$(parameter ImageId)
    [ -n "$image" ] || image=$(aws_ ssm get-parameter --name "$IMAGE_NAME" --query Parameter.Value)
}

delete_releases() {
    if bucket_is_there; then
        aws_ s3 rm --recursive --only-show-errors "s3://$bucket"
        aws_ s3api delete-bucket --bucket "$bucket"
        wait_for "$timeout_s" "the bucket is gone" bucket_is_gone # it may be seen for a while
    fi
}

delete_secrets() {
    local names=()
    secrets >"$scratch/names"
    mapfile -t names <"$scratch/names"
    [ ${#names[@]} = 0 ] || aws_ ssm delete-parameters --names "${names[@]}" >/dev/null
}
