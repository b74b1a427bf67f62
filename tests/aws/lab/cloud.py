"""AWS as a server on one address: moto, and what moto lacks of EC2.

    python -m tests.aws.lab.cloud HOST PORT [--pending-s 2] [--unseen-s 1] [--ending-s 60] [--pace 0.1] ...

* **Faults**, scripted by ``POST /_faults`` with a :class:`Fault` as JSON, dropped by ``DELETE``: an error code, a
  delay, a reply that is lost after the call took effect. ``GET`` shows how often each action was called.
* **Client tokens**: a repeated RunInstances answers with the first instance; other parameters are a mismatch.
* **User data** beyond 16 KiB are refused.
* **pending**: a new instance is not running at once. **Lag**: nor is it listed at once.
* **shutting-down**: an instance that is to end has time to do so. ``DELETE /_power?INSTANCE`` says that it is off.
* **The template counts**: metadata options and instance profile of a launch template are the instance's.
* **Groups** of machines keep to their size, :mod:`.groups`; their targets are as healthy as whoever stands in for a
  load balancer says by ``POST /_balancers``, :mod:`.targets`.
* **Stacks** are changed in their place, rolled back and removed, :mod:`.formation`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, TypeAlias
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import httpx
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from tests.aws.lab import formation
from tests.aws.lab.answers import (
    Answer,
    Environment,
    Fault,
    Faults,
    StartResponse,
    body_of,
    error,
    error_in_json,
    error_of_s3,
    told,
)
from tests.aws.lab.gaps.services import databases
from tests.aws.lab.groups import Groups
from tests.aws.lab.machines import Delays, Machines, every, named
from tests.aws.lab.targets import Targets
from werkzeug.serving import BaseWSGIServer, make_server

Application: TypeAlias = Callable[[Environment, StartResponse], Iterable[bytes]]

USER_DATA_BYTES_MAX = 16 * 1024


class Ec2:
    """The wrapper around moto's application."""

    def __init__(self, inner: Application, machines: Machines, targets: Targets, faults: Faults) -> None:
        self._inner = inner
        self._machines = machines
        self._targets = targets
        self._faults = faults
        self._tokens: dict[str, tuple[str, Answer]] = {}

    def __call__(self, environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if environment["PATH_INFO"].startswith("/_"):
            return self._inside(environment).send(start_response)
        if environment["REQUEST_METHOD"] != "POST" or "urlencoded" not in environment.get("CONTENT_TYPE", ""):
            return self._elsewhere(environment, start_response)
        body = body_of(environment)
        environment["wsgi.input"] = io.BytesIO(body)
        call = dict(parse_qsl(body.decode(), keep_blank_values=True))
        fault = self._faults.next(call)
        if fault is not None:
            threading.Event().wait(fault.delay_s)
            if fault.lost:
                if fault.effect:
                    self._answer(environment, call)
                environment["werkzeug.socket"].shutdown(2)
                raise ConnectionAbortedError
            if fault.body is not None:
                return Answer(f"{fault.status} Odd", [], fault.body.encode()).send(start_response)
            if fault.code is not None:
                return error(fault.status, fault.code, fault.message or fault.code).send(start_response)
        return self._answer(environment, call).send(start_response)

    def _elsewhere(self, environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """A call of one of the services that speak JSON, or of S3: its action is then, e.g., "HEAD /bucket"."""
        target = environment.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        path = f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}"
        fault = self._faults.next({"Action": target or path})
        if fault is None or fault.code is None:
            return self._inner(environment, start_response)
        refuse = error_in_json if target else error_of_s3
        return refuse(fault.status, fault.code, fault.message or fault.code).send(start_response)

    def _inside(self, environment: Environment) -> Answer:
        """Serve the lab itself."""
        method, body = environment["REQUEST_METHOD"], body_of(environment)
        match environment["PATH_INFO"], method:
            case "/_power", _:
                with self._machines.lock:
                    self._machines.off(environment["QUERY_STRING"])
            case "/_databases", _:
                return told(databases())
            case "/_balancers", "GET":
                return told(self._targets.shown())
            case "/_balancers", _:
                self._targets.tell(json.loads(body))
            case _:
                if method == "DELETE":
                    self._tokens.clear()
                return self._faults.script(method, body)
        return told(None)

    def _answer(self, environment: Environment, call: dict[str, str]) -> Answer:
        action = call.get("Action")
        if action == "RunInstances":
            return self._run(environment, call)
        if action == "TerminateInstances":
            return self._terminate(environment, call)
        if action != "DescribeInstances":
            return self._through(environment)
        with self._machines.lock:  # a launch under way is not seen before it is known for how long it is not to be
            return self._without_unseen(self._through(environment))

    def _through(self, environment: Environment) -> Answer:
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(self._inner(environment, lambda status, headers, *_: begun.append((status, list(headers)))))
        return Answer(*begun[0], body)

    def _run(self, environment: Environment, call: dict[str, str]) -> Answer:
        if len(base64.b64decode(call.get("UserData", ""))) > USER_DATA_BYTES_MAX:
            return error(400, "InvalidParameterValue", "User data is limited to 16384 bytes")
        token = call.get("ClientToken")
        said = hashlib.sha256(repr(sorted(call.items())).encode()).hexdigest()
        with self._machines.lock:
            if token in self._tokens:
                before, answer = self._tokens[token]
                if before == said:
                    return answer
                return error(400, "IdempotentParameterMismatch", "the token was used for other parameters")
            answer = self._through(environment)
            if answer.status.startswith("200"):
                if token:
                    self._tokens[token] = (said, answer)
                for instance in [one for one in every() if one.id in answer.body.decode()]:
                    self._machines.begin(instance, _template(instance.ec2_backend, call))
            return answer

    def _terminate(self, environment: Environment, call: dict[str, str]) -> Answer:
        with self._machines.lock:
            meant = [named(value) for name, value in call.items() if name.startswith("InstanceId.")]
            before = [(one, one._state.name) for one in meant if one is not None]
            answer = self._through(environment)
            for instance, state in before if answer.status.startswith("200") else ():
                self._machines.ended(instance, state)
            return answer

    def _without_unseen(self, answer: Answer) -> Answer:
        unseen = self._machines.unseen()
        if not unseen:
            return answer
        root = ElementTree.fromstring(answer.body)
        for reservations in root.findall(".//{*}reservationSet"):
            for item in list(reservations):
                if any(found.text in unseen for found in item.findall(".//{*}instanceId")):
                    reservations.remove(item)
        return Answer(answer.status, answer.headers, ElementTree.tostring(root))


def _template(backend: Any, call: dict[str, str]) -> dict[str, Any]:
    """What the launch template of a call says, where the call itself says nothing."""
    template_id, name = call.get("LaunchTemplate.LaunchTemplateId"), call.get("LaunchTemplate.LaunchTemplateName")
    if template_id is None and name is None:
        return {}
    template = backend.get_launch_template(template_id) if template_id else backend.get_launch_template_by_name(name)
    data = template.get_version(call.get("LaunchTemplate.Version", "$Default")).data
    return {key: value for key, value in data.items() if not any(one.startswith(f"{key}.") for one in call)}


@contextmanager
def server(host: str, port: int, delays: Delays) -> Iterator[BaseWSGIServer]:
    """Have the cloud, listening on ``host``; port 0 is any free one."""
    machines, faults = Machines(delays), Faults()
    targets = Targets(machines)
    groups = Groups(machines, targets)
    formation.fill(faults)
    targets.fill()
    groups.fill()
    MotoRequestHandler.log = lambda *_, **__: None
    moto = DomainDispatcherApplication(create_backend_app)
    ec2 = Ec2(moto, machines, targets, faults)
    serving = make_server(host, port, ec2, threaded=True, request_handler=MotoRequestHandler)
    with groups:
        yield serving


class Cloud:
    """A cloud that runs somewhere, and how to script it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=10)

    def fail(self, action: str, code: str | None = None, **fault: Any) -> None:
        """Let the next calls of ``action`` fail: see :class:`Fault`."""
        self._http.post("/_faults", json=asdict(Fault(action, code, **fault))).raise_for_status()

    def mend(self) -> None:
        """Let nothing fail any more, and every token be as good as new."""
        self._http.delete("/_faults").raise_for_status()

    def off(self, provider_id: str) -> None:
        """Tell that the machine of an instance that was to end is off."""
        self._http.delete(f"/_power?{provider_id}").raise_for_status()

    def databases(self) -> list[dict[str, Any]]:
        """Return its databases: what whoever stands in for them has to know, the password included."""
        found: list[dict[str, Any]] = self._http.get("/_databases").raise_for_status().json()
        return found

    def calls(self, action: str) -> int:
        """Return how often ``action`` was called."""
        return int(self._http.get("/_faults").raise_for_status().json()["calls"].get(action, 0))

    def warm(self) -> None:
        """Let it load all that it knows of EC2: its first answer takes seconds on a busy machine."""
        credential = "Credential=lab/20260101/eu-central-1/ec2/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none"}
        call = {"Action": "DescribeSubnets", "Version": "2016-11-15"}
        self._http.post("/", data=call, headers=headers, timeout=60).raise_for_status()

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


@contextmanager
def local_cloud(**delays: float) -> Iterator[Cloud]:
    """Run a cloud with these :class:`Delays` in a thread, on a port of its own."""
    with server("127.0.0.1", 0, Delays(**delays)) as serving:
        thread = threading.Thread(target=serving.serve_forever, name="cloud", daemon=True)
        thread.start()
        cloud = Cloud(f"http://127.0.0.1:{serving.server_port}")
        try:
            cloud.warm()
            yield cloud
        finally:
            cloud.close()
            serving.shutdown()
            thread.join()
            serving.server_close()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    for delay in fields(Delays):
        parser.add_argument(f"--{delay.name.replace('_', '-')}", type=float, default=0.0)
    arguments = parser.parse_args()
    delays = Delays(**{delay.name: getattr(arguments, delay.name) for delay in fields(Delays)})
    with server(arguments.host, arguments.port, delays) as serving:
        serving.serve_forever()


if __name__ == "__main__":
    main()
