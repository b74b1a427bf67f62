"""The metadata service of all instances: version 2 (session tokens) where they demand it.

    python -m tests.aws.lab.imds STATE

STATE is a JSON file that is written anew whenever something changes: by address, ``meta`` (paths below
``/latest/meta-data`` and what is there) and ``http_tokens``.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.aws.lab.network import METADATA

TOKEN, TTL = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
META = "/latest/meta-data"


class Service(BaseHTTPRequestHandler):
    """One request of one instance, which is known by its address."""

    protocol_version = "HTTP/1.1"
    state: Path
    tokens: dict[str, tuple[str, float]] = {}  # noqa: RUF012 - of the service, not of a request

    def do_PUT(self) -> None:
        """Give a token."""
        ttl = self.headers.get(TTL, "")
        if self.path != "/latest/api/token" or not ttl.isdigit() or not 1 <= int(ttl) <= 21_600:
            return self._answer(400)
        token = secrets.token_urlsafe(40)
        self.tokens[token] = (self.client_address[0], time.time() + int(ttl))
        return self._answer(200, token)

    def do_GET(self) -> None:
        """Tell an instance of itself."""
        me: dict[str, Any] | None = json.loads(self.state.read_text()).get(self.client_address[0])
        if me is None or not self.path.startswith(META):
            return self._answer(404)
        given = self.headers.get(TOKEN)
        address, until = self.tokens.get(given or "", ("", 0.0))
        if (given or me["http_tokens"] == "required") and (address != self.client_address[0] or until < time.time()):
            return self._answer(401)
        found = _page(me["meta"], self.path.removeprefix(META).strip("/"))
        return self._answer(404) if found is None else self._answer(200, found)

    def _answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _page(meta: dict[str, str], path: str) -> str | None:
    """Return a value, or the names below a folder."""
    if path in meta:
        return meta[path]
    prefix = f"{path}/" if path else ""
    below = sorted({name.removeprefix(prefix).split("/")[0] for name in meta if name.startswith(prefix)})
    return "\n".join(below) or None


if __name__ == "__main__":
    Service.state = Path(sys.argv[1])
    ThreadingHTTPServer((METADATA, 80), Service).serve_forever()
