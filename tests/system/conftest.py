"""System tests say their numbers, in every run: measured, printed at the end, and asserted only if they are a rule.

One that fails shows what its processes logged last of what went wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from dynwork.testing.processes import free_port
from dynwork.up.postgres import LocalPostgres, ServerOptions

Tell = Callable[[str], None]
LINES = pytest.StashKey[list[str]]()
LOGGED = 40
"""Lines of each log that are shown of a test that failed."""


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Keep one line for the summary of the run; it names the test by itself."""
    lines = request.config.stash.setdefault(LINES, [])
    name = request.node.name
    return lambda line: lines.append(f"{name}: {line}")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LocalPostgres]:
    """A PostgreSQL server that waits for its disk, as those in production do."""
    server = LocalPostgres(ServerOptions(tmp_path / "postgres", free_port()), lambda: "secret")
    server.start()
    yield server
    server.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the lines, of tests that passed as well."""
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("system tests in numbers")
        for line in lines:
            terminalreporter.line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of a test that failed, of every process that logged an error."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and isinstance(folder, Path):
        for log in sorted(folder.rglob("*.log")):
            lines = deque(log.open(errors="replace"), maxlen=LOGGED)
            if any("[error" in line or "Traceback" in line for line in lines):
                report.sections.append((f"the end of {log.relative_to(folder)}", "".join(lines)))
    return report
