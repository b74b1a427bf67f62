"""What all tests share: the profiles of hypothesis, the stores, and what is told of a run.

System tests say their numbers, in every run: measured, printed at the end, and asserted only if they are a rule. One
that fails shows what its processes logged last of what went wrong.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dynwork.testing.postgres import Databases, local_postgres
from dynwork.testing.store_backends import MemoryBackend, PostgresBackend, SqliteBackend

for suite in (
    "store_contract",
    "store_driver",
    "store_twins",
    "store_cluster",
    "store_invariants",
    "store_pages",
    "scenario",
    "provider_contract",
    "kind_contract",
):
    pytest.register_assert_rewrite(f"dynwork.testing.{suite}")

# Fast: in every `make check`. Deep: HYPOTHESIS_PROFILE=deep, for a long look at the stores (about ten minutes).
settings.register_profile(
    "fast", max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "deep", max_examples=400, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


# A shell without job control starts what is in its background deaf to an interrupt, and so are all that this starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Tell = Callable[[str], None]
TOLD = "told"
"""The property of a test under which its lines travel."""
LOGGED = 40
"""Lines of each log that are shown of a test that failed."""


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Keep one line for the summary of the run; it names the test by itself."""
    return lambda line: request.node.user_properties.append((TOLD, f"{request.node.name}: {line}"))


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Make databases in a PostgreSQL server that runs until the last test."""
    with local_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield Databases(server)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def backend(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[MemoryBackend | SqliteBackend | PostgresBackend]:
    """Make stores of one engine, for tests that must hold for all."""
    backend: MemoryBackend | SqliteBackend | PostgresBackend = MemoryBackend()
    if request.param == "sqlite":
        backend = SqliteBackend(tmp_path)
    elif request.param == "postgres":
        backend = PostgresBackend(request.getfixturevalue("databases"))
    yield backend
    await backend.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the lines, of tests that passed as well, and of those that ran in another process."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    calls = [report for report in reports if isinstance(report, pytest.TestReport) and report.when == "call"]
    lines = [str(line) for report in calls for name, line in report.user_properties if name == TOLD]
    if lines:
        terminalreporter.section("system tests in numbers")
        for line in lines:
            terminalreporter.line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of a test that failed, of every process that logged an error."""
    report = yield
    funcargs = getattr(item, "funcargs", {})
    folders = [funcargs.get("tmp_path"), getattr(funcargs.get("lab"), "folder", None)]
    for folder in [folder for folder in folders if report.failed and isinstance(folder, Path)]:
        for log in sorted(folder.rglob("*.log")):
            with log.open(errors="replace") as text:
                lines = deque(text, maxlen=LOGGED)
            if any("[error" in line or "Traceback" in line for line in lines):
                report.sections.append((f"the end of {log.relative_to(folder)}", "".join(lines)))
    return report
