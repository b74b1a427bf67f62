"""Every store passes the one contract suite. ``backend`` goes through the engines (tests/conftest.py)."""

from __future__ import annotations

from dynwork.testing import store_contract


class TestSubmissions(store_contract.SubmissionContract):
    pass


class TestLeases(store_contract.LeaseContract):
    pass


class TestReports(store_contract.ReportContract):
    pass


class TestWorkers(store_contract.WorkerContract):
    pass


class TestRounds(store_contract.RoundContract):
    pass


class TestFeed(store_contract.FeedContract):
    pass


class TestLists(store_contract.ListContract):
    pass


class TestRequeues(store_contract.RequeueContract):
    pass


class TestFleet(store_contract.FleetContract):
    pass


class TestKinds(store_contract.KindContract):
    pass


class TestLeaders(store_contract.LeaderContract):
    pass
