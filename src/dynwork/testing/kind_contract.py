"""What every kind of work must do, as tests: for the built-in kind, and for yours.

    class TestMine(KindContract):
        steps = 50                      # a chain of so many steps takes some milliseconds

        @pytest.fixture
        def kind(self) -> Kind:
            return my_package.KIND

Needs pytest and hypothesis, which tries buffers, cuts and budgets of its own and shows the simplest that fail. What is
not tested because it cannot be seen from outside: that a step depends on nothing but the state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy

from dynwork import kinds
from dynwork.kinds import Kind

THREADS = 4
ENDLESS = 1000
"""So many times the usual steps are asked for where time is to run out first."""

examples = settings(
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,  # kinds are stateless: examples may share one
        HealthCheck.differing_executors,  # suites of several kinds inherit the same tests
        HealthCheck.too_slow,  # how slow a step is, is the kind's own affair
    ],
)


class KindContract:
    """The contract of :class:`dynwork.kinds.Kind`, as tests."""

    steps: ClassVar[int] = 1000
    """The longest chain of these tests, in steps: some milliseconds."""
    buffers: ClassVar[SearchStrategy[bytes]] = st.binary(min_size=1, max_size=300)
    """What a client may send; narrower for a kind that takes only some buffers."""

    # -- what it says of itself
    def test_it_says_of_itself_what_a_worker_must_know(self, kind: Kind) -> None:
        kinds.check(kind)

    # -- starting
    @examples
    @given(data=st.data())
    def test_a_buffer_starts_the_same_chain_in_whatever_pieces_it_comes(self, kind: Kind, data: DataObject) -> None:
        buffer = data.draw(self.buffers, "buffer")
        cuts = sorted(data.draw(st.lists(st.integers(0, len(buffer)), max_size=5), "cuts"))
        pieces = [buffer[first:last] for first, last in zip([0, *cuts], [*cuts, len(buffer)], strict=True)]
        state, done = started(kind, *pieces)
        assert (state, done) == started(kind, buffer)
        _assert_is_state(kind, state)
        assert type(done) is int
        assert done >= 0, "steps done at the start"

    # -- resuming
    @examples
    @given(data=st.data())
    def test_resumed_anywhere_a_chain_ends_as_if_it_never_stopped(self, kind: Kind, data: DataObject) -> None:
        state, _ = started(kind, data.draw(self.buffers, "buffer"))
        total = data.draw(st.integers(1, self.steps), "total")
        straight, _ = advanced(kind, [state], [total])
        left = total
        while left > 0:
            cut = data.draw(st.integers(1, left), "cut")
            [state], [made] = advanced(kind, [state], [left], cut)
            left -= made
        assert [state] == straight

    @examples
    @given(data=st.data())
    def test_together_chains_end_as_each_does_alone(self, kind: Kind, data: DataObject) -> None:
        states, remaining = self._chains(kind, data)
        together, made = advanced(kind, states, remaining)
        assert made == remaining
        for state, steps, end in zip(states, remaining, together, strict=True):
            assert advanced(kind, [state], [steps]) == ([end], [steps])

    @examples
    @given(data=st.data())
    def test_threads_that_share_it_do_not_disturb_each_other(self, kind: Kind, data: DataObject) -> None:
        states, remaining = self._chains(kind, data)
        alone = advanced(kind, states, remaining)
        with ThreadPoolExecutor(THREADS) as threads:
            assert list(threads.map(lambda _: advanced(kind, states, remaining), range(THREADS))) == [alone] * THREADS

    # -- budgets
    @examples
    @given(data=st.data())
    def test_no_more_and_no_fewer_steps_are_made_than_the_budget_allows(self, kind: Kind, data: DataObject) -> None:
        states, remaining = self._chains(kind, data)
        budget = data.draw(st.integers(1, sum(remaining) + 1), "max_steps")
        _, made = advanced(kind, states, remaining, budget)
        assert sum(made) == min(budget, sum(remaining))

    @examples
    @given(data=st.data())
    def test_chains_earlier_in_the_list_go_first(self, kind: Kind, data: DataObject) -> None:
        """No more chains are begun and not finished than there are lanes; those passed over count as begun."""
        states, remaining = self._chains(kind, data)
        _, made = advanced(kind, states, remaining, data.draw(st.integers(1, sum(remaining) + 1), "max_steps"))
        begun = max((index for index, steps in enumerate(made) if steps), default=0)
        unfinished = [index for index in range(begun) if made[index] < remaining[index]]
        assert len(unfinished) < kind.lanes, f"chain {begun} was begun before {unfinished} had ended"

    @examples
    @given(data=st.data())
    def test_without_time_at_least_one_step_is_made_and_then_it_ends(self, kind: Kind, data: DataObject) -> None:
        state, _ = started(kind, data.draw(self.buffers, "buffer"))
        asked = ENDLESS * self.steps
        _, made = advanced(kind, [state, state], [asked, asked], max_seconds=0.0)
        assert 1 <= sum(made) < 2 * asked

    @examples
    @given(data=st.data())
    def test_a_chain_of_which_nothing_remains_stays_as_it_is(self, kind: Kind, data: DataObject) -> None:
        states, _ = self._chains(kind, data)
        assert advanced(kind, states, [0] * len(states)) == (states, [0] * len(states))

    def _chains(self, kind: Kind, data: DataObject) -> tuple[list[bytes], list[int]]:
        """Draw some chains: their states, and how many steps remain of each, sometimes none."""
        buffers = data.draw(st.lists(self.buffers, min_size=1, max_size=kind.lanes + 2), "buffers")
        remaining = [data.draw(st.integers(0, self.steps), "remaining") for _ in buffers]
        return [started(kind, buffer)[0] for buffer in buffers], remaining


def started(kind: Kind, *pieces: bytes) -> tuple[bytes, int]:
    """Start a chain from a buffer that comes in ``pieces``; return ``(state, done)``."""
    starter = kind.start()
    for piece in pieces:
        starter.update(piece)
    return starter.finish()


def advanced(
    kind: Kind,
    states: Sequence[bytes],
    remaining: Sequence[int],
    max_steps: int | None = None,
    max_seconds: float = math.inf,
) -> tuple[list[bytes], list[int]]:
    """Call ``kind.advance``, without ``max_steps`` to the end; see that what goes in stays and what comes out fits."""
    given_states, given_remaining = list(states), list(remaining)
    budget = sum(remaining) if max_steps is None else max_steps
    after, made = kind.advance(given_states, given_remaining, budget, max_seconds)
    assert (given_states, given_remaining) == (list(states), list(remaining)), "the lists given to advance are not its"
    assert len(after) == len(made) == len(given_states)
    for state, steps, left in zip(after, made, given_remaining, strict=True):
        _assert_is_state(kind, state)
        assert type(steps) is int
        assert 0 <= steps <= left, f"{steps} steps where {left} remained"
    return list(after), list(made)


def _assert_is_state(kind: Kind, state: Any) -> None:
    assert type(state) is bytes
    assert 1 <= len(state) <= kind.state_bytes_max, f"a state of {len(state)} bytes"
