"""AWS as a server on one address: moto, and what moto lacks of EC2.

    python -m tests.aws.lab.cloud HOST PORT [--pending-s 2] [--unseen-s 1] [--ending-s 60]

* **Faults**, scripted by ``POST /_faults`` with a :class:`Fault` as JSON, dropped by ``DELETE``: an error code, a
  delay, a reply that is lost after the call took effect. ``GET`` shows how often each action was called.
* **Client tokens**: a repeated RunInstances answers with the first instance; other parameters are a mismatch.
* **User data** beyond 16 KiB are refused.
* **pending**: a new instance is not running at once. **Lag**: nor is it listed at once.
* **shutting-down**: an instance that is to end has time to do so. ``DELETE /_power?INSTANCE`` says that it is off.
* **The template counts**: metadata options and instance profile of a launch template are the instance's.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import httpx
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import InstanceState
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from dynwork.clock import SystemClock

Environment: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environment, StartResponse], Iterable[bytes]]

USER_DATA_BYTES_MAX = 16 * 1024
PENDING, RUNNING, SHUTTING_DOWN, TERMINATED = ("pending", 0), ("running", 16), ("shutting-down", 32), ("terminated", 48)


@dataclass(slots=True)
class Fault:
    """What happens to the next ``times`` calls of ``action`` ("*": of any) that carry the parameters in ``match``.

    ``code`` with ``status``: answered so, without effect; ``body``: with this instead of what EC2 says. ``delay_s``:
    answered late. ``lost``: the connection is cut instead of an answer, before the call has an effect, or after it
    (``effect``).
    """

    action: str
    code: str | None = None
    status: int = 400
    message: str = ""
    body: str | None = None
    times: int = 1
    delay_s: float = 0.0
    lost: bool = False
    effect: bool = True
    match: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def send(self, start_response: StartResponse) -> list[bytes]:
        headers = [(name, value) for name, value in self.headers if name.lower() != "content-length"]
        start_response(self.status, [*headers, ("Content-Length", str(len(self.body)))])
        return [self.body]


@dataclass(frozen=True, slots=True)
class Delays:
    """How long, in seconds: a new instance is pending, is not listed; one that ends is shutting down at most."""

    pending_s: float = 0.0
    unseen_s: float = 0.0
    ending_s: float = 0.0


class Ec2:
    """The wrapper around moto's application."""

    def __init__(self, inner: Application, delays: Delays) -> None:
        self._inner = inner
        self._delays = delays
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._calls: Counter[str] = Counter()
        self._tokens: dict[str, tuple[str, _Answer]] = {}
        self._listed_from: dict[str, float] = {}

    def __call__(self, environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if environment["PATH_INFO"] == "/_faults":
            return self._script(environment, start_response)
        if environment["PATH_INFO"] == "/_power":
            _end(_instance(environment["QUERY_STRING"]))
            return _Answer("200 OK", [], b"").send(start_response)
        if environment["REQUEST_METHOD"] != "POST" or "urlencoded" not in environment.get("CONTENT_TYPE", ""):
            return self._inner(environment, start_response)
        body = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        environment["wsgi.input"] = io.BytesIO(body)
        call = dict(parse_qsl(body.decode(), keep_blank_values=True))
        fault = self._fault(call)
        if fault is not None:
            threading.Event().wait(fault.delay_s)
            if fault.lost:
                if fault.effect:
                    self._answer(environment, call)
                environment["werkzeug.socket"].shutdown(2)
                raise ConnectionAbortedError
            if fault.body is not None:
                return _Answer(f"{fault.status} Odd", [], fault.body.encode()).send(start_response)
            if fault.code is not None:
                return _error(fault.status, fault.code, fault.message or fault.code).send(start_response)
        return self._answer(environment, call).send(start_response)

    def _script(self, environment: Environment, start_response: StartResponse) -> list[bytes]:
        body = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        with self._lock:
            if environment["REQUEST_METHOD"] == "POST":
                self._faults.append(Fault(**json.loads(body)))
            elif environment["REQUEST_METHOD"] == "DELETE":
                self._faults.clear()
                self._tokens.clear()
            shown = json.dumps({"faults": [asdict(fault) for fault in self._faults], "calls": self._calls})
        return _Answer("200 OK", [("Content-Type", "application/json")], shown.encode()).send(start_response)

    def _fault(self, call: dict[str, str]) -> Fault | None:
        action = call.get("Action", "")
        with self._lock:
            self._calls[action] += 1
            for fault in self._faults:
                meant = fault.action in (action, "*") and fault.match.items() <= call.items()
                if meant and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def _answer(self, environment: Environment, call: dict[str, str]) -> _Answer:
        action = call.get("Action")
        if action == "RunInstances":
            return self._run(environment, call)
        if action == "TerminateInstances":
            return self._terminate(environment, call)
        if action != "DescribeInstances":
            return self._through(environment)
        with self._lock:  # a launch under way is not seen before it is known for how long it is not to be seen
            return self._without_unseen(self._through(environment))

    def _through(self, environment: Environment) -> _Answer:
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        body = b"".join(self._inner(environment, lambda status, headers, *_: begun.append((status, list(headers)))))
        return _Answer(*begun[0], body)

    def _run(self, environment: Environment, call: dict[str, str]) -> _Answer:
        if len(base64.b64decode(call.get("UserData", ""))) > USER_DATA_BYTES_MAX:
            return _error(400, "InvalidParameterValue", "User data is limited to 16384 bytes")
        token = call.get("ClientToken")
        said = hashlib.sha256(repr(sorted(call.items())).encode()).hexdigest()
        with self._lock:
            if token in self._tokens:
                before, answer = self._tokens[token]
                if before == said:
                    return answer
                return _error(400, "IdempotentParameterMismatch", "the token was used for other parameters")
            answer = self._through(environment)
            if answer.status.startswith("200"):
                if token:
                    self._tokens[token] = (said, answer)
                self._begin(answer, call)
            return answer

    def _terminate(self, environment: Environment, call: dict[str, str]) -> _Answer:
        with self._lock:
            named = [_instance(value) for name, value in call.items() if name.startswith("InstanceId.")]
            before = [(one, one._state.name) for one in named if one is not None]
            answer = self._through(environment)
            for instance, state in before if answer.status.startswith("200") and self._delays.ending_s else ():
                if state != TERMINATED[0]:
                    instance._state = InstanceState(*SHUTTING_DOWN)
                if state in (PENDING[0], RUNNING[0]):
                    threading.Timer(self._delays.ending_s, _end, [instance]).start()
            return answer

    def _begin(self, answer: _Answer, call: dict[str, str]) -> None:
        for backend in ec2_backends[DEFAULT_ACCOUNT_ID].values():
            for instance in backend.all_instances():
                if instance.id in self._listed_from or instance.id not in answer.body.decode():
                    continue
                self._listed_from[instance.id] = self._clock.monotonic() + self._delays.unseen_s
                _like_its_template(backend, instance, call)
                if self._delays.pending_s:
                    instance._state = InstanceState(*PENDING)
                    threading.Timer(self._delays.pending_s, _run_if_pending, [instance]).start()

    def _without_unseen(self, answer: _Answer) -> _Answer:
        now = self._clock.monotonic()
        unseen = {instance_id for instance_id, since in self._listed_from.items() if since > now}
        if not unseen:
            return answer
        root = ElementTree.fromstring(answer.body)
        for reservations in root.findall(".//{*}reservationSet"):
            for item in list(reservations):
                if any(found.text in unseen for found in item.findall(".//{*}instanceId")):
                    reservations.remove(item)
        return _Answer(answer.status, answer.headers, ElementTree.tostring(root))


def _instance(provider_id: str) -> Any:
    every = (one for backend in ec2_backends[DEFAULT_ACCOUNT_ID].values() for one in backend.all_instances())
    return next((one for one in every if one.id == provider_id), None)


def _end(instance: Any) -> None:
    if instance is not None and instance._state.name == SHUTTING_DOWN[0]:
        instance._state = InstanceState(*TERMINATED)


def _run_if_pending(instance: Any) -> None:
    if instance._state.name == PENDING[0]:
        instance._state = InstanceState(*RUNNING)


def _like_its_template(backend: Any, instance: Any, call: dict[str, str]) -> None:
    """Let the instance have what its template says: moto forgets the metadata options and the profile."""
    template_id, name = call.get("LaunchTemplate.LaunchTemplateId"), call.get("LaunchTemplate.LaunchTemplateName")
    if template_id is None and name is None:
        return
    template = backend.get_launch_template(template_id) if template_id else backend.get_launch_template_by_name(name)
    data = template.default_version().data
    options = data.get("MetadataOptions", {})
    if isinstance(options, dict) and options:
        instance.metadata_options = {
            "state": "applied",
            "http_tokens": options.get("HttpTokens", "optional"),
            "instance_metadata_tags": options.get("InstanceMetadataTags", "disabled"),
        }


def _error(status: int, code: str, message: str) -> _Answer:
    body = (
        f'<?xml version="1.0"?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>'
        f"</Errors><RequestID>{uuid.uuid4()}</RequestID></Response>"
    )
    return _Answer(f"{status} Error", [("Content-Type", "text/xml")], body.encode())


class _Quiet(MotoRequestHandler):
    def log(self, *_: object, **__: object) -> None:
        """Say nothing of each request."""


def server(host: str, port: int, delays: Delays) -> BaseWSGIServer:
    """Return the cloud, listening on ``host``; port 0 is any free one."""
    moto = DomainDispatcherApplication(create_backend_app)
    return make_server(host, port, Ec2(moto, delays), threaded=True, request_handler=_Quiet)


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
        self._http.delete("/_power", params=provider_id).raise_for_status()

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
    serving = server("127.0.0.1", 0, Delays(**delays))
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
    parser.add_argument("--pending-s", type=float, default=0.0)
    parser.add_argument("--unseen-s", type=float, default=0.0)
    parser.add_argument("--ending-s", type=float, default=0.0)
    arguments = parser.parse_args()
    delays = Delays(arguments.pending_s, arguments.unseen_s, arguments.ending_s)
    server(arguments.host, arguments.port, delays).serve_forever()


if __name__ == "__main__":
    main()
