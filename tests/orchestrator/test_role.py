"""From start to stop, with a real server and real files."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from dynwork import exits, wire
from dynwork.clock import DisciplinedClock, SystemClock
from dynwork.errors import ConfigurationError, StoreLockedError
from dynwork.ids import new_id
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.dispatch import Dispatch, Gone
from dynwork.orchestrator.leader import Leader
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.role import Outside, Scaler, WorkerGone, address, rules, run
from dynwork.orchestrator.store.commands import Ask, Grant, Receipt, Round
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.sqlite import SqliteStore
from dynwork.orchestrator.store.values import Rules
from dynwork.serving import Stop, bind, url_of
from dynwork.settings import OrchestratorSettings, child_environment
from dynwork.testing.orchestrator import OWNER, ScriptedStore, job_id, lease_message, new_job

SETTINGS = OrchestratorSettings()
SECONDS_MAX = 20
"""A test that takes longer hangs."""


def outside(store: Store, scaler: Callable[[Leader, WorkerGone | None, Metrics], Scaler] | None = None) -> Outside:
    return Outside(store, DisciplinedClock(SystemClock()), lambda: 0.5, new_id, scaler)


@asynccontextmanager
async def serving(parts: Outside, settings: OrchestratorSettings = SETTINGS) -> AsyncIterator[tuple[str, Stop]]:
    """Run the role on a free port; it has ended in order when the block is left."""
    listener, stop = bind("127.0.0.1", 0), Stop()
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
        tasks.create_task(run(settings, parts, listener, stop))
        try:
            yield url_of(listener), stop
        finally:
            stop.set()


async def submit(http: httpx.AsyncClient, *numbers: int) -> httpx.Response:
    message = wire.Submit(jobs=[new_job(number) for number in numbers])
    return await http.post("/internal/submit", content=message.model_dump_json())


async def lease(http: httpx.AsyncClient, worker_id: str, wait_s: float) -> wire.LeaseReply:
    message = lease_message(worker_id, wait_s=wait_s).model_dump_json()
    response = await http.post("/internal/lease", content=message, timeout=SECONDS_MAX)
    return wire.LeaseReply.model_validate_json(response.content)


class Watch:
    """Tells when the ask of a worker has come in, and when it has been dealt with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.came: dict[str, asyncio.Event] = {}
        self.left: dict[str, asyncio.Event] = {}
        original = Dispatch.lease

        async def watched(dispatch: Dispatch, one: Ask, wait_s: float, gone: Gone) -> Grant:
            self.event(self.came, one.facts.worker_id).set()
            try:
                return await original(dispatch, one, wait_s, gone)
            finally:
                self.event(self.left, one.facts.worker_id).set()

        monkeypatch.setattr(Dispatch, "lease", watched)

    @staticmethod
    def event(events: dict[str, asyncio.Event], worker_id: str) -> asyncio.Event:
        return events.setdefault(worker_id, asyncio.Event())

    async def until_came(self, worker_id: str) -> None:
        await self.event(self.came, worker_id).wait()

    async def until_left(self, worker_id: str) -> None:
        await self.event(self.left, worker_id).wait()


async def test_a_worker_that_hung_up_while_parked_gets_no_lease_and_the_next_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = Watch(monkeypatch)
    async with serving(outside(ScriptedStore(Rules()))) as (url, _), httpx.AsyncClient(base_url=url) as http:
        async with asyncio.TaskGroup() as tasks:
            stayer = tasks.create_task(lease(http, "stayer", 30))
            await watch.until_came("stayer")
            leaver = tasks.create_task(lease(http, "leaver", 30))
            await watch.until_came("leaver")
            leaver.cancel()  # httpx closes the connection
            await watch.until_left("leaver")
            await submit(http, 1)
        assert [(grant.job_id, grant.epoch) for grant in stayer.result().grants] == [(job_id(1), 1)]


async def test_a_stop_answers_parked_asks_and_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    async with serving(outside(ScriptedStore(Rules()))) as (url, stop), httpx.AsyncClient(base_url=url) as http:
        async with asyncio.TaskGroup() as tasks:
            parked = [tasks.create_task(lease(http, f"w{number}", 30)) for number in range(5)]
            for number in range(5):
                await watch.until_came(f"w{number}")
            stop.set()
        assert [task.result().grants for task in parked] == [[]] * 5


class GatedStore(ScriptedStore):
    """Says when a commit has begun, and waits before it goes on."""

    def __init__(self) -> None:
        super().__init__(Rules())
        self.begun = asyncio.Event()
        self.open_gate.clear()

    async def commit(self, round_: Round, now: Instant) -> Receipt:
        self.begun.set()
        return await super().commit(round_, now)


async def test_what_was_sent_before_a_stop_is_committed_and_answered() -> None:
    store = GatedStore()
    async with serving(outside(store)) as (url, stop), httpx.AsyncClient(base_url=url) as http:
        async with asyncio.TaskGroup() as tasks:
            sent = tasks.create_task(submit(http, 1))
            await store.begun.wait()
            stop.set()
            await asyncio.sleep(0)
            store.open_gate.set()
        assert sent.result().status_code == 200
    assert await store.job(OWNER, job_id(1)) is not None


async def test_a_second_start_on_the_same_file_carries_on(tmp_path: Path) -> None:
    for number in (1, 2):
        store = SqliteStore(tmp_path / "dynwork.db", rules(SETTINGS))
        async with serving(outside(store)) as (url, _), httpx.AsyncClient(base_url=url) as http:
            assert (await submit(http, number)).status_code == 200
            for known in range(1, number + 1):
                answer = await http.get(f"/internal/jobs/{job_id(known)}?owner={OWNER}")
                assert answer.json()["job"]["state"] == "queued"


async def test_a_second_orchestrator_on_the_same_file_refuses_to_start(tmp_path: Path) -> None:
    path = tmp_path / "dynwork.db"
    async with serving(outside(SqliteStore(path, Rules()))) as (url, _), httpx.AsyncClient(base_url=url) as http:
        await submit(http, 1)  # the first has opened it
        listener = bind("127.0.0.1", 0)
        with pytest.raises(StoreLockedError):
            await run(SETTINGS, outside(SqliteStore(path, Rules())), listener, Stop())
        assert listener.fileno() == -1
        assert (await submit(http, 2)).status_code == 200


async def test_a_locked_store_is_one_clear_line_and_exit_code_2(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "dynwork.db", Rules())
    await store.open()
    try:
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "dynwork.orchestrator"],
            env=child_environment(DYNWORK_DATA_DIR=str(tmp_path), DYNWORK_ORCHESTRATOR_PORT="0"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        await store.close()
    assert ended.returncode == exits.CONFIGURATION
    assert len(ended.stderr.splitlines()) == 1
    assert "in use by another orchestrator" in ended.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_who_listens_everywhere_must_say_by_which_address_it_is_reached(host: str) -> None:
    tokens = {"api_token": "one", "worker_token": "two"}
    settings = OrchestratorSettings.model_validate({"orchestrator_host": host, **tokens})
    with bind("127.0.0.1", 0) as listener:
        with pytest.raises(ConfigurationError, match="DYNWORK_ORCHESTRATOR_URL"):
            address(settings, listener)
        told = settings.model_copy(update={"orchestrator_url": "http://o1.internal:8100"})
        assert address(told, listener) == "http://o1.internal:8100"
        assert address(SETTINGS, listener) == url_of(listener)


class BrokenScaler:
    decision: str | None = "all is well"
    trouble: object | None = None

    async def run(self) -> None:
        raise RuntimeError("a defect")


async def test_a_defect_behind_the_server_ends_the_role_and_gives_the_store_back(tmp_path: Path) -> None:
    path = tmp_path / "dynwork.db"
    with pytest.raises(ExceptionGroup):
        async with serving(outside(SqliteStore(path, Rules()), lambda *_: BrokenScaler())):
            await asyncio.Event().wait()
    again = SqliteStore(path, Rules())
    await again.open()
    await again.close()


class FakeScaler:
    """Does nothing but keep what it was given."""

    decision: str | None = "+1: because"
    trouble: object | None = None

    def __init__(self, leader: Leader, worker_gone: WorkerGone | None) -> None:
        self.leader = leader
        self.worker_gone = worker_gone

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_the_scaler_is_told_who_leads_and_its_decision_is_shown() -> None:
    made: list[FakeScaler] = []

    def scaler(leader: Leader, worker_gone: WorkerGone | None, _metrics: Metrics) -> Scaler:
        made.append(FakeScaler(leader, worker_gone))
        return made[0]

    async with serving(outside(ScriptedStore(Rules()), scaler)) as (url, _), httpx.AsyncClient(base_url=url) as http:
        fleet = (await http.get("/internal/fleet")).json()["fleet"]
        assert (fleet["decision"], fleet["leader"]) == ("+1: because", url)
        assert made[0].leader.epoch == 1


async def test_trouble_of_the_fleet_is_a_warning_of_a_role_that_is_ready_all_the_same() -> None:
    made: list[FakeScaler] = []

    def scaler(leader: Leader, worker_gone: WorkerGone | None, _metrics: Metrics) -> Scaler:
        made.append(FakeScaler(leader, worker_gone))
        return made[0]

    async with serving(outside(ScriptedStore(Rules()), scaler)) as (url, _), httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/readyz")).json() == {"status": "ok"}
        assert "dynwork_fleet_stopped 0.0" in (await http.get("/metrics")).text
        made[0].trouble = "denied: not allowed"
        ready = await http.get("/readyz")
        warning = "the fleet cannot grow until somebody mends this: denied: not allowed"
        assert (ready.status_code, ready.json()) == (200, {"status": "ok", "warning": warning})
        assert "dynwork_fleet_stopped 1.0" in (await http.get("/metrics")).text


@pytest.mark.parametrize("shortcut", [True, False])
async def test_the_shortcut_for_dead_workers_can_be_switched_off(shortcut: bool) -> None:
    told: list[WorkerGone | None] = []

    def scaler(leader: Leader, worker_gone: WorkerGone | None, _metrics: Metrics) -> Scaler:
        told.append(worker_gone)
        return FakeScaler(leader, worker_gone)

    settings = OrchestratorSettings(worker_gone_shortcut=shortcut)
    parts = outside(ScriptedStore(Rules()), scaler)
    async with serving(parts, settings) as (url, _), httpx.AsyncClient(base_url=url) as http:
        await http.get("/livez")
    assert [gone is not None for gone in told] == [shortcut]


async def test_whoever_stops_is_named_no_more_and_makes_way_for_another_leader_at_once() -> None:
    store = ScriptedStore(Rules())
    async with serving(outside(store)) as (url, _), httpx.AsyncClient(base_url=url) as http:
        await http.get("/livez")
    now = SystemClock().now()
    assert await store.lead("another", now, 10) == 2
    assert await store.register("http://another", "another", now, 10) == ["http://another"]
