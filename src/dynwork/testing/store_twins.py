"""Two stores that live the same life: the reference, and one that must answer like it.

:meth:`Twins.both` does the same to both and compares what they answer, refusals by their codes. It is synchronous, for
hypothesis: the twins keep an event loop of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from dynwork.errors import DynworkError
from dynwork.orchestrator.core.job import Job
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import Rules

T = TypeVar("T")


class Twins:
    """The reference, and the store that ``make`` builds on the same data each time it is called."""

    def __init__(self, rules: Rules, make: Callable[[], Store]) -> None:
        self._runner = asyncio.Runner()
        self._make = make
        self._reference: Store = MemoryStore(rules)
        self._store = self._opened()

    def close(self) -> None:
        """Close both."""
        self._runner.run(self._store.close())
        self._runner.close()

    def restart(self) -> None:
        """Close the store and open another on what it left behind; the reference just goes on."""
        self._runner.run(self._store.close())
        self._store = self._opened()

    def both(self, act: Callable[[Store], Awaitable[T]]) -> T | str:
        """Do the same to both stores; return what both answered, the code if both refused."""

        async def outcome(store: Store) -> T | DynworkError:
            try:
                return await act(store)
            except DynworkError as refusal:
                return refusal

        expected = self._runner.run(outcome(self._reference))
        actual = self._runner.run(outcome(self._store))
        assert plain(actual) == plain(expected)
        return expected.code if isinstance(expected, DynworkError) else expected

    def _opened(self) -> Store:
        store = self._make()
        self._runner.run(store.open())
        return store


def plain(value: Any) -> Any:
    """Make values of both stores comparable: errors by their code, sequences as lists."""
    if isinstance(value, DynworkError):
        return value.code
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, (type, Job)):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value
