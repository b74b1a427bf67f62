"""What scripts/init.sh says of bad input, before it makes anything.

What it makes, without machines: :mod:`tests.aws.test_init_stack`; with them, from an empty account to a hash and back:
:mod:`tests.aws.test_rollout`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.aws.account import contents, left_elsewhere
from tests.aws.lab.cloud import Cloud
from tests.aws.lab.image import ROOT
from tests.aws.script import ACCOUNT, INIT, NOBODY, OPTIONS, REGION, SECRETS, Person, Service

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("init")]


def program(folder: Path, text: str) -> str:
    """Return a ``PATH`` in which ``aws`` is this script."""
    folder.mkdir()
    (folder / "aws").write_text(f"#!/bin/bash\n{text}\n")
    (folder / "aws").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--stack", "Prod"], "--stack: up to 20 lower-case letters, digits and hyphens, a letter first; not 'Prod'"),
        (["--stack", "a" * 21], "--stack: up to 20"),
        (["--stack"], "--stack needs a value"),
        (["--max-workers", "0"], "--max-workers: a number from 1 to 9999, not '0'"),
        (["--max-workers", "many"], "--max-workers: a number"),
        (["--timeout", "1.5"], "--timeout: seconds, not '1.5'"),
        (["--certificate", "mine"], "--certificate: the ARN of a certificate of ACM, not 'mine'"),
        (["--certificate", "arn:aws:acm:x", "--insecure-http"], "exclude each other"),
        (["--alarm-email", "me"], "--alarm-email: an address, not 'me'"),
        (["--force"], "there is no option --force"),
        (["prod"], "there is no option prod"),
    ],
)
def test_options_that_cannot_be_are_refused_with_the_usage(anybody: Person, options: list[str], why: str) -> None:
    said = anybody.run(*options)
    assert (said.code, said.out) == (2, "")
    assert said.errors[0].startswith("init.sh: ")
    assert why in said.errors[0]
    assert said.errors[1].startswith("usage: scripts/init.sh")


def test_help_names_every_option_that_the_script_knows(anybody: Person) -> None:
    said = anybody.run("--help")
    text = INIT.read_text()
    cases = text[text.index("read_options() {") : text.index("*) refuse")]
    known = {word.rstrip(")") for word in cases.split() if word.startswith("--") and word.strip("-)")}
    assert said.code == 0
    assert {option for option in known if option not in said.out} == set()


@pytest.mark.parametrize(
    ("cli", "why"),
    [
        ("exit 127", "the AWS CLI, version 2, is needed"),
        ("echo aws-cli/1.44.2 Python/3.11", "and this is aws-cli/1.44.2"),
    ],
)
def test_without_the_right_command_line_it_says_so(anybody: Person, tmp_path: Path, cli: str, why: str) -> None:
    assert why in anybody.run(PATH=program(tmp_path / "bin", cli)).sentence()


@pytest.mark.parametrize("region", ["frankfurt", "EU-CENTRAL-1", "eu-central-1;", "eu-central"])
def test_what_is_no_region_is_not_asked(anybody: Person, tmp_path: Path, region: str) -> None:
    asked = tmp_path / "asked"
    path = program(tmp_path / "bin", f"[ $1 = --version ] && echo aws-cli/2.0 || touch {asked}")
    sentence = anybody.run("--region", region, PATH=path).sentence()
    assert sentence == f"say in which region, e.g. --region eu-central-1: not '{region}'"
    assert not asked.exists()


def test_the_parts_of_the_script_are_all_sourced() -> None:
    parts = {file.name for file in (ROOT / "scripts" / "aws").iterdir()}
    sourced = {line.rpartition("/")[2] for line in INIT.read_text().splitlines() if line.startswith(". scripts/aws/")}
    assert parts == sourced


# ----------------------------------------------------------------------------------------------------------- in a cloud
@pytest.mark.system
@pytest.mark.parametrize("action", [(), ("--destroy", "--yes")])
def test_without_credentials_every_action_says_so(person: Person, service: Service, action: tuple[str, ...]) -> None:
    before = contents(service)
    said = person.run(*OPTIONS, *action, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert said.sentence() == "no AWS credentials: run 'aws configure', or 'aws sso login', and then this again"
    assert contents(service) == before


@pytest.mark.system
def test_a_region_in_which_nobody_answers_is_named(person: Person) -> None:
    said = person.run("--region", "eu-nowhere-9", AWS_ENDPOINT_URL=NOBODY)
    assert said.sentence() == "AWS cannot be reached in the region eu-nowhere-9: is it spelt right, is there a network?"


REFUSED = [
    (
        "GetCallerIdentity",
        "InvalidClientTokenId",
        "AWS does not accept these credentials in eu-central-1 (expired or mistyped, or",
    ),
    ("GetCallerIdentity", "ExpiredToken", "run 'aws configure' or 'aws sso login', and then this again"),
    ("DescribeAvailabilityZones", "UnauthorizedOperation", "not permitted to do 'ec2 describe-availability-zones'"),
    (
        "DescribeAvailabilityZones",
        "RequestLimitExceeded",
        "asked too often ('ec2 describe-availability-zones'): wait a",
    ),
    ("DescribeStacks", "AccessDenied", "not permitted to do 'cloudformation describe-stacks'"),
    (
        "PutParameter",
        "AccessDeniedException",
        "not permitted to do 'ssm put-parameter', which this needs: ask an administrator",
    ),
    (
        f"HEAD /dynwork-dynwork-{ACCOUNT}-{REGION}",
        "AccessDenied",
        f"the bucket dynwork-dynwork-{ACCOUNT}-{REGION} is another account's, or these credentials may not read it",
    ),
]
REFUSED_LATE = [
    ("CreateServiceLinkedRole", "AccessDenied", "not permitted to do 'iam create-service-linked-role'"),
    ("CreateChangeSet", "AccessDenied", "not permitted to do 'cloudformation deploy'"),
    ("CreateChangeSet", "LimitExceededException", "a quota of the account is full: raise it in Service Quotas"),
]


@pytest.mark.system
@pytest.mark.parametrize(
    ("action", "code", "why"), [*REFUSED, *(pytest.param(*one, marks=pytest.mark.long) for one in REFUSED_LATE)]
)
def test_what_aws_refuses_ends_it_with_one_sentence_and_makes_nothing(
    person: Person, service: Service, cloud: Cloud, release: str, action: str, code: str, why: str
) -> None:
    if action == "PutParameter":
        service("ssm").delete_parameter(Name=SECRETS[2])
    before = contents(service)
    cloud.fail(action, code, status=403, message="User lab is not to do this", times=9)
    said = person.run(*OPTIONS)
    cloud.mend()
    assert why in said.sentence()
    assert contents(service) == before


@pytest.mark.system
def test_a_certificate_that_no_load_balancer_takes_is_refused_before_anything_is_made(
    person: Person, service: Service
) -> None:
    unknown = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/00000000-0000-0000-0000-000000000000"
    asked_for = service("acm").request_certificate(DomainName="work.example")["CertificateArn"]
    before = contents(service)
    for arn, why in (unknown, "there is no certificate"), (asked_for, "the certificate is PENDING_VALIDATION"):
        assert person.run("--region", REGION, "--certificate", arn).sentence().startswith(why)
    assert contents(service) == before
    assert left_elsewhere(service) == []


@pytest.mark.system
def test_a_name_that_is_somebody_elses_is_left_alone(person: Person, service: Service, release: str) -> None:
    theirs = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    service("cloudformation").create_stack(StackName="dynwork", TemplateBody=theirs)
    before = contents(service)
    for action in (), ("--status",), ("--destroy", "--yes"):
        sentence = person.run(*OPTIONS, *action).sentence()
        assert (
            sentence
            == "there is a stack 'dynwork' in eu-central-1 that is not dynwork's: choose another name with --stack"
        )
    assert contents(service) == before
