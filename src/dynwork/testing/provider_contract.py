"""What every provider of machines must do. Subclass it with a ``provider`` fixture and a way to ``crash`` a machine."""

from __future__ import annotations

import asyncio
from typing import Any

from dynwork.orchestrator.fleet.provider import Provider

PATIENCE_S = 20.0


class ProviderContract:
    """The contract of :class:`~dynwork.orchestrator.fleet.provider.Provider`, as tests."""

    async def crash(self, provider: Any, instance_id: str) -> None:
        """Let the machine die by itself, without the provider being asked."""
        raise AssertionError("a suite says how its machines crash")

    async def test_a_launched_machine_is_listed_under_the_name_that_was_returned(self, provider: Provider) -> None:
        provider_id = await provider.launch("i-1")
        assert [(m.instance_id, m.provider_id) for m in await provider.machines()] == [("i-1", provider_id)]

    async def test_the_same_id_twice_is_one_machine_with_one_name(self, provider: Provider) -> None:
        assert await provider.launch("i-1") == await provider.launch("i-1")
        assert [machine.instance_id for machine in await provider.machines()] == ["i-1"]

    async def test_different_ids_are_different_machines(self, provider: Provider) -> None:
        names = {await provider.launch(instance_id) for instance_id in ("i-1", "i-2", "i-3")}
        assert len(names) == 3
        assert {machine.instance_id for machine in await provider.machines()} == {"i-1", "i-2", "i-3"}

    async def test_a_terminated_machine_ends_and_the_others_stay(self, provider: Provider) -> None:
        await provider.launch("i-1")
        await provider.launch("i-2")
        await provider.terminate("i-1")
        await self._gone(provider, "i-1")
        assert [machine.instance_id for machine in await provider.machines()] == ["i-2"]

    async def test_terminating_what_is_gone_or_never_was_is_no_error(self, provider: Provider) -> None:
        await provider.launch("i-1")
        await provider.terminate("i-1")
        await provider.terminate("i-1")
        await self._gone(provider, "i-1")
        await provider.terminate("i-1")
        await provider.terminate("i-never")
        assert await provider.machines() == []

    async def test_a_crash_is_hinted_at_and_the_machine_is_listed_no_more(self, provider: Provider) -> None:
        await provider.launch("i-1")
        await provider.launch("i-2")
        await self.crash(provider, "i-2")
        async with asyncio.timeout(PATIENCE_S):
            assert (await provider.next_exit()).instance_id == "i-2"
        assert [machine.instance_id for machine in await provider.machines()] == ["i-1"]

    async def _gone(self, provider: Provider, instance_id: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while instance_id in {machine.instance_id for machine in await provider.machines()}:
                await provider.next_exit()
