"""The error tree: everything that dynwork refuses or fails at, each leaf with a stable code.

A code is part of the public contract (it appears in ``problem+json`` bodies and in job errors) and never changes its
meaning. HTTP statuses live in one table, :mod:`dynwork.problems`; nothing here knows about HTTP.
"""

from __future__ import annotations

from typing import ClassVar


class DynworkError(Exception):
    """Base of everything dynwork raises on purpose. ``detail`` says what happened and what to do next."""

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class ConfigurationError(DynworkError):
    """A setting is wrong, or two settings do not go together: the process refuses to start."""

    code = "bad_configuration"


# --- what a caller did -----------------------------------------------------------------------------------------------
class RefusedError(DynworkError):
    """The request is understood and refused; nothing was changed."""


class InvalidInputError(RefusedError):
    """A parameter is missing, malformed or out of its bounds."""

    code = "invalid_input"

    def __init__(self, detail: str, *, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors or []


class EmptyBodyError(RefusedError):
    """The buffer to hash has no bytes."""

    code = "empty_body"


class BodyTooLargeError(RefusedError):
    """The buffer is longer than ``DYNWORK_BODY_BYTES_MAX``."""

    code = "body_too_large"


class BodyTooSlowError(RefusedError):
    """The body stood still for too long, or took too long as a whole: the call says how long it may."""

    code = "body_too_slow"


class ClientGoneError(RefusedError):
    """The client closed the connection before its body was complete."""

    code = "client_gone"


class UnauthorizedError(RefusedError):
    """The key or token is missing or wrong."""

    code = "unauthorized"


class ForbiddenError(RefusedError):
    """The key is valid, but it lacks the right that this call needs."""

    code = "forbidden"


class ForeignSiteError(RefusedError):
    """A web page of another site sent this, and no key or token guards what it asks for."""

    code = "foreign_site"


class NotFoundError(RefusedError):
    """No such thing, or not yours: the two are told apart for nobody."""

    code = "not_found"


class KeyReusedError(RefusedError):
    """The idempotency key was used before, for a different job of this owner that is still kept."""

    code = "key_reused"


class JobFinishedError(RefusedError):
    """The job has ended; a terminal state never changes."""

    code = "job_finished"


class JobNotDeadError(RefusedError):
    """Only a dead job can be requeued."""

    code = "job_not_dead"


class CursorExpiredError(RefusedError):
    """Entries after the cursor may be gone, by retention or by a restore: start again without a cursor."""

    code = "cursor_expired"


class UnknownKindError(RefusedError):
    """No such kind of work is installed."""

    code = "unknown_kind"


# --- what the system could not do just now ---------------------------------------------------------------------------
class UnavailableError(DynworkError):
    """Not possible at the moment; the same call may succeed later."""

    code = "unavailable"


class QueueFullError(UnavailableError):
    """``DYNWORK_QUEUE_JOBS_MAX`` jobs are waiting already."""

    code = "queue_full"


class NoOrchestratorError(UnavailableError):
    """Every orchestrator was tried and none gave an answer. What was sent may or may not have taken effect."""

    code = "no_orchestrator"


class StoreUnavailableError(UnavailableError):
    """The store did not commit: nothing is acknowledged."""

    code = "store_unavailable"


class NoAnswerError(UnavailableError):
    """No API answered the client, for as long as it tried. What was sent may or may not have taken effect."""

    code = "no_answer"


class StoreLockedError(ConfigurationError):
    """Another orchestrator has this SQLite file open: only one may."""

    code = "store_locked"


class StaleLeaderError(DynworkError):
    """The act was planned under a leadership that has passed to another: nothing was changed."""

    code = "stale_leader"


# --- what a client finds out about its job, or about whom it talks to -------------------------------------------------
class JobEndedError(DynworkError):
    """There is no result and there will be none: the job has ended."""


class JobDeadError(JobEndedError):
    """The job failed for good; ``detail`` says with what. It can be requeued."""

    code = "job_dead"


class JobCancelledError(JobEndedError):
    """The job was cancelled."""

    code = "job_cancelled"


class JobUnfinishedError(DynworkError):
    """The job has not ended within the time that the caller wanted to wait. It goes on."""

    code = "job_unfinished"


class UnexpectedAnswerError(DynworkError):
    """What answered the client does not speak like a dynwork API: another server, or a proxy before it."""

    code = "unexpected_answer"


class OrphanedError(DynworkError):
    """No orchestrator has served a worker of a fleet for ``DYNWORK_WORKER_ORPHAN_S``: it ends, with its machine."""

    code = "orphaned"


# --- what the provider of machines did -------------------------------------------------------------------------------
class FleetError(DynworkError):
    """The provider of machines did not do what it was asked: nothing was launched, unless that is unclear."""

    code = "fleet"


class FleetCapacityError(FleetError):
    """The provider has no such machine to give just now."""

    code = "capacity"


class FleetQuotaError(FleetError):
    """Our own limit at the provider is reached; waiting does not help, raising it does."""

    code = "quota"


class FleetThrottledError(FleetError):
    """Too many calls; the same call may succeed a little later."""

    code = "throttled"


class FleetDeniedError(FleetError):
    """We are not allowed to do that, or not at the moment."""

    code = "denied"


class FleetTemplateError(FleetError):
    """What a machine is made from is wrong or missing: no launch can succeed until it is mended."""

    code = "bad_template"


class FleetUnclearError(FleetError):
    """No answer, or none that can be understood: it may have taken effect. Ask again with the same token."""

    code = "unclear"


class FleetTokenError(FleetUnclearError):
    """The launch token stands for another call already, which may have taken effect: this one cannot be repeated."""

    code = "token_reused"


BY_CODE: dict[str, type[DynworkError]] = {
    leaf.code: leaf for base in (RefusedError, UnavailableError) for leaf in base.__subclasses__()
}
"""What a request may be refused with, by its code: how a caller makes a typed error of a ``problem+json`` again."""


def of_code(
    code: str, detail: str, *, fields: list[dict[str, str]] | None = None, retry_after_s: float | None = None
) -> DynworkError | None:
    """Return the typed error with this code, of those in :data:`BY_CODE`; ``None`` for a code that is not known here.

    ``fields``: what is wrong with the input, field by field, where the code is about input.
    """
    leaf = BY_CODE.get(code)
    if leaf is InvalidInputError:
        return InvalidInputError(detail, errors=fields)
    return leaf(detail, retry_after_s=retry_after_s) if leaf else None
