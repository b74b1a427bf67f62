"""The composition root: the only place that builds clock, randomness, settings, store, provider and clients.

Each role is one function: read the settings, build the parts, hand them to the role, run until told to stop. A role
loads only what it is built from: starting a worker does not wait for the store's engine to be imported.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, TypeVar

from uvicorn.loops.auto import auto_loop_factory

from dynwork import exits, logs
from dynwork.errors import ConfigurationError, DynworkError, OrphanedError
from dynwork.serving import Stop
from dynwork.settings import ApiSettings, CommonSettings, OrchestratorSettings, WorkerSettings, load

SettingsT = TypeVar("SettingsT", bound=CommonSettings)
Role: TypeAlias = Callable[[SettingsT, Stop], Awaitable[None]]

log = logs.get("dynwork.compose")


async def api(settings: ApiSettings, stop: Stop) -> None:
    """Run an API instance until ``stop``."""
    from dynwork.compose import _api

    await _api.run(settings, stop)


async def orchestrator(settings: OrchestratorSettings, stop: Stop) -> None:
    """Run an orchestrator until ``stop``."""
    from dynwork.compose import _orchestrator

    await _orchestrator.run(settings, stop)


async def worker(settings: WorkerSettings, stop: Stop) -> None:
    """Run a worker until ``stop``."""
    from dynwork.compose import _worker

    await _worker.run(settings, stop)


async def _until_stopped(settings: SettingsT, run: Role[SettingsT]) -> None:
    stop = Stop()
    stop.listen(settings.parent_fd)
    await run(settings, stop)


ORDERLY: Mapping[type[DynworkError], int] = {
    ConfigurationError: exits.CONFIGURATION,
    OrphanedError: exits.ORPHANED,
}
"""How a role may end without a defect: each is one clear line, not a traceback, and has an exit code of its own."""


def _orderly(error: BaseException) -> DynworkError | None:
    """Find the orderly end in ``error``: task groups wrap what their tasks raise."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_orderly, error.exceptions)), None)
    return error if isinstance(error, DynworkError) and isinstance(error, tuple(ORDERLY)) else None


def _only(error: Exception) -> Exception:
    """Unwrap groups of one: the reader of a log wants the error, not its wrappings."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _run(role: str, model: type[SettingsT], run: Role[SettingsT]) -> int:
    try:
        settings = load(model)
        logs.configure(role, settings.log_format, settings.log_level)
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(_until_stopped(settings, run))
    except KeyboardInterrupt:  # before the role listened to signals
        return exits.INTERRUPTED
    except Exception as error:  # the last one to see it: told here, and the exit code says so
        orderly = _orderly(error)
        if orderly is not None:
            sys.stderr.write(f"dynwork {role}: {orderly.detail}\n")
            return next(code for kind, code in ORDERLY.items() if isinstance(orderly, kind))
        log.exception("role_failed", exc_info=_only(error))
        return exits.FAILED
    return 0


def main(role: str) -> int:
    """Run one role to its end; return the exit code. A refusal to start is one clear line, not a traceback."""
    match role:
        case "api":
            return _run(role, ApiSettings, api)
        case "orchestrator":
            return _run(role, OrchestratorSettings, orchestrator)
        case "worker":
            return _run(role, WorkerSettings, worker)
        case _:
            raise ValueError(f"there is no role {role!r}")
