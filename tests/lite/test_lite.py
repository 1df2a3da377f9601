"""The course in a browser alone: lessons, the panel and a lab that plays, with no other site within reach.

`make trylite` makes the site and runs these.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import browser
from tests.lite.site import opened, troubles
from tests.walk import walk

pytestmark = pytest.mark.browser

#: Seconds until a kernel has to be ready, on two cores.
READY = 60.0
#: What is fetched elsewhere, when it is first used.
COMPILED = ("matplotlib-", "pandas-")

#: What has no need of matplotlib and pandas.
TOUR = (
    """import time
from streamlab import Arrivals, Lab, Panel, Scenario, Service, checks, connect, consumers, producers
r = connect()
r.xadd("s", {"n": 1})
assert r.xread({"s": "0"})[0][1][0][1] == {"n": "1"}
before = time.monotonic()
assert r.xread({"s": "$"}, block=200) == []
assert 0.2 <= time.monotonic() - before < 2""",
    """lab = Lab("kill-and-recover")
lab.play(5)
time.sleep(1)
lab.freeze()
assert lab.now > 1, lab.now
lab.go_to(2.5)
assert lab.now == 2.5
lab.go_to(1.0)
lab.snapshot().n_pending""",
    """try:
    Lab("crash", engine="live")
except Exception as error:
    print(error)""",
    """def pages(client, key, size):
    page = client.xrange(key, count=size)
    while page:
        yield page
        page = client.xrange(key, f"({page[-1][0]}", count=size)
assert checks.pages(pages).passed
assert not checks.pages(lambda client, key, size: []).passed""",
    # More than three consumers can do, so that each of them always holds something.
    """crowded = Scenario(
    name="crowded",
    producers=producers(2, Arrivals("constant", rate=2.0)),
    consumers=consumers(3, Service("constant", mean=1.2), count=3),
    duration=600.0,
).with_recovery(min_idle=3.0)
Panel(Lab(crowded))""",
)


@pytest.mark.parametrize("lesson", ["01_redis_stream.ipynb", "02_consumer_group.ipynb"])
def test_a_lesson_runs_to_its_end(site: Path, lesson: str) -> None:
    """Nothing fails, exercises are judged, and only for figures another site was asked, in vain."""
    with opened(site, lesson) as notebook:
        assert notebook.seconds < READY
        assert notebook.asked == []
        steps = list(walk(notebook.page))
        assert [words for step in steps for words in troubles(step)] == []
        shown = [str(output.get("data", output.get("text", ""))) for step in steps for output in step.outputs]
        assert sum("There would be a figure here." in each for each in shown) == 2
        assert sum("There is no answer yet." in each for each in shown) == 2
        assert any("matplotlib-" in url for url in notebook.asked)


def test_a_lab_plays_and_the_panel_obeys(site: Path) -> None:
    """A tour without figures: the embedded server, `play` and `go_to`, and Kill and XAUTOCLAIM by click."""
    with opened(site, "tour.ipynb", *TOUR) as notebook:
        assert notebook.seconds < READY
        page = notebook.page
        steps = list(walk(page))
        assert [words for step in steps for words in troubles(step)] == []
        assert "".join(steps[2].outputs[0]["text"]) == (
            "the live engine needs processes, which a page in a browser does not have: "
            "leave engine out, and the run is simulated\n"
        )
        browser.kill_in_work(page, "C2")
        page.click("button:text-is('Play')")
        dead = "[...document.querySelectorAll('[data-entry]')].filter(row => row.cells[2].textContent === 'C2 (dead)')"
        page.wait_for_function(f"() => {dead}.length > 0")
        page.wait_for_function(f"() => {dead}.some(row => row.cells[3].textContent.includes('claimable'))")
        page.click(".autoclaim")
        page.wait_for_function(f"() => {dead}.length === 0")
        assert page.text_content("[data-consumer=C2] td:nth-child(2)") == "dead"
        assert notebook.asked == []
