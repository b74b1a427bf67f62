"""What the commands ask of an API, and how they end when it refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import typer

from dynwork.settings import ClientSettings, load

EXIT_REFUSED = 1
EXIT_NO_ANSWER = 3
TIMEOUT_S = 40.0
"""Longest wait for one answer, seconds."""
LOOK_S = 0.25
"""``submit --wait`` looks this often, seconds."""


@contextmanager
def connected() -> Iterator[httpx.Client]:
    """Give a client of the API that the environment names, with its key."""
    settings = load(ClientSettings)
    headers = {b"Authorization": f"Bearer {settings.api_key.get_secret_value()}".encode()} if settings.api_key else {}
    with httpx.Client(base_url=settings.url, headers=headers, timeout=TIMEOUT_S) as client:
        yield client


def answer_of(response: httpx.Response) -> Any:
    """Return the body of a success; anything else ends the command with one line."""
    try:
        if response.is_success:
            return response.json()
        problem = response.json()
        line = f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        line = f"status {response.status_code}, and not what a dynwork API says: is {response.url.netloc.decode()} one?"
    typer.echo(f"dynwork: {line}", err=True)
    raise typer.Exit(EXIT_NO_ANSWER if response.status_code == 503 else EXIT_REFUSED)


def path_of(job_id: str) -> str:
    """Return where the job is, as one piece of a path whatever the id holds."""
    return f"/jobs/{quote(job_id, safe='')}"


def ended(api: httpx.Client, job_id: str) -> Any:
    """Look until the job has ended; return it."""
    pause = threading.Event()
    while True:
        answer = answer_of(api.get(f"/jobs/{job_id}"))
        if answer["completed_at"] is not None:
            return answer
        pause.wait(LOOK_S)
