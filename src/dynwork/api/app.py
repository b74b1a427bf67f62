"""The public HTTP application, put together from its routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI, Request

from dynwork import __version__, health, problems
from dynwork.addresses import is_loopback
from dynwork.api import bulk, enqueue, events, fleet, jobs, listing, pages, results
from dynwork.api.access import Access
from dynwork.api.auth import KeyGuard
from dynwork.api.board import Board
from dynwork.api.bodies import Bodies, Bounds
from dynwork.api.document import DESCRIPTION, LICENSE, TAGS, describe
from dynwork.api.gateway import Gateway
from dynwork.api.metrics import Metrics
from dynwork.api.refusals import responses
from dynwork.api.submissions import Limits, Submissions
from dynwork.api.tail import Tail
from dynwork.clock import Clock
from dynwork.errors import UnauthorizedError
from dynwork.kinds import Kind
from dynwork.orchestrators import Orchestrators
from dynwork.serving import Background
from dynwork.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Outside:
    """What the application is given from outside. ``kind_named`` raises ``UnknownKindError``."""

    orchestrators: Orchestrators
    clock: Clock
    new_id: Callable[[], str]
    kind_named: Callable[[str], Kind]


@dataclass(frozen=True, slots=True)
class Api:
    """The application, and what must run beside it."""

    app: FastAPI
    submissions: Submissions
    bodies: Bodies
    tail: Tail
    board: Board

    @property
    def background(self) -> tuple[Background, ...]:
        """What goes on beside the application, until cancelled."""
        return (self.submissions.run, self.bodies.run, self.tail.run, self.board.run)

    def stop(self) -> None:
        """Answer those who wait, and end what streams."""
        self.tail.stop()
        self.board.ring()


def build(settings: ApiSettings, outside: Outside) -> Api:
    """Put the application together."""
    metrics = Metrics()
    gateway = Gateway(outside.orchestrators, outside.clock, metrics)
    limits = Limits(settings.submit_batch_max, settings.submit_pending_max, settings.submit_timeout_s)
    submissions = Submissions(gateway, limits, metrics)
    tail = Tail(gateway, outside.clock)
    metrics.waiting.set_function(lambda: tail.waiting)
    board = Board(gateway, tail, outside.clock)
    guard = KeyGuard(settings.keys)
    app = FastAPI(
        title="dynwork",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        license_info=LICENSE,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.openapi = partial(describe, app, settings.iterations_max)  # type: ignore[method-assign] # FastAPI's documented way
    problems.install(app)
    app.add_middleware(Access, metrics=metrics, clock=outside.clock, new_id=outside.new_id)
    bodies = Bodies(Bounds(settings.body_bytes_max, settings.iterations_max), outside.clock)
    reader = bulk.Reader(settings.iterations_max, outside.kind_named, outside.new_id)
    for routes in (
        enqueue.router(guard, submissions, bodies, outside.kind_named, outside.new_id, metrics),
        bulk.router(guard, submissions, bodies, reader),
        results.router(guard, gateway, tail),
        listing.router(guard, gateway),
        jobs.router(guard, gateway, tail, outside.new_id),
        fleet.router(guard, gateway),
        events.router(guard, board, outside.clock),
    ):
        app.include_router(routes)
    page_guard = _open if pages_are_open(settings) else guard.page
    app.include_router(health.pages(metrics.registry, gateway.missing, page_guard, closed=responses(UnauthorizedError)))
    app.include_router(pages.router(page_guard))
    return Api(app, submissions, bodies, tail, board)


def pages_are_open(settings: ApiSettings) -> bool:
    """Say whether ``/metrics``, ``/docs`` and ``/openapi.json`` answer without a key: unset, only on loopback."""
    return is_loopback(settings.api_host) if settings.open_pages is None else settings.open_pages


def _open(_request: Request) -> None:
    """Let everyone pass."""
