"""The page at ``/``: submit, watch, read, cancel; by mouse, by keyboard, with a key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from dynwork.testing.cluster import Cluster

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("page")]

Open = Callable[..., Page]
MakeFile = Callable[[str, bytes], Path]
SHORT, LONG, ENDLESS = 1000, 10**9, 10**12
"""Iterations: done at once; long enough to be watched; not done while a test lasts."""


def chain(content: bytes, iterations: int) -> str:
    """Return the hash that must be shown, by hashlib alone."""
    for _ in range(iterations):
        content = hashlib.sha512(content).digest()
    return content.hex()


def submit(page: Page, iterations: int | str, *files: Path) -> Locator:
    """Submit files as one does with a mouse; return the card of the last of them."""
    page.get_by_label("Choose files").set_input_files(files)
    page.get_by_label("Iterations").fill(str(iterations))
    page.get_by_role("button", name="Submit").click()
    return page.locator(".job", has=page.get_by_role("heading", name=files[-1].name))


def state(card: Locator) -> Locator:
    return card.locator(".badge")


def test_files_are_submitted_and_their_hashes_are_read(visit: Open, cluster: Cluster, file: MakeFile) -> None:
    page = visit(cluster.api_urls[0])
    files = [file(f"part-{number}.bin", b"%d" % number * 70_000) for number in range(3)]
    submit(page, SHORT, *files)
    cards = page.locator(".job")
    expect(cards).to_have_count(3)
    for path in files:
        card = cards.filter(has=page.get_by_role("heading", name=path.name))
        expect(state(card)).to_have_text("Done")
        expect(card.locator(".hash code")).to_have_text(chain(path.read_bytes(), SHORT))
        expect(page.locator("#results")).to_contain_text(chain(path.read_bytes(), SHORT))
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#workers")).to_contain_text("Ready")


def test_a_hash_is_copied(visit: Open, cluster: Cluster, file: MakeFile) -> None:
    page = visit(cluster.api_urls[0])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    card = submit(page, SHORT, file("copied.bin", b"copied"))
    card.get_by_role("button", name="Copy hash").click()
    expect(page.locator("#news")).to_have_text("The hash of copied.bin was copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == chain(b"copied", SHORT)


def test_the_bar_moves_and_a_cancelled_job_says_so(visit: Open, cluster: Cluster, file: MakeFile) -> None:
    page = visit(cluster.api_urls[0])
    card = submit(page, LONG, file("long.bin", b"long"))
    bar = card.get_by_role("progressbar", name="Progress of long.bin")
    expect(state(card)).to_have_text("Running")
    expect(page.locator("#leased")).not_to_have_text("0")
    seen = {bar.get_attribute("value")}
    for _ in range(2):  # two checkpoints, each further than the one before
        expect(bar).not_to_have_attribute("value", max(filter(None, seen), key=float))
        seen.add(bar.get_attribute("value"))
    assert len({float(value or 0) for value in seen}) == 3
    card.get_by_role("button", name="Cancel long.bin").click()
    expect(state(card)).to_have_text("Cancelled")
    expect(card.locator(".job-detail")).to_contain_text("Cancelled after")
    expect(bar).to_be_hidden()
    expect(page.locator("#results")).to_contain_text("Cancelled")
    expect(page.locator("#leased")).to_have_text("0")


def test_the_keyboard_is_enough(visit: Open, cluster: Cluster, file: MakeFile) -> None:
    page = visit(cluster.api_urls[0])
    page.get_by_label("Choose files").set_input_files(file("typed.bin", b"typed"))  # the system's own window
    for focused in ("files", "iterations", "priority", "submit"):
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_id(focused)
        if focused == "iterations":
            page.keyboard.type(str(ENDLESS))
    page.keyboard.press("Enter")
    card = page.locator(".job")
    expect(card.get_by_role("button", name="Cancel")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_accessible_name("Cancel typed.bin")
    page.keyboard.press("Enter")
    expect(state(card)).to_have_text("Cancelled")
    expect(page.locator("#news")).to_have_text("typed.bin: Cancelled")
    expect(page.locator(":focus")).to_have_text("typed.bin")


def test_a_refusal_says_why_and_the_form_goes_on(visit: Open, cluster: Cluster, file: MakeFile) -> None:
    page = visit(cluster.api_urls[0], refused=(400,))
    card = submit(page, SHORT, file("empty.bin", b""))
    expect(page.get_by_role("alert")).to_contain_text("empty.bin was not submitted")
    expect(state(card)).to_have_text("Not sent")
    expect(state(submit(page, SHORT, file("good.bin", b"good")))).to_have_text("Done")
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_tab_that_is_loaded_again_knows_its_jobs(visit: Open, cluster: Cluster, file: MakeFile) -> None:
    page = visit(cluster.api_urls[0])
    expect(state(submit(page, SHORT, file("kept.bin", b"kept")))).to_have_text("Done")
    page.reload()
    card = page.locator(".job", has=page.get_by_role("heading", name="kept.bin"))
    expect(card.locator(".hash code")).to_have_text(chain(b"kept", SHORT))


@pytest.mark.parametrize("kept", ["{", "null", "7", '{"id": 1}', '[null, 7, {}, {"id": 1, "name": "x"}]'])
def test_what_a_tab_keeps_and_nobody_can_read_is_left_out(
    visit: Open, cluster: Cluster, file: MakeFile, kept: str
) -> None:
    page = visit(cluster.api_urls[0])
    page.evaluate("(kept) => sessionStorage.setItem('dynwork.jobs', kept)", kept)
    page.reload()
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator(".job")).to_have_count(0)
    expect(state(submit(page, SHORT, file("after.bin", b"after")))).to_have_text("Done")


def test_iterations_are_taken_however_a_browser_lets_them_be_written(
    visit: Open, cluster: Cluster, file: MakeFile
) -> None:
    page = visit(cluster.api_urls[0])
    card = submit(page, "1e3", file("thousand.bin", b"thousand"))
    expect(card.locator(".hash code")).to_have_text(chain(b"thousand", 1000))


def test_a_file_that_changed_since_it_was_chosen_is_not_blamed_on_the_api(
    visit: Open, cluster: Cluster, file: MakeFile
) -> None:
    page = visit(cluster.api_urls[0], refused=("ERR_UPLOAD_FILE_CHANGED",))
    page.get_by_label("Choose files").set_input_files(file("changed.bin", b"before"))
    file("changed.bin", b"and after")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "changed.bin was not submitted: it cannot be read, or has changed"
    )


def test_that_nobody_answers_is_said_in_words(visit: Open, cluster: Cluster, file: MakeFile) -> None:
    page = visit(cluster.api_urls[0], refused=("ERR_FAILED",))
    card = submit(page, ENDLESS, file("cut-off.bin", b"cut off"))
    cancel = card.get_by_role("button", name="Cancel cut-off.bin")
    expect(cancel).to_be_visible()
    page.context.route("**/jobs/*", lambda route: route.abort())
    cancel.click()
    expect(card.locator(".job-detail")).to_have_text("the API cannot be reached")
    page.context.unroute_all()
    cancel.click()
    expect(state(card)).to_have_text("Cancelled")


def test_what_a_file_is_called_is_text_and_never_markup(visit: Open, cluster: Cluster, file: MakeFile) -> None:
    page = visit(cluster.api_urls[0])
    name = "<img src=x onerror=alert(1)>.bin"
    expect(state(submit(page, SHORT, file(name, b"x")))).to_have_text("Done")
    assert page.locator(".job img").count() == 0


def test_a_key_is_asked_for_kept_in_the_tab_and_forgotten(visit: Open, guarded: Cluster, file: MakeFile) -> None:
    page = visit(guarded.api_urls[0], refused=(401,))
    key = page.get_by_label("Key", exact=True)
    expect(key).to_be_focused()
    key.fill("wrong")
    page.get_by_role("button", name="Use key").click()
    expect(page.locator("#key-why")).to_contain_text("That key was not taken")
    key.fill("first-key")
    key.press("Enter")
    expect(page.locator("#live")).to_have_text("Live")
    expect(key).to_be_hidden()
    expect(state(submit(page, SHORT, file("secret.bin", b"secret")))).to_have_text("Done")
    page.reload()
    expect(page.locator("#live")).to_have_text("Live")
    page.get_by_role("button", name="Forget key").click()
    expect(key).to_be_focused()
    assert page.evaluate("() => sessionStorage.length + localStorage.length") == 0
    expect(page.locator(".job")).to_have_count(0)


def test_a_key_that_may_not_look_can_submit_all_the_same(visit: Open, guarded: Cluster, file: MakeFile) -> None:
    page = visit(guarded.api_urls[0], refused=(401, 403))
    page.get_by_label("Key", exact=True).fill("blind-key")
    page.get_by_role("button", name="Use key").click()
    expect(page.locator("#live")).to_have_text("This key may not look: it lacks the right read")
    card = submit(page, SHORT, file("blind.bin", b"blind"))
    expect(card.locator(".job-detail")).to_contain_text("it needs the right 'read'")


def test_a_key_may_be_of_any_letters(visit: Open, guarded: Cluster) -> None:
    page = visit(guarded.api_urls[0], refused=(401,))
    page.get_by_label("Key", exact=True).fill("ключ")
    page.get_by_role("button", name="Use key").click()
    expect(page.locator("#live")).to_have_text("Live")


def test_a_refusal_that_comes_late_does_not_take_away_the_key_that_was_given_meanwhile(
    visit: Open, context: BrowserContext, guarded: Cluster, file: MakeFile
) -> None:
    held: list[Route] = []
    context.route("**/events", lambda route: route.fallback() if held else held.append(route))
    page = visit(guarded.api_urls[0], refused=(401,))
    submit(page, SHORT, file("keyless.bin", b"keyless"))  # refused, so that the key is asked for
    key = page.get_by_label("Key", exact=True)
    key.fill("first-key")
    key.press("Enter")
    expect(key).to_be_hidden()
    with page.expect_response(lambda response: response.status == 401):
        held[0].continue_()
    expect(page.locator("#live")).to_have_text("Live")
    expect(key).to_be_hidden()
