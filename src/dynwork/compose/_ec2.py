"""Builds the provider of EC2 machines."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError

from dynwork.clock import Clock
from dynwork.errors import ConfigurationError
from dynwork.orchestrator.fleet.ec2.places import ON_DEMAND, SPOT, pools
from dynwork.orchestrator.fleet.ec2.provider import Ec2Client, Ec2Provider, Ec2Setup
from dynwork.orchestrator.fleet.userdata import BootPlan, boot_script
from dynwork.orchestrator.store.port import Store
from dynwork.settings import OrchestratorSettings

CONNECT_S, READ_S = 3.0, 10.0
"""How long EC2 may take to accept a connection, and to answer a call, seconds."""


@asynccontextmanager
async def provider(
    settings: OrchestratorSettings, seeds: Sequence[str], store: Store, clock: Clock
) -> AsyncIterator[Ec2Provider]:
    """Yield the provider, with a client that never tries anything twice by itself.

    Raises ``ConfigurationError`` if a setting makes no sense, or there is no region.
    """
    config = AioConfig(
        connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"total_max_attempts": 1, "mode": "standard"}
    )
    session = get_session()
    try:
        creating = session.create_client("ec2", region_name=settings.ec2_region, config=config)
        async with creating as client:
            region = client.meta.region_name
            plan = boot_plan(settings, region, seeds)
            script = boot_script(plan, "0" * 36)  # one that EC2 would not take is told at the start
            setup = Ec2Setup(
                template=settings.ec2_template or "",
                pools=pools(
                    (SPOT, ON_DEMAND) if settings.ec2_spot else (ON_DEMAND,),
                    settings.ec2_instance_types,
                    settings.ec2_subnets,
                ),
                user_data=partial(boot_script, plan),
                cluster_id=store.cluster_id,
                tags=settings.ec2_tags_by_key,
                build=hashlib.sha256(f"{settings.ec2_template}\n{script}".encode()).hexdigest()[:16],
            )
            yield Ec2Provider(cast(Ec2Client, client), setup, clock)
    except BotoCoreError as error:
        raise ConfigurationError(f"EC2 cannot be used: {error}; set DYNWORK_EC2_REGION, e.g. eu-central-1") from error


def for_workers(settings: OrchestratorSettings) -> dict[str, str]:
    """Return the settings that are handed on to workers; empty where their own default is to serve."""
    return {
        "DYNWORK_WORKER_SLOTS": str(settings.worker_slots or ""),
        "DYNWORK_WORKER_ORPHAN_S": str(settings.worker_orphan_s or ""),
    }


def boot_plan(settings: OrchestratorSettings, region: str, seeds: Sequence[str]) -> BootPlan:
    """Return what machines are to boot."""
    return BootPlan(
        region=region,
        release=settings.ec2_release or "",
        release_sha256=settings.ec2_release_sha256 or "",
        secret=settings.ec2_worker_secret or "",
        orchestrator_urls=seeds,
        variables={name: value for name, value in for_workers(settings).items() if value},
    )
