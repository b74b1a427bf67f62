"""What is answered to a call, and how calls are let fail: scripted by ``/_faults``."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

Environment: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]


@dataclass(slots=True)
class Fault:
    """What happens to the next ``times`` calls of ``action`` ("*": of any) that carry the parameters in ``match``.

    An action is that of a call, e.g. "DescribeInstances", "PutParameter"; of S3 its method and path, "HEAD /bucket";
    or the type of a resource that CloudFormation is to make or change and then cannot, "AWS::EC2::EIP".

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
class Answer:
    status: str
    headers: list[tuple[str, str]]
    body: bytes

    def send(self, start_response: StartResponse) -> list[bytes]:
        headers = [(name, value) for name, value in self.headers if name.lower() != "content-length"]
        start_response(self.status, [*headers, ("Content-Length", str(len(self.body)))])
        return [self.body]


class Faults:
    """Those that are still to come, and how often each action was called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._calls: Counter[str] = Counter()

    def script(self, method: str, body: bytes) -> Answer:
        """Add a fault (``POST``), drop all (``DELETE``), show what there is."""
        with self._lock:
            if method == "POST":
                self._faults.append(Fault(**json.loads(body)))
            elif method == "DELETE":
                self._faults.clear()
            return told({"faults": [asdict(fault) for fault in self._faults], "calls": self._calls})

    def next(self, call: dict[str, str]) -> Fault | None:
        """Count a call; return what is to happen to it."""
        action = call.get("Action", "")
        with self._lock:
            self._calls[action] += 1
            for fault in self._faults:
                meant = fault.action in (action, "*") and fault.match.items() <= call.items()
                if meant and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


def told(what: Any) -> Answer:
    """Answer with JSON."""
    return Answer("200 OK", [("Content-Type", "application/json")], json.dumps(what).encode())


def body_of(environment: Environment) -> bytes:
    """Read the body of a request."""
    body: bytes = environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
    return body


def error_in_json(status: int, code: str, message: str) -> Answer:
    """Refuse, as Systems Manager does."""
    body = json.dumps({"__type": code, "message": message})
    return Answer(f"{status} Error", [("Content-Type", "application/x-amz-json-1.1")], body.encode())


def error_of_s3(status: int, code: str, message: str) -> Answer:
    """Refuse, as S3 does."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(f"{status} Error", [("Content-Type", "application/xml")], body.encode())


def error(status: int, code: str, message: str) -> Answer:
    """Refuse, as EC2 does."""
    body = (
        f'<?xml version="1.0"?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>'
        f"</Errors><RequestID>{uuid.uuid4()}</RequestID></Response>"
    )
    return Answer(f"{status} Error", [("Content-Type", "text/xml")], body.encode())
