"""The Python client, synchronous and asynchronous; everything public is imported from ``dynwork`` itself.

The asynchronous one (``_async*.py``) is written by hand and the other generated from it (``_sync*.py``, by ``make
client``), so they cannot drift apart. Neither starts a task or a thread that outlives a call. What needs no waiting is
shared and pure: the calls (``_calls``), whom to ask and how often (``_hosts``), how works are packed (``_work``).
"""

from __future__ import annotations

from dynwork.client._async import AsyncClient
from dynwork.client._outside import AsyncOutside, Outside
from dynwork.client._sync import Client
from dynwork.client._work import Digest, Receipt, Result, Work, sha512_of

__all__ = ["AsyncClient", "AsyncOutside", "Client", "Digest", "Outside", "Receipt", "Result", "Work", "sha512_of"]
