"""dynwork: CPU-heavy work over HTTP, on machines that come and go by themselves.

    with dynwork.Client() as client:
        job_id = client.submit(b"some bytes", iterations=1_000_000)
        print(client.result(job_id))

:class:`~dynwork.client.Client` and :class:`~dynwork.client.AsyncClient` are the way to the public API from Python.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynwork.client import AsyncClient, Client, Digest, Receipt, Result, Work

__all__ = ["AsyncClient", "Client", "Digest", "Receipt", "Result", "Work", "__version__"]

__version__ = version("dynwork")


def __getattr__(name: str) -> object:
    """Load the client when it is asked for: roles and lanes start without it."""
    if name in __all__:
        from dynwork import client

        found: object = getattr(client, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
