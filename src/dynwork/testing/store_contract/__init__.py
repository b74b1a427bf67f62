"""The contract suite: what every :class:`~dynwork.orchestrator.store.port.Store` must do, as tests.

A test module subclasses the classes here and provides one fixture, ``backend``: a :class:`Backend` that makes stores
of its engine. ``tests/contract/test_stores.py`` runs the suite over every engine there is.
"""

from dynwork.testing.store_contract.backend import RULES, Backend, StoreContract
from dynwork.testing.store_contract.feed import FeedContract
from dynwork.testing.store_contract.fleet import FleetContract
from dynwork.testing.store_contract.kinds import KindContract
from dynwork.testing.store_contract.leaders import LeaderContract
from dynwork.testing.store_contract.leases import LeaseContract
from dynwork.testing.store_contract.lists import ListContract
from dynwork.testing.store_contract.notices import NoticeContract
from dynwork.testing.store_contract.reports import ReportContract
from dynwork.testing.store_contract.requeues import RequeueContract
from dynwork.testing.store_contract.rounds import RoundContract
from dynwork.testing.store_contract.submissions import SubmissionContract
from dynwork.testing.store_contract.workers import WorkerContract

__all__ = [
    "RULES",
    "Backend",
    "FeedContract",
    "FleetContract",
    "KindContract",
    "LeaderContract",
    "LeaseContract",
    "ListContract",
    "NoticeContract",
    "ReportContract",
    "RequeueContract",
    "RoundContract",
    "StoreContract",
    "SubmissionContract",
    "WorkerContract",
]
