"""What scripts/init.sh says of bad input, and that a second run mends what the first left: without machines.

With them, from an empty account to a hash and back: :mod:`tests.aws.test_rollout`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.aws.account import contents, left_elsewhere
from tests.aws.lab.cloud import Cloud
from tests.aws.lab.image import ROOT, command_line

from dynwork.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

REGION, ACCOUNT = "eu-central-1", "123456789012"
OPTIONS = ("--region", REGION, "--insecure-http", "--timeout", "1")
INIT = ROOT / "scripts" / "init.sh"
SECRETS = [
    f"/dynwork/dynwork/{name}" for name in ("api-token", "worker-token", "database-password", "admin-key", "api-keys")
]
NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    errors: list[str]

    def sentence(self, code: int = 1) -> str:
        """What it says when it ends so: one line, on its error stream."""
        assert self.code == code, self
        (line,) = self.errors
        assert line.startswith("init.sh: "), line
        return line.removeprefix("init.sh: ")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with the script, the AWS CLI, and credentials or not."""

    environment: dict[str, str]

    def run(self, *options: str, **environment: str) -> Said:
        """Run the script; an empty value takes a variable out of its environment."""
        merged = {**self.environment, **environment}
        done = subprocess.run(
            [INIT, *options],
            env={name: value for name, value in merged.items() if value},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=200,
        )
        return Said(done.returncode, done.stdout, done.stderr.splitlines())


@pytest.fixture
def anybody(tmp_path: Path) -> Person:
    """Somebody without a cloud."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return Person({**kept, "HOME": str(tmp_path), "AWS_ENDPOINT_URL": NOBODY, "AWS_MAX_ATTEMPTS": "1"})


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


# ----------------------------------------------------------------------------------------------------------- in a cloud
Service = Callable[[str], Any]


def empty(service: Service) -> None:
    """Let nothing be left of what a run has made in the cloud."""
    for database in service("rds").describe_db_instances()["DBInstances"]:
        service("rds").modify_db_instance(
            DBInstanceIdentifier=database["DBInstanceIdentifier"], DeletionProtection=False
        )
    for stack in service("cloudformation").describe_stacks()["Stacks"]:
        service("cloudformation").delete_stack(StackName=stack["StackName"])
    for name in SECRETS:
        service("ssm").put_parameter(Name=name, Value="a", Type="SecureString", Overwrite=True)
    service("ssm").delete_parameters(Names=SECRETS)
    for bucket in service("s3").list_buckets()["Buckets"]:
        for one in service("s3").list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            service("s3").delete_object(Bucket=bucket["Name"], Key=one["Key"])
        service("s3").delete_bucket(Bucket=bucket["Name"])
    for role in service_roles(service):
        service("iam").delete_service_linked_role(RoleName=role)


@pytest.fixture
def person(cloud: Cloud, service: Service, anybody: Person, tmp_path: Path) -> Iterator[Person]:
    """Somebody with credentials in that cloud, of whose addresses none can be reached."""
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "aws").symlink_to(command_line(ROOT / ".venv" / "lab"))
    (tmp_path / "cli" / "curl").write_text(
        "#!/bin/bash\necho \"$*\" >>~/asked\necho 'curl: (6) Could not resolve host' >&2\nexit 6\n"
    )
    (tmp_path / "cli" / "curl").chmod(0o755)
    yield Person(
        {
            **anybody.environment,
            "PATH": f"{tmp_path / 'cli'}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": cloud.url,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    )
    cloud.mend()
    empty(service)


@pytest.fixture
def release(service: Service) -> str:
    """The release of this checkout and the secrets, as if an earlier run had made them."""
    named = subprocess.run([ROOT / "scripts" / "release.sh", "--name"], capture_output=True, text=True, check=True)
    release, bucket = f"releases/{named.stdout.strip()}", f"dynwork-dynwork-{ACCOUNT}-{REGION}"
    service("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    service("s3").put_object(Bucket=bucket, Key=f"{release}/SHA256SUMS", Body=b"sums")
    for name in SECRETS:
        service("ssm").put_parameter(Name=name, Value="a-secret", Type="SecureString")
    return release


def issued(service: Service, name: str, folder: Path) -> str:
    """Return the ARN of a certificate for a name."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    call = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*call, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    imported = service("acm").import_certificate(Certificate=certificate.read_bytes(), PrivateKey=key.read_bytes())
    return str(imported["CertificateArn"])


def state(service: Service) -> str:
    return str(service("cloudformation").describe_stacks(StackName="dynwork")["Stacks"][0]["StackStatus"])


def parameters(service: Service) -> dict[str, str]:
    (stack,) = service("cloudformation").describe_stacks(StackName="dynwork")["Stacks"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}


def service_roles(service: Service) -> set[str]:
    return {one["RoleName"] for one in service("iam").list_roles(PathPrefix="/aws-service-role/")["Roles"]}


def group(service: Service, role: str) -> dict[str, Any]:
    groups = service("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    (found,) = [
        one for one in groups if {"dynwork:role": role}.items() <= {t["Key"]: t["Value"] for t in one["Tags"]}.items()
    ]
    return dict(found)


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


@pytest.mark.system
@pytest.mark.long
def test_a_name_that_somebody_is_about_to_use_is_left_alone_and_ones_own_is_not(
    person: Person, service: Service, release: str
) -> None:
    formation = service("cloudformation")
    theirs = {
        "StackName": "dynwork",
        "ChangeSetType": "CREATE",
        "TemplateBody": '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}',
    }
    formation.create_change_set(ChangeSetName="theirs", **theirs)
    assert state(service) == "REVIEW_IN_PROGRESS"
    assert "somebody prepares a stack 'dynwork'" in person.run(*OPTIONS).sentence()
    assert "somebody prepares a stack 'dynwork'" in person.run(*OPTIONS, "--destroy", "--yes").sentence()
    formation.delete_stack(StackName="dynwork")
    formation.create_change_set(ChangeSetName="ours", Tags=[{"Key": "dynwork:stack", "Value": "dynwork"}], **theirs)
    assert person.run(*OPTIONS, "--destroy", "--yes").code == 0
    assert formation.describe_stacks()["Stacks"] == []


@pytest.mark.system
@pytest.mark.long
def test_a_full_quota_is_named_and_the_next_run_makes_what_was_asked_for(
    person: Person, service: Service, cloud: Cloud, release: str, tmp_path: Path
) -> None:
    certificate = issued(service, "*.work.example", tmp_path)
    plain, asked = ("--region", REGION, "--timeout", "1"), ("--max-workers", "7", "--alarm-email", "me@work.example")
    cloud.fail("AWS::EC2::EIP", "AddressLimitExceeded", message="The maximum number of addresses has been reached.")
    sentence = person.run(*plain, *asked, "--certificate", certificate, "--ha").sentence()
    why = "NatAddressA: The maximum number of addresses has been reached."
    assert sentence.startswith(f"the stack could not be deployed: {why}")
    assert sentence.endswith("Mend that and run this again")
    assert state(service) == "ROLLBACK_COMPLETE"
    assert f"it is not complete: {why}" in person.run(*plain, "--status").sentence()

    said = person.run(*plain)
    assert "an earlier run was not completed (ROLLBACK_COMPLETE): what it left is removed first" in said.out
    assert "not within 1 s: https://dynwork.work.example answers" in said.sentence(), "there are no machines to answer"
    balancers = service("elbv2").describe_load_balancers()["LoadBalancers"]
    (balancer,) = [one for one in balancers if one["Type"] == "application"]
    asked_for = (tmp_path / "asked").read_text().splitlines()[0]
    assert f"--connect-to dynwork.work.example:443:{balancer['DNSName']}:443" in asked_for
    assert asked_for.endswith("https://dynwork.work.example/readyz"), "the name that its certificate is for"
    assert state(service) == "CREATE_COMPLETE"
    kept = parameters(service)
    assert (kept["WorkersMax"], kept["AlarmEmail"]) == ("7", "me@work.example")
    assert (kept["CertificateArn"], kept["HighAvailability"], kept["Release"]) == (certificate, "true", release)


@pytest.mark.system
@pytest.mark.long
def test_an_update_that_fails_names_its_own_failure_and_not_an_earlier_one(
    person: Person, service: Service, cloud: Cloud, release: str
) -> None:
    person.run(*OPTIONS)
    assert state(service) == "CREATE_COMPLETE"
    for email, reason in ("first@work.example", "no mail to the first"), ("second@work.example", "nor to the second"):
        cloud.fail("AWS::SNS::Subscription", "InvalidParameter", message=reason)
        said = person.run(*OPTIONS, "--alarm-email", email)
        assert said.sentence().startswith(f"the stack could not be deployed: AlarmMail: {reason}")
        assert "    AlarmMail: CREATE_FAILED\n" in said.out, "what happens is told, however much has happened before"
        assert state(service) == "UPDATE_ROLLBACK_COMPLETE"
    assert parameters(service)["AlarmEmail"] == ""
    cloud.fail("CreateChangeSet", "LimitExceededException", times=9)
    sentence = person.run(*OPTIONS, "--alarm-email", "third@work.example").sentence()
    assert sentence.startswith("a quota of the account is full"), "and not what had failed before"


@pytest.mark.system
@pytest.mark.long
def test_what_a_creation_left_because_its_database_is_protected_is_removed_when_that_can_be_changed(
    person: Person, service: Service, cloud: Cloud, release: str
) -> None:
    cloud.fail("AWS::AutoScaling::AutoScalingGroup", "LimitExceeded", message="No more groups.")
    assert "Group: No more groups." in person.run(*OPTIONS).sentence()
    assert state(service) == "ROLLBACK_FAILED"
    cloud.fail("ModifyDBInstance", "InvalidDBInstanceState", message="The database is being backed up.", times=2)
    assert "not within 20 s: http://" in person.run(*OPTIONS, "--timeout", "20").sentence(), "there are no machines"
    assert state(service) == "CREATE_COMPLETE"


def public_ports(service: Service) -> dict[int, tuple[str, str]]:
    """What the public load balancer does at each of its ports: its protocol, and what becomes of a request."""
    elb = service("elbv2")
    (public,) = [one for one in elb.describe_load_balancers()["LoadBalancers"] if one["Type"] == "application"]
    listeners = elb.describe_listeners(LoadBalancerArn=public["LoadBalancerArn"])["Listeners"]
    return {one["Port"]: (one["Protocol"], one["DefaultActions"][0]["Type"]) for one in listeners}


@pytest.mark.system
@pytest.mark.long
def test_a_certificate_can_be_given_and_taken_from_what_runs(
    person: Person, service: Service, release: str, tmp_path: Path
) -> None:
    certificate = issued(service, "work.example", tmp_path)
    plain = {80: ("HTTP", "forward")}
    person.run(*OPTIONS)
    assert public_ports(service) == plain
    person.run("--region", REGION, "--timeout", "1", "--certificate", certificate)
    assert public_ports(service) == {80: ("HTTP", "redirect"), 443: ("HTTPS", "forward")}
    assert (tmp_path / "asked").read_text().splitlines()[-1].endswith("https://work.example/readyz")
    person.run(*OPTIONS)
    assert public_ports(service) == plain
    assert state(service) == "UPDATE_COMPLETE"


@pytest.mark.system
@pytest.mark.long
def test_what_an_interrupt_finds_not_begun_is_not_done(
    person: Person, service: Service, cloud: Cloud, release: str
) -> None:
    cloud.fail("CreateChangeSet", delay_s=6.0)
    asked, done = cloud.calls("CreateChangeSet"), cloud.calls("ExecuteChangeSet")
    script = subprocess.Popen(
        [INIT, *OPTIONS], env=person.environment, start_new_session=True, stdin=subprocess.DEVNULL
    )
    wait_until(lambda: cloud.calls("CreateChangeSet") > asked, "the stack is about to be made", 60.0)
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(timeout=30) != 0
    wait_until(lambda: service("cloudformation").describe_stacks()["Stacks"], "what was asked for is there", 30.0)
    time.sleep(6.0)
    assert cloud.calls("ExecuteChangeSet") == done


@pytest.mark.system
@pytest.mark.long
def test_a_removal_asks_goes_on_after_it_was_ended_early_and_leaves_nothing(
    person: Person, service: Service, release: str
) -> None:
    before = contents(service)
    person.run(*OPTIONS)
    assert service_roles(service) >= {
        f"AWSServiceRoleFor{name}" for name in ("EC2Spot", "AutoScaling", "ElasticLoadBalancing", "RDS")
    }
    assert "without a terminal to ask at, say --yes" in person.run(*OPTIONS, "--destroy").sentence()
    assert state(service) == "CREATE_COMPLETE"

    name = group(service, "orchestrator")["AutoScalingGroupName"]
    service("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0)
    (database,) = service("rds").describe_db_instances()["DBInstances"]
    service("rds").modify_db_instance(DBInstanceIdentifier=database["DBInstanceIdentifier"], DeletionProtection=False)
    assert "not within 1 s: http://" in person.run(*OPTIONS).sentence(), "it was ended early, and is wanted again"
    sizes = {role: group(service, role) for role in ("orchestrator", "api")}
    assert {role: (one["MinSize"], one["DesiredCapacity"]) for role, one in sizes.items()} == {
        "orchestrator": (1, 1),
        "api": (2, 2),
    }
    (database,) = service("rds").describe_db_instances()["DBInstances"]
    assert database["DeletionProtection"]

    mark = [{"Key": "dynwork:stack", "Value": "dynwork"}]
    address = service("ec2").allocate_address(TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": mark}])
    sentence = person.run(*OPTIONS, "--destroy", "--yes").sentence()
    assert sentence == f"something is left: addresses {address['PublicIp']}; run this again"
    service("ec2").release_address(AllocationId=address["AllocationId"])

    mark.append({"Key": "dynwork:role", "Value": "worker"})
    service("ec2").run_instances(MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": mark}])
    said = person.run(*OPTIONS, "--timeout", "60", "--destroy", "--yes")
    assert (said.code, said.errors) == (0, [])
    assert "==> ending 1 workers" in said.out, "whatever became of its stack"
    assert said.out.splitlines()[-1].startswith("==> nothing of 'dynwork' is left in eu-central-1")
    assert contents(service) == before
    assert left_elsewhere(service) == []


def test_the_parts_of_the_script_are_all_sourced() -> None:
    parts = {file.name for file in (ROOT / "scripts" / "aws").iterdir()}
    sourced = {line.rpartition("/")[2] for line in INIT.read_text().splitlines() if line.startswith(". scripts/aws/")}
    assert parts == sourced
