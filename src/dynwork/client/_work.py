"""What goes in and what comes out: works, receipts, results; and how works are packed into calls. Pure but for files.

The built-in chain begins with the SHA-512 of its buffer, so that is computed here: 64 bytes travel, whatever the size
of the buffer, and a repeated call costs nothing. For any other kind the buffer itself travels, many small ones
together, a big one alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from dynwork import errors
from dynwork.client import _calls as calls
from dynwork.kinds import DEFAULT_KIND
from dynwork.wire import BULK_JOBS_MAX, STEPS_MAX, BulkReply, BulkResult, JobView, ResultView

SHA512_OF_NOTHING = hashlib.sha512().hexdigest()
PARCEL_BYTES_MAX = 2 * 1024**2
"""Longest body of several jobs together, bytes; a buffer that alone is longer goes by ``PUT /enqueue``."""

KEY = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")
"""Keys that any call carries as they are; that of a buffer that goes alone stands in a header."""

OF_ONE_JOB = (
    errors.BodyTooLargeError,
    errors.EmptyBodyError,
    errors.InvalidInputError,
    errors.KeyReusedError,
    errors.UnknownKindError,
)
"""Refusals of a call that mean the job in it, not the caller."""


@dataclass(frozen=True, slots=True)
class Digest:
    """The SHA-512 of a buffer, as hex, in place of the buffer: for the built-in chain."""

    sha512: str


Buffer: TypeAlias = bytes | Path | Digest


@dataclass(frozen=True, slots=True)
class Work:
    """One job to be handed in.

    ``data``: the buffer, or the file that it is read from. ``iterations``: steps, 1 or more. ``priority``: 0 to 9, 9
    goes first. ``key`` names the job: handed in again under the same key, by the same owner and while the cluster keeps
    the job (``DYNWORK_RETENTION_S`` after its end), it is the same job; later it is a new one. It is 1 to 256 printable
    characters of ASCII, with no space at its ends. Without one each handing-in is a job of its
    own (and still safe against lost answers). Raises ``TypeError`` for ``data`` that is none.
    """

    data: Buffer
    iterations: int
    priority: int = 5
    kind: str = DEFAULT_KIND
    key: str | None = None

    def __post_init__(self) -> None:
        given: object = self.data  # whoever writes without a type checker gives a name
        if not isinstance(given, bytes | Path | Digest):
            what = f"data is bytes, a Path or a Digest, not {type(given).__name__}"
            raise TypeError(f"{what}: a file is Path(name), a text text.encode()")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of handing in one work: exactly one of ``job_id`` and ``error`` is set.

    ``repeated``: the key may have been known before, and the job may have ended long ago.
    """

    job_id: str | None = None
    repeated: bool = False
    error: errors.DynworkError | None = None

    def value(self) -> str:
        """Return the job's id. Raises the refusal if there is none."""
        if self.error is not None:
            raise self.error
        assert self.job_id is not None
        return self.job_id


@dataclass(frozen=True, slots=True)
class Result:
    """How a job ended. ``refused``: it was never taken, so it has no ``job_id``; ``error`` says why. ``forgotten``: it
    ended so long ago that the cluster no longer knows how (``NotFoundError``).

    ``hash``: the final state as hex, of a job that succeeded. ``completed_at``: ISO 8601 UTC.
    """

    state: Literal["succeeded", "dead", "cancelled", "refused", "forgotten"]
    job_id: str | None = None
    hash: str | None = None
    completed_at: str | None = None
    error: errors.DynworkError | None = None

    def value(self) -> str:
        """Return the hash. Raises the error of a job that did not succeed: what refused it, or a ``JobEndedError``."""
        if self.error is not None:
            raise self.error
        assert self.hash is not None
        return self.hash


def result_of(ended: ResultView | JobView) -> Result:
    """Return how a job that has ended did so."""
    match ended.state:
        case "succeeded":
            return Result("succeeded", ended.job_id, ended.hash, ended.completed_at)
        case "cancelled":
            error: errors.DynworkError = errors.JobCancelledError(f"the job {ended.job_id} was cancelled")
            return Result("cancelled", ended.job_id, None, ended.completed_at, error)
        case "dead":
            why = f": {ended.error.code}: {ended.error.detail}" if ended.error else ""
            error = errors.JobDeadError(f"the job {ended.job_id} is dead{why}")
            return Result("dead", ended.job_id, None, ended.completed_at, error)
        case state:
            raise errors.UnexpectedAnswerError(f"the job {ended.job_id} is among those that ended, and {state}")


def receipt_of(told: BulkResult) -> Receipt:
    """Return what an API told about one work."""
    if told.job_id is not None:
        return Receipt(told.job_id, bool(told.repeated))
    if told.error is None:
        raise errors.UnexpectedAnswerError("a job that was handed in has neither an id nor an error")
    known = errors.of_code(told.error.code, told.error.detail)
    return Receipt(error=known or errors.RefusedError(f"{told.error.code}: {told.error.detail}"))


@dataclass(slots=True)
class Parcel:
    """Works that go in one call. ``places``: which they are among those that were given."""

    places: list[int] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    size: int = 0
    alone: calls.Call[BulkReply] | None = None

    def add(self, place: int, item: str) -> None:
        """Take one item, encoded."""
        self.places.append(place)
        self.items.append(item)
        self.size += len(item) + 1

    def call(self) -> calls.Call[BulkReply]:
        """Return the call that hands them in."""
        return self.alone or calls.bulk(f'{{"jobs":[{",".join(self.items)}]}}'.encode())

    def only(self, kept: Iterable[int]) -> Parcel:
        """Return those at these positions in the parcel, under the same keys."""
        again = Parcel()
        for index in kept:
            again.add(self.places[index], self.items[index])
        return again


@dataclass(frozen=True, slots=True)
class Unusable:
    """A work that cannot be handed in at all, by its place among those that were given."""

    place: int
    error: errors.RefusedError


def parcels(works: Iterable[Work], new_id: Callable[[], str]) -> Iterator[Parcel | Unusable]:
    """Pack ``works``, reading their files as it goes."""
    parcel = Parcel()
    for place, work in enumerate(works):
        try:
            item, body = _encoded(work, work.key or new_id())
        except errors.RefusedError as error:
            yield Unusable(place, error)
            continue
        except OSError as error:
            yield Unusable(place, errors.InvalidInputError(f"{error.filename} cannot be read: {error.strerror}"))
            continue
        except ValueError as error:  # a name that none can be
            yield Unusable(place, errors.InvalidInputError(f"data cannot be read: {error}"))
            continue
        if body is not None:
            yield Parcel([place], alone=calls.enqueue(body, item))
            continue
        encoded = json.dumps(item)
        if parcel.items and (len(parcel.items) == BULK_JOBS_MAX or parcel.size + len(encoded) > PARCEL_BYTES_MAX):
            yield parcel
            parcel = Parcel()
        parcel.add(place, encoded)
    if parcel.items:
        yield parcel


def _encoded(work: Work, key: str) -> tuple[dict[str, str | int], bytes | None]:
    """Return the item, and the body if that is too long to travel in it."""
    if not KEY.fullmatch(key):
        raise errors.InvalidInputError("key: 1 to 256 printable characters of ASCII, no space at its ends")
    if not _can_be_sent(work):
        raise errors.InvalidInputError("iterations and priority are whole numbers, kind a name in UTF-8")
    item: dict[str, str | int] = {"iterations": work.iterations, "priority": work.priority, "kind": work.kind}
    item["key"] = key
    if work.kind == DEFAULT_KIND:
        return {**item, "sha512": sha512_of(work.data)}, None
    if isinstance(work.data, Digest):
        raise errors.InvalidInputError(f"a digest can stand for the buffer of {DEFAULT_KIND} only, not of {work.kind}")
    data = work.data.read_bytes() if isinstance(work.data, Path) else work.data
    if len(data) * 4 // 3 > PARCEL_BYTES_MAX:
        return item, data
    return {**item, "data": base64.b64encode(data).decode()}, None


def _can_be_sent(work: Work) -> bool:
    """Say whether a call can be made of it at all: what is out of bounds is the API's to refuse."""
    numbers: tuple[object, ...] = (work.iterations, work.priority)  # whatever is given without a type checker
    whole = all(isinstance(number, int) and abs(number) <= STEPS_MAX for number in numbers)
    return whole and calls.is_utf8(work.kind)


def sha512_of(data: Buffer) -> str:
    """Return the digest of a buffer, as hex. Raises ``EmptyBodyError``, and ``OSError`` if it cannot be read."""
    if isinstance(data, Digest):
        return data.sha512
    if isinstance(data, bytes):
        digest = hashlib.sha512(data).hexdigest()
    else:
        with data.open("rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha512").hexdigest()
    if digest == SHA512_OF_NOTHING:
        raise errors.EmptyBodyError("a buffer has 1 byte or more")
    return digest
