"""Every kind keeps the contract; and the contract is worth keeping: it finds each way of breaking it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dynwork.errors import ConfigurationError
from dynwork.kinds import Kind
from dynwork.kinds.sha512_chain import Sha512Chain, paths
from dynwork.testing import kinds as test_kinds
from dynwork.testing.kind_contract import KindContract
from dynwork.testing.kinds import APPEND_STEPS, AppendSteps, AppendStepsStarter

Advanced = tuple[list[bytes], list[int]]


@pytest.fixture(autouse=True)
def no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(test_kinds.STEPS_FILE, raising=False)
    monkeypatch.delenv(test_kinds.STEPS_PER_S, raising=False)


class TestSha512Chain(KindContract):
    """With every path that this machine can take."""

    steps = 5000

    @pytest.fixture(params=paths(), ids=lambda path: path.name)
    def kind(self, request: pytest.FixtureRequest) -> Kind:
        return Sha512Chain(request.param)


class TestAppendSteps(KindContract):
    @pytest.fixture
    def kind(self) -> Kind:
        return APPEND_STEPS


# -- what the contract finds
class Broken(AppendSteps):
    """Keeps the contract: each kind below breaks one rule of it."""

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        return super().advance(states, remaining, max_steps, max_seconds)


class Nameless(Broken):
    name = ""


class TooLong(Broken):
    state_bytes_max = 4097


class LongerThanItSays(Broken):
    state_bytes_max = 10


class PieceCounting(Broken):
    def start(self) -> AppendStepsStarter:
        class Starter(AppendStepsStarter):
            pieces = 0

            def update(self, piece: bytes) -> None:
                self.pieces += 1
                super().update(piece)

            def finish(self) -> tuple[bytes, int]:
                state, done = super().finish()
                return state, done + self.pieces

        return Starter()


class Forgetful(Broken):
    """Its steps depend on how the calls are cut."""

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        after, made = super().advance(states, remaining, max_steps, max_seconds)
        return [bytes([made[0] % 256, *state[1:]]) for state in after], made


class Mixing(Broken):
    """A chain's state depends on its neighbours."""

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        after, made = super().advance(states, remaining, max_steps, max_seconds)
        return [bytes([len(states), *state[1:]]) for state in after], made


class Shared(Broken):
    """Keeps what it works on in the instance."""

    def __init__(self) -> None:
        self._meeting = threading.Barrier(4)

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        after, made = super().advance(states, remaining, max_steps, max_seconds)
        if threading.current_thread() is not threading.main_thread() and self._meeting.wait() == 0:
            after = [bytes(len(state)) for state in after]
        return after, made


class Greedy(Broken):
    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        return super().advance(states, remaining, sum(remaining), max_seconds)


class Lazy(Broken):
    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        return super().advance(states, remaining, max(max_steps - 1, 1), max_seconds)


class Backwards(Broken):
    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        after, made = super().advance(states[::-1], remaining[::-1], max_steps, max_seconds)
        return after[::-1], made[::-1]


class Timeless(Broken):
    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        return super().advance(states, remaining, max_steps, 60.0)


class Idle(Broken):
    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        if max_seconds <= 0:
            return list(states), [0] * len(states)
        return super().advance(states, remaining, max_steps, max_seconds)


class Restless(Broken):
    """Touches a chain that has ended."""

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        after, made = super().advance(states, remaining, max_steps, max_seconds)
        return [state if steps else b"\0" + state[1:] for state, steps in zip(after, made, strict=True)], made


class Grasping(Broken):
    """Works on the lists that it was given."""

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> Advanced:
        after, made = super().advance(states, remaining, max_steps, max_seconds)
        if isinstance(states, list):
            states[:] = [b"" for _ in states]
        return after, made


RULES: dict[type[Broken], Callable[..., None]] = {
    Nameless: KindContract.test_it_says_of_itself_what_a_worker_must_know,
    TooLong: KindContract.test_it_says_of_itself_what_a_worker_must_know,
    LongerThanItSays: KindContract.test_a_buffer_starts_the_same_chain_in_whatever_pieces_it_comes,
    PieceCounting: KindContract.test_a_buffer_starts_the_same_chain_in_whatever_pieces_it_comes,
    Forgetful: KindContract.test_resumed_anywhere_a_chain_ends_as_if_it_never_stopped,
    Mixing: KindContract.test_together_chains_end_as_each_does_alone,
    Shared: KindContract.test_threads_that_share_it_do_not_disturb_each_other,
    Greedy: KindContract.test_no_more_and_no_fewer_steps_are_made_than_the_budget_allows,
    Lazy: KindContract.test_no_more_and_no_fewer_steps_are_made_than_the_budget_allows,
    Backwards: KindContract.test_chains_earlier_in_the_list_go_first,
    Timeless: KindContract.test_without_time_at_least_one_step_is_made_and_then_it_ends,
    Idle: KindContract.test_without_time_at_least_one_step_is_made_and_then_it_ends,
    Restless: KindContract.test_a_chain_of_which_nothing_remains_stays_as_it_is,
    Grasping: KindContract.test_resumed_anywhere_a_chain_ends_as_if_it_never_stopped,
}


@pytest.mark.parametrize(("kind", "rule"), RULES.items(), ids=lambda item: item.__name__)
def test_a_kind_that_breaks_a_rule_is_found_by_it(kind: type[Broken], rule: Callable[..., None]) -> None:
    class Suite(KindContract):
        steps = 20

    with pytest.raises((AssertionError, ConfigurationError)):
        unshrunk(rule)(Suite(), kind=kind())


def unshrunk(rule: Callable[..., None]) -> Callable[..., None]:
    """Return the rule with the same examples in every run, ended by the first that fails."""
    if not hasattr(rule, "hypothesis"):
        return rule
    found = settings(settings.get_profile("fast"), max_examples=100, derandomize=True, phases=[Phase.generate])
    tried: Callable[..., None] = found(given(data=st.data())(rule.hypothesis.inner_test))
    return tried


def test_every_rule_finds_somebody() -> None:
    rules = {rule for name, rule in vars(KindContract).items() if name.startswith("test_")}
    assert rules == set(RULES.values())
