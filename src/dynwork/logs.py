"""Logs: structlog events with fields, readable on a console, JSON in production.

Bind what an event is about (``job_id``, ``worker_id``, ``epoch``, ``request_id``); the message is a short constant.
Lines of libraries go through the same renderer. Nothing secret is ever an event's field; should one slip in, in a
field, a message or a traceback, it is hidden on its way out. Tracebacks never show local variables: those hold tokens.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

Log = FilteringBoundLogger

HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"authorization|secret|password|token|api_?key|cookie", re.IGNORECASE)
_BEARER = re.compile(r"(?i)\b(bearer) +[^\s\"',}\])]+")
_URL_PASSWORD = re.compile(r"(://[^/\s:@\"']*:)[^@/\s\"']+@")


def configure(role: str, log_format: str = "console", level: str = "info") -> None:
    """Set up logging of this process, once, to stderr. ``role`` is on every line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _hide_fields,
    ]
    if log_format == "json":
        shared.append(structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)))
        renderer: Processor = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer, _hide_text],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("dynwork").setLevel(level.upper())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(role=role)


def get(name: str) -> Log:
    """Return the logger of a module, named ``dynwork.…``."""
    logger: Log = structlog.get_logger(name)
    return logger


def _hide_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: _hidden(name, value) for name, value in event.items()}


def _hidden(name: object, value: object) -> object:
    if value is not None and isinstance(name, str) and _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {inner: _hidden(inner, item) for inner, item in value.items()}
    return value


def _hide_text(_logger: WrappedLogger, _method: str, line: Any) -> str:  # a rendered line by now, not an event
    return _URL_PASSWORD.sub(rf"\1{HIDDEN}@", _BEARER.sub(rf"\1 {HIDDEN}", line))
