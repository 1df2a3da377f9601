"""The control panel in a browser: kill C2 and watch it being recovered; in JupyterLab, Notebook 7 and Voila, simulated
and live.

``pytest tests/views/test_panel_in_browser.py -k figures --panel-figures FOLDER`` makes the pictures of the README.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from streamlab.lab.lab import Lab
from streamlab.scenario import Arrivals, Consumer, Scenario, Service, consumers, load_scenario, producers, to_toml
from streamlab.views import panel as panels
from streamlab.views.panel.app import served
from streamlab.views.panel.buttons import all_buttons
from streamlab.views.shown.state import state_of
from tests import browser
from tests.conftest import Eventually
from tests.views.figures import recording_of

pytestmark = pytest.mark.browser
FURTHER_LIVE = [pytest.mark.redis, pytest.mark.further("with real processes")]

VIEW = Path(panels.__file__).parent / "view"

#: More than three consumers can do, so that each of them always holds something; then it ends. What is idle for long
#: enough to be claimed is held by nobody alive: the third of three entries waits for 3.6 s.
CROWDED = Scenario(
    name="crowded",
    producers=producers(2, Arrivals("constant", rate=2.0)),
    consumers=consumers(3, Service("constant", mean=1.2), count=3),
    duration=None,
    entries=48,
    drain=600.0,
).with_recovery(min_idle=4.0)

#: Whom an entry belongs to, by its id, as the table says.
OWNERS = """() => Object.fromEntries([...document.querySelectorAll('[data-entry]')].map(
    row => [row.dataset.entry, row.cells[2].textContent]))"""
#: Click Kill on C2, and tell how many milliseconds it took until all of it was to be seen.
KILL_AND_TIME = """async () => {
    const row = document.querySelector('[data-consumer=C2]');
    const began = performance.now();
    row.querySelector('.kill').click();
    const all = () => row.cells[1].textContent === 'dead' && row.classList.contains('stranded')
        && [...document.querySelectorAll('[data-entry]')].some(
            each => each.classList.contains('stranded') && each.cells[2].textContent === 'C2 (dead)');
    while (!all()) {
        if (performance.now() - began > 10_000) return Infinity;
        await new Promise(resolve => setTimeout(resolve, 10));
    }
    return performance.now() - began;
}"""
#: Whether nothing moves in the scene.
STILL = """async () => {
    const scene = document.querySelector('.streamlab-panel > canvas'), before = scene.toDataURL();
    await new Promise(resolve => setTimeout(resolve, 300));
    return scene.toDataURL() === before;
}"""
#: Let two seconds pass; tell how many nodes of the consumers' table were replaced, and how many texts changed.
MUTATIONS = """async () => {
    const counts = { nodes: 0, texts: 0 };
    const watch = new MutationObserver(found => found.forEach(
        each => { counts[each.type === 'childList' ? 'nodes' : 'texts'] += 1; }));
    const table = document.querySelector('[data-consumer]').parentNode;
    watch.observe(table, { subtree: true, childList: true, characterData: true });
    await new Promise(resolve => setTimeout(resolve, 2000));
    return counts;
}"""


def number(page: Any, consumer: str, cell: int) -> int:
    return int(page.text_content(f"[data-consumer={consumer}] td:nth-child({cell})"))


def pid_of(page: Any, consumer: str) -> int | None:
    title = page.get_attribute(f"[data-consumer={consumer}]", "title") or ""
    return int(title.split()[1]) if title else None


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def story(page: Any, *, live: bool, automatic: bool, eventually: Eventually) -> None:
    """Kill C2; see what it leaves behind wait, be claimed, and be done."""
    page.wait_for_selector("[data-consumer=C2]")
    page.wait_for_function("() => Number(document.querySelector('[data-consumer=C1]').cells[5].textContent) > 0")
    page.wait_for_function("() => Number(document.querySelector('[data-consumer=C2]').cells[3].textContent) > 0")
    pid = pid_of(page, "C2")
    assert (pid is not None) == live
    # The keyboard's focus stays where it is, and no node is replaced, while everything changes.
    page.focus("[data-consumer=C2] .kill")
    counts = page.evaluate(MUTATIONS)
    assert counts["nodes"] == 0
    assert counts["texts"] >= 10
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Kill C2"

    took_ms = page.evaluate(KILL_AND_TIME)
    assert took_ms < 2_000  # before anybody would click again, also on a busy machine
    if pid is not None:
        eventually(lambda: not is_running(pid), "the process is gone")
    assert "No other consumer is given" in page.text_content(".headline")
    stranded = [entry for entry, owner in page.evaluate(OWNERS).items() if owner == "C2 (dead)"]
    assert len(stranded) == number(page, "C2", 4) > 0

    def idle() -> float:
        return float(page.text_content(f"[data-entry='{stranded[0]}'] td:nth-child(4)").split()[0])

    before = idle()
    eventually(lambda: idle() > before + 0.5, "its idle time grows", timeout=10.0)
    if automatic:
        page.check(".automatic")
    else:
        page.wait_for_function(
            "id => document.querySelector(`[data-entry='${id}']`).cells[3].textContent.includes('claimable')",
            arg=stranded[0],
        )
        page.check(f"[data-entry='{stranded[0]}'] input")  # one of them by hand, to C3
        page.select_option("[aria-label='New owner']", "C3")
        page.click(".claim")
        page.wait_for_function(
            "id => document.querySelector(`[data-entry='${id}']`).cells[2].textContent === 'C3'", arg=stranded[0]
        )
        page.click(".autoclaim")  # and the rest
    eventually(
        lambda: all(page.evaluate(OWNERS).get(entry, "") != "C2 (dead)" for entry in stranded),
        "they are claimed",
        timeout=20.0,
    )
    # Faster, with the keyboard; and nothing is left.
    page.focus("[aria-label='service time']")
    page.keyboard.press("Home")
    eventually(lambda: not set(stranded) & set(page.evaluate(OWNERS)), "all are done", timeout=20.0)
    page.wait_for_function("() => document.querySelector('.headline').textContent.includes('The run has ended.')")
    assert page.evaluate(OWNERS) == {}
    assert page.text_content("[data-figure=pending]") == "0"


#: The least and the greatest height at which the panel shows what has to be seen at once; the number of cells.
IN_SIGHT = """() => {
    const panel = document.querySelector('.streamlab-panel');
    if (panel === null || panel.querySelector('[data-entry]') === null) return null; // a cell out of sight is not there
    panel.scrollIntoView();
    const seen = ['.clock', '[data-consumer=C3] .kill', '[data-entry]', '.autoclaim'].map(
        each => panel.querySelector(each).getBoundingClientRect());
    return [Math.min(...seen.map(({ top }) => top)), Math.max(...seen.map(({ bottom }) => bottom)),
            document.querySelectorAll('.jp-Notebook .jp-Cell').length];
}"""


def on_one_screen(page: Any) -> None:
    """In a low window, beside the file browser: clock, Kill and pending entries. A key is not taken for Jupyter's."""
    assert page.is_visible(".jp-FileBrowser")
    top, bottom, n_cells = page.wait_for_function(IN_SIGHT).json_value()
    assert top > page.locator(".jp-NotebookPanel-toolbar").bounding_box()["y"]
    assert bottom < page.locator("#jp-main-statusbar").bounding_box()["y"]
    page.focus(".automatic")
    for key in "xbdd":  # in Jupyter: cut the cell, add one, delete one
        page.keyboard.press(key)
    assert page.wait_for_function(IN_SIGHT).json_value()[2] == n_cells


def more_faults(page: Any) -> None:
    """Open the menu with the keyboard, and take the server down for a second: the panel says so, and goes on."""
    page.wait_for_function("() => Number(document.querySelector('[data-consumer=C1]').cells[5].textContent) > 0")
    assert not page.is_visible("[aria-label=Action]")
    page.focus("text=More actions")
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Action"
    page.keyboard.type("Take the server")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "for"
    assert page.text_content(".faults code") == 'lab.do("server-down for 1s")'
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    says = "words => document.querySelector('.headline').textContent.includes(words)"
    page.wait_for_function(says, arg="The server is down")
    assert "server-down → no command is answered for 1 s" in page.text_content("[aria-label='Done by hand'] tr")
    page.wait_for_function(says, arg="All 3 consumers are alive")
    assert page.text_content(".notice") == ""
    page.click("text=More actions")
    assert not page.is_visible("[aria-label=Action]")


@pytest.mark.further("in another application")
def test_in_voila(engine: str, eventually: Eventually) -> None:
    """`streamlab panel`: a page of its own; recovered by one click. Its processes end with it."""
    port = browser.free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with served(CROWDED, live=engine == "live", port=port, **quiet) as voila:
        browser.wait_for(f"http://127.0.0.1:{port}/nothing", voila)
        with browser.open_page(f"http://127.0.0.1:{port}/") as page:
            page.wait_for_selector("[data-consumer=C2]")
            more_faults(page)
            story(page, live=engine == "live", automatic=False, eventually=eventually)
            pid = pid_of(page, "C1")
            with page.expect_download() as saved:
                page.click("text=Save as a page")
            assert saved.value.suggested_filename == "crowded.html"
            recording = recording_of(saved.value.path().read_text("utf-8"))
            assert recording["engine"] == engine
            assert {"C2 died", "all that C2 left is done"} <= {words for *_, words in recording["turns"]}
    if pid is not None:
        eventually(lambda: not is_running(pid), "the workers end with Voila", timeout=10.0)


#: For what is done by hand: no consumer keeps up, what was delivered twice is given up, and billing reads as well.
BY_HAND = Scenario(
    name="by-hand",
    producers=producers(1, Arrivals("constant", rate=3.0)),
    consumers=(
        *consumers(3, Service("constant", mean=1.5), count=2),
        Consumer("B1", Service("constant", mean=0.1), group="billing"),
    ),
    duration=600.0,
    seed=2,
).with_recovery(min_idle=1.0, max_deliveries=1)
#: The last command that was sent by hand, with its reply.
LAST_BY_HAND = "() => document.querySelector(\"[aria-label='Done by hand'] tr\")?.textContent || ''"


@pytest.mark.real_time("clicks on what moves, simulated and live")
@pytest.mark.parametrize("engine", ["simulated", pytest.param("live", marks=pytest.mark.redis)])
def test_each_deed_by_click(engine: str) -> None:
    """Add, trim, acknowledge, bury, put back, remove, destroy, tell a story: what comes of each is to be seen."""
    port = browser.free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    low: dict[str, Any] = {"width": 1200, "height": 720}
    with served(BY_HAND, live=engine == "live", port=port, **quiet) as voila:
        browser.wait_for(f"http://127.0.0.1:{port}/nothing", voila)
        with browser.open_page(f"http://127.0.0.1:{port}/", **low) as page:

            def said(words: str) -> None:
                page.wait_for_function(f"words => ({LAST_BY_HAND})().includes(words)", arg=words)

            def do(action: str, target: str = "", group: str = "") -> None:
                page.get_by_label("Action", exact=True).select_option(action)
                for label, value in (("Target", target), ("Group", group)):
                    if value:
                        page.get_by_label(label, exact=True).select_option(value)
                page.click(".fault")

            def headline(words: str) -> None:
                says = "words => document.querySelector('.headline').textContent.includes(words)"
                page.wait_for_function(says, arg=words)

            def entries_of(name: str) -> list[str]:
                rows = page.evaluate(OWNERS)
                return [entry for entry, owner in rows.items() if owner.split(" ")[0] == name]

            def holds(name: str) -> None:
                arg = f"[data-consumer={name}]"
                page.wait_for_function("row => Number(document.querySelector(row).cells[3].textContent) >= 1", arg=arg)

            page.wait_for_selector("[data-consumer=C3]")
            page.click("text=More actions")
            do(" add")
            said("XADD orders * item tea →")
            holds("C1")
            page.click("[data-consumer=C1] .pause")
            headline("C1 is paused")
            page.click(f"[data-entry='{entries_of('C1')[0]}'] .link")
            page.wait_for_function("() => document.body.textContent.includes('now, in workers: it is pending for C1')")
            holds("C2")
            page.click("[data-consumer=C2] .pause")
            headline("C1 and C2 are paused")
            (mine,) = entries_of("C2")
            page.check(f"[data-entry='{mine}'] input")
            page.click(".ack")
            said(f"XACK orders workers {mine} → 1")
            page.click("[data-consumer=C2] .kill")
            headline("1 entry will never be done")  # what was acknowledged before C2 had done it
            # Taken from one who stands still, and given up; then he goes on, and does it.
            page.check(".automatic")
            page.wait_for_selector("[data-letter]")
            page.uncheck(".automatic")
            page.check("[data-letter] input")
            page.click(".put-back")
            said("then XDEL {orders}:dead")
            page.click("[data-consumer=C1] .pause")  # which says Resume by now
            page.wait_for_function("() => document.querySelector('[data-consumer=C1] .state').textContent !== 'paused'")
            do(" trim")
            said("XTRIM orders MAXLEN = 10 →")
            do("consumer remove-consumer", "C2")
            said("XGROUP DELCONSUMER orders workers C2")
            do(" group-destroyed", group="billing")
            said("XGROUP DESTROY orders billing → 1")
            assert page.text_content(".notice") == ""


#: What a consumer holds is claimed while it stands still; it goes on, and knows nothing of that.
ZOMBIE = Scenario(
    name="zombie",
    producers=producers(1, Arrivals("constant", rate=4.0)),
    consumers=consumers(2, Service("constant", mean=0.8), count=4),
    duration=600.0,
).with_recovery(min_idle=0.5)


@pytest.mark.real_time("clicks on what moves, simulated and live")
@pytest.mark.parametrize("engine", ["simulated", pytest.param("live", marks=FURTHER_LIVE)])
def test_what_a_zombie_does_twice_is_seen(engine: str) -> None:
    """Paused, its entries claimed by click, resumed: the headline says who does them twice, the table how many."""
    port = browser.free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with served(ZOMBIE, live=engine == "live", port=port, **quiet) as voila:
        browser.wait_for(f"http://127.0.0.1:{port}/nothing", voila)
        with browser.open_page(f"http://127.0.0.1:{port}/", width=1200, height=720) as page:
            page.wait_for_selector("[data-consumer=C2]")
            holds = "() => Number(document.querySelector('[data-consumer=C1]').cells[2].textContent) >= 3"
            page.wait_for_function(holds)
            page.click("[data-consumer=C1] .pause")
            page.wait_for_function("() => document.body.textContent.includes('claimable')")
            held = number(page, "C1", 4)
            assert held >= 1
            page.select_option("[aria-label='New owner']", "C2")
            page.locator("label:has-text('at once') input").check()
            page.click(".autoclaim")
            page.wait_for_selector("tr.again")
            page.wait_for_function("() => !document.querySelector('tr.again')")  # C2 has done them
            page.click("[data-consumer=C1] .pause")  # which says Resume by now
            says = "words => document.querySelector('.headline').textContent.includes(words)"
            page.wait_for_function(says, arg="done twice")
            twice = """n => [...document.querySelectorAll('[data-consumer]')].reduce(
                (sum, row) => sum + Number(row.cells[6].textContent), 0) >= n"""
            page.wait_for_function(twice, arg=held)
            assert int(page.text_content("[data-figure='done twice']")) >= held


CELLS = (
    "from pathlib import Path\nfrom streamlab.lab.lab import Lab\nfrom streamlab.views.panel import Panel",
    "lab = Lab(Path('scenario.toml'), engine={engine!r})\nlab.play()",
    "Panel(lab)",
)


@pytest.mark.parametrize(
    ("application", "engine"),
    [
        pytest.param("jupyterlab", "live", marks=pytest.mark.redis),
        pytest.param("notebook", "simulated", marks=pytest.mark.further("in another application")),
    ],
)
def test_in_a_notebook(application: str, engine: str, tmp_path: Path, eventually: Eventually) -> None:
    """In a cell; recovered by the consumers themselves. Cells that are run again, and a kernel that is restarted,
    leave nothing of the run before."""
    (tmp_path / "scenario.toml").write_text(to_toml(CROWDED), "utf-8")
    cells = [cell.format(engine=engine) for cell in CELLS]
    (tmp_path / "panel.ipynb").write_text(browser.notebook(*cells), "utf-8")
    low: dict[str, Any] = {"width": 1200, "height": 720}
    with browser.jupyter(tmp_path, application) as url, browser.open_page(url, **low) as page:
        browser.run_all_cells(page)
        page.wait_for_selector("[data-consumer=C2]")
        first = pid_of(page, "C1")
        page.evaluate("() => document.querySelector('.streamlab-panel').classList.add('first')")
        browser.run_all_cells(page)
        page.wait_for_selector(".streamlab-panel:not(.first) [data-consumer=C2]")
        if first is not None:
            eventually(lambda: not is_running(first), "the first run's workers end", timeout=20.0)
        second = pid_of(page, "C1")
        browser.restart_kernel(page)
        if second is not None:
            eventually(lambda: not is_running(second), "they end with the kernel", timeout=20.0)
        page.evaluate("() => document.querySelector('.streamlab-panel').classList.add('first')")
        browser.run_all_cells(page)
        page.wait_for_selector(".streamlab-panel:not(.first) [data-consumer=C2]")
        if application == "jupyterlab":
            on_one_screen(page)
        story(page, live=engine == "live", automatic=True, eventually=eventually)


#: Show a state by the view's own modules, as they are, with a model that keeps what is sent to it.
SHOW = """async ([state, buttons]) => {
    const view = await import('/main.mjs');
    const el = document.body.appendChild(document.createElement('div'));
    window.sent = [];
    window.heard = {};
    const get = (name) => ({ state, buttons })[name], send = (message) => window.sent.push(message);
    const model = { get, send, on: (what, act) => { window.heard[what] = act; }, off() {} };
    view.default.render({ model, el });
}"""


def test_what_each_control_sends() -> None:
    """Every button and field, in one state of a run; and the kernel understands each action."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(VIEW))
    with Lab(CROWDED) as lab, ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        lab.wait_until(lambda now: all(consumer.holding for consumer in now.consumers))
        lab.pause("C3")
        state = {**state_of(lab), "notice": "", "playing": True}
        first = state["pending"][0][0]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser.open_page(f"http://127.0.0.1:{server.server_port}/") as page:

            def sent(show: dict[str, Any], *doings: Callable[[], object]) -> list[dict[str, Any]]:
                page.set_content("")
                page.evaluate(SHOW, [show, all_buttons()])
                for do in doings:
                    do()
                found: list[dict[str, Any]] = json.loads(page.evaluate("() => JSON.stringify(window.sent)"))
                assert found.pop(0) == {"control": "look"}
                return found

            def click(selector: str) -> Callable[[], object]:
                return lambda: page.locator(selector).first.dispatch_event("click")  # also on what is disabled

            def fill(label: str, value: object) -> Callable[[], object]:
                return lambda: page.get_by_label(label, exact=True).fill(str(value)) or page.keyboard.press("Tab")

            def choose(label: str, value: str) -> Callable[[], object]:
                return lambda: page.get_by_label(label, exact=True).select_option(value)

            actions = sent(
                state,
                *(click(f"[data-consumer=C1] .{name}") for name in ("kill", "pause", "restart")),
                click("[data-consumer=C3] .pause"),
                click("text=Add consumer"),
                click(".claim"),  # nothing is picked: nothing is sent
                click(f"[data-entry='{first}'] input"),
                choose("New owner", "C1"),
                click(".claim"),
                click(".autoclaim"),
                choose("New owner", ""),
                click(".autoclaim"),
                fill("min-idle, in seconds", 2.5),
                click(".automatic"),
                choose("Strategy of automatic recovery", "claim"),
                click(".automatic"),
                fill("arrival rate", 1),
                fill("service time", -1),
            )
            assert [message.get("action") for message in actions] == [
                *("kill C1", "pause C1", "restart C1", "resume C3", "add-consumer", f"claim {first} for C1"),
                *("autoclaim for C1", "autoclaim", "set-recovery min-idle 2.5s", "set-recovery autoclaim"),
                *("set-recovery claim", "set-recovery none", "set-rate 4", "set-service 600ms"),
            ]
            for message in actions:
                panels._perform(lab, message["action"])
            faults = sent(
                state,
                click("text=More actions"),
                click(".fault"),
                choose("Target", "C3"), fill("factor", 4), click(".fault"),
                choose("Action", "consumer lost-reply"), choose("command", "XREADGROUP"), fill("nth", 3),
                click(".fault"),
                choose("Action", "producer lost-reply"), choose("Target", "P2"), click(".fault"),
                choose("Action", "producer pause"), click(".fault"), fill("for", 0.5), click(".fault"),
                choose("Action", "producer resume"), click(".fault"),  # it is not paused: nothing is sent
                choose("Action", " stream-deleted"), click(".fault"),
            )  # fmt: skip
            assert [message.get("action") for message in faults] == [
                *("slow C1 for 1s factor 10", "slow C3 for 1s factor 4", "lost-reply C3 XREADGROUP nth 3"),
                *("lost-reply P2 XADD nth 1", "pause P2", "pause P2 for 500ms", "stream-deleted"),
            ]
            for message in faults:
                panels._perform(lab, message["action"])
            state = {**state_of(lab), "notice": "", "playing": True}
            dead = {**state, "consumers": [{**each, "state": "dead"} for each in state["consumers"]]}
            vain = choose("Action", "consumer disconnect"), click(".fault")
            assert sent(dead, click("text=More actions"), *vain) == []
            controls = (
                click("text=Freeze"), click("text=Step"), choose("Speed", "5"), click("text=− 5 s"),
                fill("Go to a moment of the run", 2), fill("Seed", 7), click("text=Begin again"),
            )  # fmt: skip
            assert [(message["control"], message.get("value")) for message in sent(state, *controls)] == [
                *(("freeze", None), ("step", None), ("play", 5), ("go_to", pytest.approx(max(state["at"] - 5, 0)))),
                *(("go_to", 2), ("begin_again", 7)),
            ]
            assert sent({**state, "playing": False}, choose("Speed", "5"), click("text=Play")) == [
                {"control": "play", "value": 5}
            ]
            assert sent({**state, "engine": "live"}, click("text=Stop")) == [{"control": "close"}]
            assert sent(state, click("text=Save as a page")) == [{"save": "page"}]
            with page.expect_download() as saved:
                page.evaluate("() => heard['msg:custom']({ page: 'a run.html' }, [new TextEncoder().encode('<p>')])")
            assert saved.value.suggested_filename == "a run.html"
            assert saved.value.path().read_text() == "<p>"
            ended = {**state, "finished": True}
            assert (
                sent(
                    ended, click("text=Freeze"), click("text=Step"), click("[data-consumer=C1] .kill"), click(".fault")
                )
                == []
            )
        server.shutdown()


def test_what_is_sent_of_several_groups() -> None:
    """Each click says which group is meant; what was picked is sent for each of them."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(VIEW))
    with Lab("two-groups") as lab, ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        held = {"workers", "billing"}
        lab.wait_until(lambda now: {row.group for row in now.pending} == held)
        state = {**state_of(lab), "notice": "", "playing": False}
        picked = {group: next(row.id for row in lab.snapshot().pending if row.group == group) for group in held}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser.open_page(f"http://127.0.0.1:{server.server_port}/") as page:
            page.set_content("")
            page.evaluate(SHOW, [state, all_buttons()])
            rows = page.locator("[data-group]")
            assert rows.all_text_contents() == [
                "".join(map(str, (g.name, g.backlog, g.lag, g.n_pending, g.last_delivered_id)))
                for g in lab.snapshot().groups
            ]
            assert page.locator("[data-consumer=B1] small").text_content().strip() == "billing"
            assert page.locator(f"[data-entry='{picked['billing']}']").first.is_visible()
            for box in page.locator("[data-entry] input").all():
                box.check()
            page.click(".ack")
            page.click(".autoclaim")
            page.get_by_label("New owner").select_option("B1")
            page.click(".autoclaim")
            page.get_by_label("Group to add a consumer to").select_option("billing")
            page.click("text=Add consumer")
            page.click("text=More actions")
            page.get_by_label("Action", exact=True).select_option(" group-destroyed")
            page.get_by_label("Group", exact=True).select_option("billing")
            page.click(".fault")
            sent = [each["action"] for each in json.loads(page.evaluate("() => JSON.stringify(window.sent)"))[1:]]
        server.shutdown()
        ids = {group: [row.id for row in lab.snapshot().pending if row.group == group] for group in held}
        assert sent == [
            *(f"ack {' '.join(ids[group])} in {group}" for group in ("workers", "billing")),
            *("autoclaim in workers", "autoclaim in billing", "autoclaim for B1"),
            *("add-consumer in billing", "group-destroyed in billing"),
        ]
        for text in sent:
            panels._perform(lab, text)


def test_servers_are_killed_by_a_click_and_tell_what_was_lost() -> None:
    """The button kills the primary; then the replica is the primary, and each lost id tells its story."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(VIEW))
    hidden = "() => ['shards', 'servers'].map(each => document.querySelector(`section.${each}`).hidden)"
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser.open_page(f"http://127.0.0.1:{server.server_port}/") as page:

            def show(lab: Lab) -> list[bool]:
                page.set_content("")
                page.evaluate(SHOW, [{**state_of(lab), "notice": "", "playing": False}, all_buttons()])
                found: list[bool] = page.evaluate(hidden)
                return found

            def sent() -> dict[str, Any]:
                found: dict[str, Any] = json.loads(page.evaluate("() => JSON.stringify(window.sent)"))[-1]
                return found

            with Lab(load_scenario("failover").replace(faults=())) as lab:
                lab.run_until(3.7)
                assert show(lab) == [True, False]
                assert page.locator("[data-server='server 2'] small").text_content().startswith("copies it, and lacks")
                page.get_by_role("button", name="Kill the primary", exact=True).click()
                assert sent() == {"action": "failover"}
                panels._perform(lab, sent()["action"])
                lab.run_until(6.0)
                show(lab)
                words = page.locator("[data-server] .state").all_text_contents()
                assert words == ["dead", "primary"]
                first = lab.snapshot().forgotten.entries[0]
                page.locator(".losses button").first.click()
                assert sent() == {"story": first}
                page.get_by_role("button", name="Kill the primary", exact=True).dispatch_event("click")
                assert sent() == {"story": first}  # no replica is left: nothing is sent
            with Lab("sharded") as lab:
                lab.run_until(1.6)
                assert show(lab) == [False, True]
                assert "shard 2: C2 dead: " in page.locator(".shards canvas").get_attribute("aria-label")
            with Lab("crash") as lab:
                assert show(lab) == [True, True]
        server.shutdown()


def test_hostile_payloads_are_shown_harmlessly(tmp_path: Path) -> None:
    """Markup stays text, a script does not run, a megabyte is cut."""
    cell = """
import dataclasses
from streamlab.lab.lab import Lab
from streamlab.views.panel import Panel
lab = Lab("kill-and-recover")
lab.pause("C1"); lab.pause("C2"); lab.pause("C3")
nasty = {"a": "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>", "b": "y" * 1_000_000}
lab._driver().ask(lambda lookout: lookout._engine.client.xadd("orders", nasty))
lab._driver().ask(lambda lookout: lookout._engine.client.xreadgroup("workers", "C2", {"orders": ">"}, 10))
Panel(lab)
"""
    (tmp_path / "panel.ipynb").write_text(browser.notebook(cell), "utf-8")
    with browser.jupyter(tmp_path) as url, browser.open_page(url) as page:
        browser.run_all_cells(page)
        page.wait_for_selector("[data-entry]")
        shown = page.text_content("[data-entry] td.fields")
        assert "<img src=x onerror=" in shown
        assert len(shown) < 300
        assert page.query_selector("[data-entry] img") is None
        assert page.evaluate("() => window.hacked") is None


def test_figures(request: pytest.FixtureRequest, eventually: Eventually) -> None:
    """Four moments, for the README and the course: steady, just killed, waiting, recovered.

    The first shows all of the panel, the others what is in motion: so they are large enough to be read.
    """
    folder = request.config.getoption("--panel-figures")
    if folder is None:
        pytest.skip("no --panel-figures FOLDER to put the pictures into")
    port = browser.free_port()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with served(load_scenario("kill-and-recover"), port=port, **quiet) as voila:
        browser.wait_for(f"http://127.0.0.1:{port}/nothing", voila)
        with browser.open_page(f"http://127.0.0.1:{port}/") as page:

            def take(moment: str) -> None:
                path = Path(folder, f"panel_{moment}.png")
                box = page.locator(".streamlab-panel").bounding_box()
                if moment != "steady":
                    box["height"] = page.locator(".columns.low").bounding_box()["y"] - box["y"]
                page.screenshot(path=path, clip=box, full_page=True)

            page.wait_for_selector("[data-consumer=C2]")
            page.wait_for_function("() => parseFloat(document.querySelector('.clock').textContent) > 21")
            holds = "() => Number(document.querySelector('[data-consumer=C2]').cells[3].textContent) >= {}"
            page.wait_for_function(holds.format(2))
            page.click("text=Freeze")
            eventually(lambda: page.evaluate(STILL), "entries are drawn where the tables say they are", timeout=20.0)
            take("steady")
            page.click("text=Play")
            page.wait_for_function(holds.format(3))
            page.click("[data-consumer=C2] .kill")
            page.wait_for_selector("tr.stranded")
            take("killed")
            page.wait_for_function("() => document.body.textContent.includes('claimable')")
            take("waiting")
            page.click(".autoclaim")
            page.wait_for_selector("tr.again")
            take("claimed")
            page.wait_for_function(
                "() => document.querySelector('.headline').textContent.includes('Nothing is stranded')"
            )
            take("recovered")
