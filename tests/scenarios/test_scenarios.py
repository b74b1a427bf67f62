"""Every story beside this file, told to every store; and the teller itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynwork.testing.scenario import Story, StoryError
from dynwork.testing.store_contract import RULES, Backend

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
async def test_story(story: Path, backend: Backend) -> None:
    lines = story.read_text().splitlines()  # noqa: ASYNC240 — a small file, before anything runs
    await Story(await backend.fresh(RULES), backend.restart).play(f"tests/scenarios/{story.name}", lines)


async def _play(backend: Backend, *lines: str) -> None:
    await Story(await backend.fresh(RULES), backend.restart).play("story.txt", lines)


async def test_a_story_that_does_not_come_true_names_its_line(backend: Backend) -> None:
    with pytest.raises(StoryError, match=r"story\.txt:3: 'lease w1 -> j2#1': expected 'j2#1', it was 'j1#1'"):
        await _play(backend, "# a comment", "submit j1  # another", "lease w1 -> j2#1")


async def test_without_an_arrow_the_good_answer_is_expected(backend: Backend) -> None:
    with pytest.raises(StoryError, match=r"story\.txt:1: .*expected 'accepted', it was 'stale'"):
        await _play(backend, "complete w1 j1#1@5")


@pytest.mark.parametrize("line", ["dance j1", "submit", "lease", "state j1", "advance soon", "complete w1 j1#1"])
async def test_a_line_that_makes_no_sense_names_itself(backend: Backend, line: str) -> None:
    with pytest.raises(StoryError, match=r"story\.txt:2: "):
        await _play(backend, "", line)
