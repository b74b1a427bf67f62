"""The whole lab: a network, a cloud on it, boxes, a release in S3, a secret in SSM, a template and two subnets.

with Lab(folder, cache) as lab:
    role = LoneRole("orchestrator", folder, **lab.orchestrator())   # and whatever else, on the control side
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from tests.aws.lab.boxes import Boxes
from tests.aws.lab.ground import Ground
from tests.aws.lab.image import build_image, build_release
from tests.aws.lab.machines import Delays
from tests.aws.lab.network import CONTROL, Network

BUCKET, PREFIX, SECRET = "releases", "dynwork", "/dynwork/lab/worker-token"
WORKER_TOKEN, API_TOKEN = "the-workers-token", "the-apis-token"
IMAGE_ID = "ami-12c6146b"
LIFE = Delays(pending_s=0.5, unseen_s=0.5, ending_s=60.0)


class Lab(Ground):
    """``folder`` has the logs of every box, too."""

    def __init__(self, folder: Path, cache: Path) -> None:
        super().__init__(folder, Network(), LIFE)
        cache.mkdir(parents=True, exist_ok=True)
        self._image = build_image(folder, cache, self.url)
        self._release, self._release_sha256 = build_release(folder, cache)

    def build(self, ends: contextlib.ExitStack) -> None:
        """See :meth:`Ground.build`."""
        self.boxes = ends.enter_context(Boxes(self.network, self.cloud, self._image, self.folder / "boxes"))
        self._prepare()

    def _prepare(self) -> None:
        s3, ssm, ec2 = (self.boxes.service(name) for name in ("s3", "ssm", "ec2"))
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        for file in self._release.iterdir():
            s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{file.name}", Body=file.read_bytes())
        ssm.put_parameter(Name=SECRET, Value=WORKER_TOKEN, Type="SecureString")
        ec2.create_launch_template(LaunchTemplateName="worker", LaunchTemplateData={"ImageId": IMAGE_ID})
        self.subnets = sorted(one["SubnetId"] for one in ec2.describe_subnets()["Subnets"])[:2]

    def orchestrator(self, port: int, **changes: str) -> dict[str, str]:
        """Return the settings of an orchestrator that runs its fleet here."""
        return {
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_ENDPOINT_URL": self.url,
            "DYNWORK_API_TOKEN": API_TOKEN,
            "DYNWORK_WORKER_TOKEN": WORKER_TOKEN,
            "DYNWORK_ORCHESTRATOR_HOST": CONTROL,
            "DYNWORK_ORCHESTRATOR_URLS": f"http://{CONTROL}:{port}",
            "DYNWORK_FLEET_PROVIDER": "ec2",
            "DYNWORK_FLEET_LOOK_S": "5",
            "DYNWORK_FLEET_BACKLOG_TARGET_S": "5",
            "DYNWORK_FLEET_COOLDOWN_S": "5",
            "DYNWORK_EC2_REGION": "eu-central-1",
            "DYNWORK_EC2_TEMPLATE": "worker",
            "DYNWORK_EC2_INSTANCE_TYPES": "c7a.large,c6a.large",
            "DYNWORK_EC2_SUBNETS": ",".join(self.subnets),
            "DYNWORK_EC2_RELEASE": f"s3://{BUCKET}/{PREFIX}",
            "DYNWORK_EC2_RELEASE_SHA256": self._release_sha256,
            "DYNWORK_EC2_WORKER_SECRET": SECRET,
            "DYNWORK_WORKER_SLOTS": "1",
            **changes,
        }

    def ever(self) -> list[str]:
        """Return every instance that there ever was, by the provider's name, in the order of their launches."""
        return [one["InstanceId"] for one in self._instances()]

    def living(self) -> list[dict[str, Any]]:
        """Return the instances that have not ended, as the cloud shows them."""
        return [one for one in self._instances() if one["State"]["Name"] not in ("terminated", "shutting-down")]

    def _instances(self) -> list[dict[str, Any]]:
        pages = self.boxes.client.describe_instances()["Reservations"]
        found = [one for page in pages for one in page["Instances"]]
        return sorted(found, key=lambda one: one["LaunchTime"])
