"""A page that plays a run, opened from disk in a browser: it asks for nothing, and shows the crash and the recovery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamlab.lab.lab import Lab
from streamlab.results.run import EngineName
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers
from streamlab.views.playback import Playback
from tests import browser

pytestmark = pytest.mark.browser

#: C2 dies with something in hand; a second later another one takes over. Three seconds in all.
KILLED = (
    Scenario(
        name="killed",
        producers=producers(2, Arrivals("constant", rate=12.0)),
        consumers=consumers(3, Service("constant", mean=0.1), count=3),
        duration=2.0,
    )
    .with_recovery("autoclaim", min_idle=1.0)
    .with_faults("crash-before-effect C2 nth 3")
)
#: What is to be read of a page at a moment.
SEEN = """() => ({
    headline: document.querySelector('.headline').textContent,
    clock: parseFloat(document.querySelector('.clock').textContent),
    c2: document.querySelector('[data-consumer=C2]').cells[1].textContent,
    again: document.querySelectorAll('[data-entry].again').length,
    owners: [...document.querySelectorAll('[data-entry]')].map(row => row.cells[1].textContent),
    acked: [...document.querySelectorAll('[data-consumer]')].map(row => Number(row.cells[5].textContent)),
})"""
#: Controls and pictures without a name that is read aloud.
NAMELESS = """() => [...document.querySelectorAll('button, input, select, canvas, [role=region], [role=group]')].filter(
    each => !(each.getAttribute('aria-label') || each.textContent.trim())).map(each => each.outerHTML)"""


def requests_of(page: Any, path: Path) -> list[str]:
    """Open a page from disk; return the list of what is asked for, which grows."""
    asked: list[str] = []
    page.context.set_offline(True)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("[data-consumer=C2]")
    return asked


def test_a_page_from_disk_plays_the_run(engine: EngineName, tmp_path: Path) -> None:
    """By keyboard alone: played, gone through, and by its turning points; on both engines."""
    run = Lab(KILLED, engine=engine).run()
    file = tmp_path / "killed.html"
    Playback(run).save(file)
    with browser.open_page("about:blank", width=1200, height=720) as page:
        asked = requests_of(page, file)

        def seen() -> dict[str, Any]:
            found: dict[str, Any] = page.evaluate(SEEN)
            return found

        assert page.evaluate(NAMELESS) == []
        assert page.title() == f"killed ({engine}): a recorded run"
        page.keyboard.press("Space")
        page.wait_for_function("() => parseFloat(document.querySelector('.clock').textContent) > 0.1")
        page.keyboard.press("Space")
        assert page.get_by_role("button", name="Play", exact=True).is_visible()
        before = seen()["clock"]
        for _ in range(10):  # the next moment may be less than a hundredth of a second later
            page.keyboard.press("ArrowRight")
        assert seen()["clock"] > before
        page.get_by_role("button", name="C2 died").press("Enter")
        crashed = seen()
        assert crashed["c2"] == "dead"
        assert "C2 is dead." in crashed["headline"]
        assert "Another consumer will claim" in crashed["headline"]
        assert "C2 (dead)" in crashed["owners"]
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # the next turning point
        taken = seen()
        assert taken["clock"] > crashed["clock"]
        assert taken["again"] > 0
        page.get_by_role("button", name="all that C2 left is done").press("Enter")
        recovered = seen()
        assert "C2 (dead)" not in recovered["owners"]
        slider = page.get_by_role("slider", name="Moment of the run")
        slider.press("End")
        ended = seen()
        assert ended["headline"].endswith("The run has ended.")
        assert ended["owners"] == []
        assert sum(ended["acked"]) == sum(consumer.acked for consumer in run.consumers.values()) >= run.added
        slider.press("Home")
        assert seen()["acked"] == [0, 0, 0]
        assert asked == [file.as_uri()]


def test_the_story_of_an_entry(tmp_path: Path) -> None:
    """A click on an id tells what had happened to it by then; and a notebook shows the same page."""
    run = Lab(KILLED).run()
    (lost,) = run.recovery.lost_workers
    place = tmp_path / "notebook.html"
    place.write_text(f"<!DOCTYPE html><title>a cell</title>{Playback(run)._repr_html_()}", "utf-8")
    with browser.open_page(place.as_uri()) as page:
        frame = page.frame_locator("iframe")
        frame.get_by_role("button", name="C2 died").click()
        frame.get_by_role("button", name=f"Story of {lost.held[0]}").click()
        told = frame.get_by_role("region", name="Story of an entry")
        lines = told.locator("li").all_text_contents()
        assert "C2: died" in lines[-1]
        frame.get_by_role("slider", name="Moment of the run").press("End")
        lines = told.locator("li").all_text_contents()
        assert "acknowledged it" in lines[-1]
