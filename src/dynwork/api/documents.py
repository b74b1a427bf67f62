"""HTML that this package ships, each document made whole when the API starts, with the policy that fits it.

A document is written in parts: ``{{ name }}`` in it stands for another file of ``web/``. What it may run is what it
contains: the policy (Content-Security-Policy) names its scripts and styles by their SHA-256, so there is nothing that a
build step would have to keep in step, and nothing that was put into it on its way is run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from fastapi.responses import HTMLResponse

WEB = resources.files("dynwork.api") / "web"
_PART = re.compile(r"\{\{ ([\w.]+) \}\}")
_NOTHING_ELSE = (
    "default-src 'none'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)


def read(name: str) -> str:
    """Return the document ``name`` of ``web/``, its parts put in."""
    text = (WEB / name).read_text(encoding="utf-8")
    return _PART.sub(lambda part: read(part[1]), text)


def response(html: str, *, scripts: str = "", styles: str = "") -> HTMLResponse:
    """Return the answer with ``html``.

    ``scripts``: sources that it may run beside what is written in it. ``styles``: those of its styles, where that is
    not just what is written in it.
    """
    policy = (
        *_NOTHING_ELSE,
        f"script-src {_inline('script', html)} {scripts}".rstrip(),
        f"style-src {styles or _inline('style', html)}",
    )
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "; ".join(policy),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(html, headers=headers)


def _inline(element: str, html: str) -> str:
    """Return the sources that stand for what is between the tags of every ``element``."""
    found = re.findall(rf"<{element}(?: type=\"module\")?>(.*?)</{element}>", html, re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found)
    return " ".join(f"'sha256-{value}'" for value in hashes)
