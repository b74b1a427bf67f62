"""What every provider of machines must do. Subclass it with a ``provider`` fixture and a way to ``crash`` a machine."""

from __future__ import annotations

import asyncio
from typing import Any

from dynwork.clock import SystemClock
from dynwork.orchestrator.fleet.provider import Machine, Presence, Provider

PATIENCE_S = 20.0
LOOK_EVERY_S = 0.02


async def launched(provider: Provider, *instance_ids: str) -> list[Machine]:
    """Launch machines, each where the provider would have it."""
    return [Machine(name, await provider.launch(name, provider.place())) for name in instance_ids]


async def living(provider: Provider) -> list[str]:
    """Return the instance ids of what is listed and has not ended."""
    return sorted(
        machine.instance_id for machine in await provider.machines() if machine.presence is not Presence.ENDED
    )


async def until_gone(provider: Provider, instance_id: str) -> None:
    """Look, as the fleet does, until the machine has ended."""
    clock = SystemClock()
    async with asyncio.timeout(PATIENCE_S):
        while instance_id in await living(provider):
            await clock.sleep(LOOK_EVERY_S)


class ProviderContract:
    """The contract of :class:`~dynwork.orchestrator.fleet.provider.Provider`, as tests."""

    async def crash(self, provider: Any, machine: Machine) -> None:
        """Let the machine die by itself, without the provider being asked."""
        raise AssertionError("a suite says how its machines crash")

    async def test_a_launched_machine_is_listed_under_the_name_that_was_returned(self, provider: Provider) -> None:
        machines = await launched(provider, "i-1")
        assert list(await provider.machines()) == machines

    async def test_the_same_id_twice_is_one_machine_with_one_name(self, provider: Provider) -> None:
        where = provider.place()
        assert await provider.launch("i-1", where) == await provider.launch("i-1", where)
        assert await living(provider) == ["i-1"]

    async def test_different_ids_are_different_machines(self, provider: Provider) -> None:
        machines = await launched(provider, "i-1", "i-2", "i-3")
        assert len({machine.provider_id for machine in machines}) == 3
        assert await living(provider) == ["i-1", "i-2", "i-3"]

    async def test_the_same_id_asked_for_twice_at_once_is_one_machine_or_unclear(self, provider: Provider) -> None:
        where = provider.place()
        answers = await asyncio.gather(*(provider.launch("i-1", where) for _ in range(2)), return_exceptions=True)
        assert len({answer for answer in answers if isinstance(answer, str)}) == 1
        assert await living(provider) == ["i-1"]

    async def test_a_terminated_machine_ends_and_the_others_stay(self, provider: Provider) -> None:
        first, _ = await launched(provider, "i-1", "i-2")
        await provider.terminate(first)
        await until_gone(provider, "i-1")
        assert await living(provider) == ["i-2"]

    async def test_terminating_what_is_gone_or_never_was_is_no_error(self, provider: Provider) -> None:
        (first,) = await launched(provider, "i-1")
        await provider.terminate(first)
        await provider.terminate(first)
        await until_gone(provider, "i-1")
        await provider.terminate(first)
        await provider.terminate(Machine("i-never", "i-0123456789abcdef0"))
        assert await living(provider) == []

    async def test_a_crash_is_hinted_at_and_the_machine_is_there_no_more(self, provider: Provider) -> None:
        _, second = await launched(provider, "i-1", "i-2")
        assert await living(provider) == ["i-1", "i-2"]
        await self.crash(provider, second)
        clock = SystemClock()
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            hint = tasks.create_task(provider.next_exit())
            while not hint.done():
                await provider.machines()
                await clock.sleep(LOOK_EVERY_S)
        assert hint.result().instance_id == "i-2"
        assert await living(provider) == ["i-1"]
