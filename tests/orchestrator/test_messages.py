"""From the wire to the store's words: what workers say of their pace."""

from __future__ import annotations

from dynwork import wire
from dynwork.orchestrator import messages
from dynwork.orchestrator.core.worker import Pace

SLOW = wire.KindPace(capacity=0.4, chain_speed=0.2, lanes=2)


def lease(**paces: wire.KindPace) -> wire.LeaseAsk:
    return wire.LeaseAsk(
        worker_id="w", incarnation="i", capacity=400.0, chain_speed=100.0, lanes=4, kinds=["slow"], paces=paces
    )


def beat(**paces: wire.KindPace) -> wire.HeartbeatAsk:
    return wire.HeartbeatAsk(worker_id="w", incarnation="i", capacity=400.0, chain_speed=100.0, paces=paces)


def test_a_worker_that_tells_no_paces_means_the_default_kind() -> None:
    assert messages.ask_of(lease()).facts.paces == {"sha512-chain": Pace(400.0, 100.0, 4)}
    assert messages.heartbeat_of(beat()).paces == {"sha512-chain": Pace(400.0, 100.0)}


def test_the_pace_at_every_other_kind_is_told_by_its_name() -> None:
    paces = {"sha512-chain": Pace(400.0, 100.0, 4), "slow": Pace(0.4, 0.2, 2)}
    assert messages.ask_of(lease(slow=SLOW)).facts.paces == paces
    assert messages.heartbeat_of(beat(slow=SLOW)).paces["slow"] == Pace(0.4, 0.2, 2)


def test_what_is_told_by_the_name_of_the_default_kind_is_the_fuller_word() -> None:
    told = wire.KindPace(capacity=500.0, chain_speed=110.0, lanes=8)
    assert messages.heartbeat_of(beat(**{"sha512-chain": told})).paces == {"sha512-chain": Pace(500.0, 110.0, 8)}
