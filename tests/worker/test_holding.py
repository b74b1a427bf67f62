"""The bookkeeping of leases: every echo, overtaking reply and repetition leaves it right."""

from __future__ import annotations

import pytest

from dynwork.ids import new_id
from dynwork.wire import Checkpoint, HeldRef, LeasedJob
from dynwork.worker import holding as module
from dynwork.worker.holding import Ending, Held, Holding, Verb

J1, J2, J3 = (new_id() for _ in range(3))
RELEASED = Ending(Verb.RELEASED)


def lease(job_id: str = J1, epoch: int = 1, *, done: int = 1, total: int = 10) -> LeasedJob:
    return LeasedJob(job_id=job_id, epoch=epoch, kind="k", state=b"s", done=done, total=total, priority=5)


def granted(holding: Holding, job: LeasedJob) -> Held:
    held = holding.grant(job)
    assert held is not None
    return held


def ref(job_id: str, epoch: int) -> HeldRef:
    return HeldRef(job_id=job_id, epoch=epoch)


def listed(holding: Holding) -> list[tuple[str, int]]:
    return [(held.job_id, held.epoch) for held in holding]


def test_a_grant_sent_again_is_ignored_while_it_is_held() -> None:
    holding = Holding()
    held = granted(holding, lease())
    holding.advance(held, b"t", 3)
    assert holding.grant(lease()) is None
    assert (held.state, held.done) == (b"t", 4)


def test_a_grant_of_an_older_epoch_is_ignored() -> None:
    holding = Holding()
    granted(holding, lease(epoch=3))
    assert holding.grant(lease(epoch=2)) is None
    assert listed(holding) == [(J1, 3)]


def test_a_later_epoch_takes_the_place_of_the_lease_that_is_held() -> None:
    holding = Holding()
    old = granted(holding, lease(epoch=1))
    new = granted(holding, lease(epoch=2))
    assert old.gone
    assert not new.gone
    assert listed(holding) == [(J1, 2)]


@pytest.mark.parametrize("how", ["judged", "dropped"])
def test_a_grant_of_a_lease_that_is_over_is_ignored(how: str) -> None:
    holding = Holding()
    held = granted(holding, lease())
    if how == "judged":
        holding.report(held, RELEASED)
        assert holding.judged(held.ref) is held
    else:
        assert holding.drop(held.ref) is held
    assert holding.grant(lease()) is None
    assert len(holding) == 0
    granted(holding, lease(epoch=2))


def test_the_memory_of_leases_that_are_over_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_MAX", 2)
    holding = Holding()
    for job_id in (J1, J2, J3):
        holding.drop(granted(holding, lease(job_id)).ref)
    assert holding.grant(lease(J2)) is None
    assert holding.grant(lease(J3)) is None
    assert holding.grant(lease(J1)) is not None


def test_a_chain_at_its_end_is_completed_and_stays_listed_until_it_is_judged() -> None:
    holding = Holding()
    held = granted(holding, lease(done=1, total=10))
    holding.advance(held, b"end", 9)
    assert held.ending == Ending(Verb.COMPLETED)
    assert list(holding.unreported) == [held]
    assert list(holding.active) == []
    assert listed(holding) == [(J1, 1)]
    holding.judged(held.ref)
    assert (list(holding.unreported), listed(holding)) == ([], [])


def test_the_first_ending_stands() -> None:
    holding = Holding()
    held = granted(holding, lease())
    holding.report(held, Ending(Verb.FAILED, "c", "d"))
    holding.report(held, RELEASED)
    assert held.ending == Ending(Verb.FAILED, "c", "d")


def test_a_lease_that_is_gone_is_not_reported() -> None:
    holding = Holding()
    held = granted(holding, lease())
    holding.drop(held.ref)
    holding.report(held, RELEASED)
    assert list(holding.unreported) == []


def test_a_verdict_or_drop_of_another_epoch_changes_nothing() -> None:
    holding = Holding()
    held = granted(holding, lease(epoch=2))
    assert holding.drop(ref(J1, 1)) is None
    holding.report(held, RELEASED)
    assert holding.judged(ref(J1, 1)) is None
    assert listed(holding) == [(J1, 2)]


def test_dropping_a_lease_drops_its_report() -> None:
    holding = Holding()
    held = granted(holding, lease())
    holding.report(held, RELEASED)
    holding.drop(held.ref)
    assert list(holding.unreported) == []


def test_only_chains_that_advanced_since_the_last_acknowledged_checkpoint_have_one() -> None:
    holding = Holding()
    held, still = granted(holding, lease(J1)), granted(holding, lease(J2))
    assert holding.checkpoints() == []
    holding.advance(held, b"a", 2)
    lost = holding.checkpoints()
    assert lost == [Checkpoint(job_id=J1, epoch=1, state=b"a", done=3)]
    assert holding.checkpoints() == lost  # nobody acknowledged it
    holding.advance(held, b"b", 1)
    holding.acknowledge(lost)
    assert holding.checkpoints() == [Checkpoint(job_id=J1, epoch=1, state=b"b", done=4)]
    holding.acknowledge(holding.checkpoints())
    assert holding.checkpoints() == []
    assert still.acknowledged == 1


def test_an_acknowledgement_of_an_older_lease_does_not_count_for_the_new_one() -> None:
    holding = Holding()
    held = granted(holding, lease(epoch=1))
    holding.advance(held, b"a", 8)
    sent = holding.checkpoints()
    again = granted(holding, lease(epoch=2))
    holding.advance(again, b"x", 2)
    holding.acknowledge(sent)
    assert [checkpoint.done for checkpoint in holding.checkpoints()] == [3]


def test_a_chain_that_ended_has_no_checkpoint_its_report_carries_the_state() -> None:
    holding = Holding()
    held = granted(holding, lease())
    holding.advance(held, b"a", 2)
    holding.report(held, RELEASED)
    assert holding.checkpoints() == []
    assert held.checkpoint.state == b"a"
