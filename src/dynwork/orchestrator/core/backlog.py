"""The work ahead, in seconds: steps of each kind against the capacity for that kind.

    seconds = sum over the kinds of  backlog in steps / capacity in steps per second

as if all the workers did one kind after the other. A kind that nobody has measured is never taken for nothing: it is
named apart, as :attr:`Ahead.unmeasured`, and whoever decides says what that means for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backlog:
    """The jobs of one kind that have not ended: ``queued`` wait for a worker, ``steps`` remain of all of them.

    ``steps`` sums ``total - done`` over queued and leased jobs (float: it may pass 2^63).
    """

    queued: int
    steps: float


@dataclass(frozen=True, slots=True)
class Ahead:
    """``seconds``: what can be told of the work ahead; ``unmeasured``: the kinds of which nothing can, and their work.

    A sum of floats may be a rounding error below zero; ``seconds`` is not.
    """

    seconds: float
    unmeasured: Mapping[str, Backlog]


def ahead(backlog: Mapping[str, Backlog], capacity: Mapping[str, float]) -> Ahead:
    """Return the work ahead for workers who make ``capacity`` steps a second of a kind; 0 or absent: not measured."""
    known = {kind: work.steps / capacity[kind] for kind, work in backlog.items() if capacity.get(kind, 0.0) > 0}
    return Ahead(max(sum(known.values()), 0.0), {kind: work for kind, work in backlog.items() if kind not in known})
