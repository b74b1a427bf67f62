"""What the demo shows: bars on a terminal, plain lines elsewhere, and at the end a table and a picture of the fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dynwork.clock import Clock
from dynwork.demo import client

LINE_EVERY_S = 3.0
CHART_COLUMNS = 60


class Board:
    """Shows a :class:`~dynwork.demo.client.Progress` while it changes."""

    def __init__(self, console: Console, clock: Clock, most_workers: int) -> None:
        self._console = console
        self._clock = clock
        self._most_workers = most_workers
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._began = clock.monotonic()
        self._next_line = self._began

    def say(self, line: str) -> None:
        """Show one line."""
        self._console.print(line, style="dim", highlight=False, soft_wrap=True)

    def complain(self, line: str) -> None:
        """Show what is wrong."""
        self._console.print(f"WRONG: {line}", style="bold red", highlight=False)

    @contextmanager
    def live(self, progress: client.Progress) -> Iterator[None]:
        """Show bars while inside, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description:>9}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console) as self._bars:
            for name in ("accepted", "done", "checked", "workers"):
                total = self._most_workers if name == "workers" else progress.total
                self._tasks[name] = self._bars.add_task(name, total=total, note="")
            yield
            self.show(progress)
        self._bars = None

    def show(self, progress: client.Progress) -> None:
        """Show how far things are."""
        values = {
            "accepted": len(progress.accepted),
            "done": len(progress.ended),
            "checked": progress.checked,
            "workers": progress.workers,
        }
        if self._bars is not None:
            for name, value in values.items():
                note = progress.decision if name == "workers" else ""
                self._bars.update(self._tasks[name], completed=value, note=note)
        elif not self._console.is_terminal and self._clock.monotonic() >= self._next_line:
            self._next_line = self._clock.monotonic() + LINE_EVERY_S
            seconds = self._clock.monotonic() - self._began
            numbers = "  ".join(f"{name} {value}" for name, value in values.items())
            self.say(f"{seconds:5.1f} s  {numbers}  ({progress.decision})")

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show the results."""
        table = Table(show_header=False, title="dynwork demo", title_justify="left")
        for name, value in rows:
            table.add_row(name, value)
        self._console.print(table)

    def chart(self, samples: Sequence[tuple[float, int]]) -> None:
        """Draw the number of workers over time."""
        for line in chart(samples, self._most_workers):
            self._console.print(line, highlight=False)


def chart(samples: Sequence[tuple[float, int]], most: int) -> list[str]:
    """Return the lines of a small chart: a column is a share of the time, a row a worker."""
    if not samples:
        return []
    end_s = samples[-1][0] or 1.0
    columns = [0] * CHART_COLUMNS
    latest, position = 0, 0
    for column in range(CHART_COLUMNS):
        until_s = (column + 1) * end_s / CHART_COLUMNS
        seen = []
        while position < len(samples) and samples[position][0] <= until_s:
            seen.append(samples[position][1])
            position += 1
        columns[column] = latest = max(seen, default=latest)
    rows = [
        f"{row:>3} │" + "".join("█" if count >= row else " " for count in columns)
        for row in range(max(most, *columns), 0, -1)
    ]
    axis = f"0 s{f'{end_s:.0f} s':>{CHART_COLUMNS - 3}}"
    return ["workers over time", *rows, "    └" + "─" * CHART_COLUMNS, "     " + axis]
