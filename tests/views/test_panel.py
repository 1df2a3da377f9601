"""`Panel`, without a browser: what it would show, what a click does, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import json
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import pytest

from streamlab import cli
from streamlab.cli import opening
from streamlab.lab.lab import Lab
from streamlab.lab.simulated import SimulatedEngine
from streamlab.scenario import Arrivals, Scenario, ScenarioError, Service, consumers, load_scenario, producers
from streamlab.scenario.actions import ACTIONS
from tests.conftest import Eventually
from tests.views.figures import recording_of

if TYPE_CHECKING:
    from streamlab.views import panel as panels
else:
    panels = pytest.importorskip("streamlab.views.panel", reason="anywidget is not installed")

from streamlab.views.shown.headlines import headline
from streamlab.views.shown.state import state_of
from streamlab.views.shown.still import still

BUSY = Scenario(
    name="busy",
    producers=producers(2, Arrivals("constant", rate=4)),
    consumers=consumers(3, Service("constant", mean=0.5), count=3),
    duration=60.0,
).with_recovery(min_idle=2.0)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(BUSY) as lab:
        lab.run_until(5.0)
        yield lab


def panel_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "streamlab-panel"]


@pytest.fixture
def panel(lab: Lab) -> Iterator[panels.Panel]:
    panel = panels.Panel(lab)
    yield panel
    panel.close()


def headline_of(lab: Lab) -> tuple[str, str]:
    return headline(lab.snapshot(), lab.recovery.claims)


def test_the_state_is_what_json_can_hold(lab: Lab):
    """Numbers, texts and lists; no NaN, which JSON has not."""
    state = state_of(lab)
    assert json.loads(json.dumps(state, allow_nan=False)).keys() == state.keys()
    assert [consumer["name"] for consumer in state["consumers"]] == ["C1", "C2", "C3"]
    assert len(state["pending"]) == state["n_pending"] > 0
    assert state["figures"]["backlog"] == state["backlog"] == len(state["groups"][0]["waiting"])


def test_a_scenario_will_do():
    """Or its name: it is simulated, and running the cell again replaces that lab as well."""
    from ipywidgets import Widget

    for given in "two-groups", load_scenario("two-groups"):
        panel = panels.Panel(given)
        assert (panel.lab.engine, panel.lab.scenario.name) == ("simulated", "two-groups")
        panel.close()
        panel.lab.close()
    with pytest.raises(ScenarioError, match="one-to-many"):
        panels.Panel("one-to-meny")
    Widget.close_all()  # as a notebook may: there is none that is half made


def test_the_headline_tells_the_story(lab: Lab):
    """Steady, killed, claimed, recovered, everybody dead, ended: each has its words and its mood."""
    assert headline_of(lab) == ("calm", "All 3 consumers are alive. Nothing is stranded.")
    lab.kill("C2")
    assert headline_of(lab) == (
        "alarm",
        "C2 is dead. 3 entries are still pending for C2. No other consumer is given them until somebody claims them.",
    )
    lab.set_recovery("autoclaim")
    assert headline_of(lab)[1].endswith("Another consumer will claim them once they have been idle for long enough.")
    lab.set_recovery("none")
    lab.run_until(lab.now + 3.0)
    lab.autoclaim("C1")
    lab.run_until(lab.now + 1.6)
    assert headline_of(lab) == ("mending", "C2 is dead. C1 has taken over what was left, and is working on it.")
    lab.run_until(lab.now + 3.0)
    assert headline_of(lab) == ("calm", "C2 is dead. Nothing is stranded: others have done all that was left.")
    lab.server_down(duration=0.1)
    assert state_of(lab)["headline"] == [
        "alarm", "C2 is dead. The server is down: nothing can be added, read or acknowledged.",
    ]  # fmt: skip
    lab.run_until(lab.now + 0.2)
    assert state_of(lab)["headline"] == list(headline_of(lab))
    lab.pause("C1")
    assert headline_of(lab)[1].startswith("C2 is dead. C1 is paused. 2 entries are still pending for C1.")
    lab.kill("C1")
    lab.kill("C3")
    assert headline_of(lab) == ("alarm", "No consumer is left: what is added is given to nobody.")
    lab.run()
    assert headline_of(lab) == ("calm", "The run has ended.")


@pytest.fixture
def zombie() -> Iterator[Lab]:
    """C2 stands still with four entries; C1 claims them, and has done them all before C2 goes on."""
    scenario = Scenario(
        name="zombie",
        producers=producers(1, Arrivals("constant", rate=100)),
        consumers=consumers(2, Service("constant", mean=0.5), count=4),
        duration=None,
        entries=10,
    ).with_recovery(min_idle=0.1)
    scenario = scenario.with_faults("set-rate 1 at 20s")  # it goes on until then
    with Lab(scenario) as lab:
        lab.wait_until(lambda now: len(now.consumer("C2").holding) == 4)
        lab.pause("C2")
        lab.run_until(1.0)
        lab.claim([row.id for row in lab.snapshot().pending if row.owner == "C2"], "C1")
        lab.wait_until(lambda now: now.consumer("C1").acked == 9)
        yield lab


def test_what_a_zombie_does_again_is_seen(zombie: Lab):
    """While it works it does not know; then it is counted, and told instead of that nothing is stranded."""
    at = zombie.now

    def doubled() -> list[list[Any]]:
        return [bar for bar in state_of(zombie)["bars"] if bar[6]]

    assert doubled() == []
    assert headline_of(zombie)[1] == "C2 is paused. Nothing is stranded: others have done all that was left."
    zombie.resume("C2")
    assert headline_of(zombie) == ("twice", "C2 does not know that entries were taken from it: they are done twice.")
    assert [(bar[0], bar[3] is None) for bar in doubled()] == [("C2", False), *[("C2", True)] * 3]
    c1, c2 = state_of(zombie)["consumers"]
    assert (c1["taken"], c2["taken"], c2["state"], c2["holding"]) == (0, 3, "working", 0)
    zombie.run_until(15.0)
    assert headline_of(zombie)[1] == "4 entries were done twice, the second time by C2. Nothing is stranded."
    zombie.run()
    assert headline_of(zombie) == ("twice", "4 entries were done twice, the second time by C2. The run has ended.")
    state = state_of(zombie)
    assert state["figures"]["done twice"] == zombie.run().duplicates == 4
    assert [consumer["again"] for consumer in state["consumers"]] == [0, 4]
    assert len(doubled()) == 4
    assert all(bar[0] == "C2" and bar[3] >= at for bar in doubled())


def test_a_producer_is_shown_as_it_is(lab: Lab):
    """It works, stands still, or is dead."""

    def states() -> list[str]:
        return [producer["state"] for producer in state_of(lab)["producers"]]

    assert states() == ["working", "working"]
    lab.pause("P1", duration=1.0)
    lab.kill("P2")
    assert states() == ["paused", "dead"]
    lab.run_until(lab.now + 1.5)
    assert states() == ["working", "dead"]
    assert state_of(lab)["headline"] == [
        "alarm", "P2 is dead: it adds nothing until it is restarted. All 3 consumers are alive. Nothing is stranded.",
    ]  # fmt: skip
    lab.restart("P2")
    lab.run_until(lab.now + 1.0)
    assert states() == ["working", "working"]
    assert state_of(lab)["headline"][0] == "calm"


def test_at_a_panel_a_run_outlives_its_producers(panel: panels.Panel, lab: Lab, eventually: Eventually):
    """They can be started again. One that is run to its end, or whose panel is closed, does not wait for that."""
    for action in ("kill P1", "kill P2"):
        panel.do(action)
    panel.control("go_to", 70.0)
    eventually(lambda: panel.state.get("at") == 70.0, "it has gone on")
    assert panel.state["headline"][1].startswith("P1 and P2 are dead: they add nothing until they are restarted.")
    assert not panel.state["finished"]
    panels.Panel(lab).close()
    assert lab.stays_open  # the other one shows it still
    panel.close()
    lab.run_until(90.0)
    assert lab.finished
    assert [action.word for action in lab.actions] == ["kill", "kill", "let-end"]


def test_the_buttons_are_sent_once(panel: panels.Panel):
    """One for each kind of action: as what JSON can hold, beside the state."""
    sent = panel.get_state()["buttons"]
    assert json.loads(json.dumps(sent, allow_nan=False)) == sent
    assert [button["word"] for button in sent] == [*ACTIONS]


def test_an_action_is_a_method_of_the_lab(panel: panels.Panel, lab: Lab, eventually: Eventually):
    """What the view sends is done by the lab, in order, and shown."""
    for message in (
        {"action": "kill C2"},
        {"action": "set-recovery min-idle 100ms"},
        {"control": "go_to", "value": 9.0},
        {"action": "autoclaim for C1"},
        {"action": "add-consumer"},
        {"action": "set-rate 2"},
        {"action": "set-service 250ms"},
        {"action": "set-recovery autoclaim"},
        {"action": "pause C3"},
        {"control": "play", "value": 10.0},
    ):
        panel._hear(None, message, [])
    eventually(lambda: panel.state.get("playing"), "all is done")
    words = ["kill", "set-recovery", "autoclaim", "add-consumer", "set-rate", "set-service"]
    assert [action.word for action in lab.actions] == [*words, "set-recovery", "pause"]
    states = {consumer["name"]: consumer["state"] for consumer in panel.state["consumers"]}
    assert (states["C2"], states["C3"]) == ("dead", "paused")
    assert "C4" in states
    assert panel.state["strategy"] == "autoclaim"
    panel._hear(None, {"control": "freeze"}, [])
    eventually(lambda: not panel.state["playing"], "time stands still")
    assert not lab.is_playing


@pytest.mark.parametrize(
    ("message", "notice"),
    [
        ({"action": "kill C9"}, "there is no 'C9': there are C1, C2, C3, P1, P2"),
        ({"action": "autoclaim"}, "Nothing was claimed: no such entry has been idle for 2 s."),
        ({"action": "set-rate <b>"}, "rate '<b>' is not a number: write set-rate 200 at 3s"),
        ({"action": "set-rate nan"}, "set-rate: rate is nan: more than 0"),
        ({"action": "set-recovery read-claim"}, "model of Redis 7.0.15 has no XREADGROUP … CLAIM"),
        ({"action": "kill"}, "'kill' names no target"),
        ({"action": "run"}, "unknown action 'run'"),
        ({"action": "kill 'C1"}, "No closing quotation"),
        ({"control": "go_to", "value": -1}, "-1 is no moment of a run"),
        ({"control": "begin_again", "value": ""}, "seed is '': give a whole number of at least 0"),
        ({"control": "begin_again", "value": -7}, "seed is -7: give a whole number of at least 0"),
        ({"control": "play", "value": "fast"}, "'<' not supported"),
    ],
)
def test_what_cannot_be_done_is_said_on_the_panel(
    panel: panels.Panel, eventually: Eventually, message: dict[str, object], notice: str
):
    """And the panel goes on."""
    panel._hear(None, message, [])
    eventually(lambda: notice in panel.state.get("notice", ""), f"the panel says {notice!r}")
    panel._hear(None, {"control": "look"}, [])
    panel.control("step")
    eventually(lambda: panel.state["notice"] == "", "the next click clears it")


def test_what_is_forgotten_is_told(panel: panels.Panel, lab: Lab, eventually: Eventually):
    """By another future after going back, and by beginning again; going back itself forgets nothing."""
    panel.do("kill C2")
    panel.control("go_to", 4.0)
    eventually(lambda: panel.state.get("at") == 4.0, "it has gone back")
    assert (panel.state["notice"], panel.state["future"]) == ("", ["kill C2 at 5s"])
    panel.do("kill C1")
    eventually(lambda: panel.state["notice"] == "Forgotten: kill C2 at 5s.", "there is another future")
    assert (panel.state["future"], panel.state["n_by_hand"]) == ([], 1)
    panel.control("begin_again", 7)
    eventually(lambda: panel.state["notice"] == "Forgotten: kill C1 at 4s.", "there is none")
    assert (lab.seed, panel.state["n_by_hand"]) == (7, 0)


def test_nothing_can_be_done_to_a_run_that_has_ended(panel: panels.Panel, lab: Lab, eventually: Eventually):
    """Whatever the view lets through: it is refused, and said."""
    lab.run()
    panel.do("set-rate 2")
    eventually(lambda: panel.state.get("notice"), "it is refused")
    assert panel.state["notice"] == "the run has ended, and 'set-rate 2' would change nothing any more"
    assert lab.actions == ()


def test_what_was_done_by_hand_is_listed_apart(lab: Lab):
    """However many commands the processes send; the lab has both, in the order of time."""
    lab.kill("C2")
    lab.run_until(50.0)
    state = state_of(lab)
    assert [row[1:] for row in state["by_hand"]] == [["lab", "kill -9 C2", "no command: Redis is told nothing"]]
    assert len(state["commands"]) == 60
    assert {row[1] for row in state["commands"]} == {"C1", "C3", "P1", "P2"}
    commands = lab.commands
    assert [command.text for command in commands if command.by == "lab"] == ["kill -9 C2"]
    assert [command.at for command in commands] == sorted(command.at for command in commands)


def test_throughput_is_one_number(zombie: Lab):
    """The curve ends with the figure; what is done for the second time is not counted, as in a run."""
    zombie.run_until(10.0)  # nothing has been done for longer than the figure is an average of
    zombie.resume("C2")
    zombie.run_until(11.0)
    state, snapshot = state_of(zombie), zombie.snapshot()
    assert (snapshot.throughput, snapshot.duplicates) == (0, 2)
    assert state["figures"]["throughput"] == "0.0/s"
    (curves,) = state["curves"]
    assert (curves["at"][-1], curves["throughput"][-1]) == (11.0, 0)
    assert max(curves["throughput"]) > 0


def test_what_is_deleted_with_its_consumer_is_lost_and_said(lab: Lab):
    """In the headline, as long as the run goes on; what happened to one of its entries can be read."""
    lab.kill("C2")
    entry = next(row.id for row in lab.snapshot().pending if row.owner == "C2")
    assert lab.remove_consumer("C2") == 3
    assert headline_of(lab) == (
        "alarm",
        "C2 is dead. Nothing is stranded. "
        "3 entries will never be done: they were acknowledged, or deleted from the group with the consumer.",
    )
    assert state_of(lab)["by_hand"][-1][2:] == [
        "XGROUP DELCONSUMER orders workers C2",
        "3: so many were pending for C2, and are given to nobody any more",
    ]
    assert state_of(lab, entry)["story"]["lines"][-2:] == (
        "   5.000 s  C2: was removed from the group",
        "now: it is not pending, and will not be delivered",
    )


def test_the_story_of_an_entry_goes_on_and_goes_back(panel: panels.Panel, lab: Lab, eventually: Eventually):
    """By the click on its id; before it was added there is none to tell."""

    def lines() -> list[str]:
        return [line.strip() for line in (panel.state.get("story") or {"lines": ()})["lines"]]

    entry = lab.snapshot().pending[-1].id
    assert state_of(lab)["story"] is None
    panel._hear(None, {"story": entry}, [])
    eventually(lambda: len(lines()) == 3, "it is told")
    assert [line.split(" s  ")[-1] for line in lines()] == [
        *("P1: added it", "C2: was given it (delivery 1)", "now: it is pending for C2")
    ]
    lab.run_until(8.0)
    eventually(lambda: lines()[-1:] == ["now: it is acknowledged"], "it goes on")
    lab.go_to(1.0)
    eventually(lambda: lines() == ["it has not been added yet"], "it goes back")
    panel._hear(None, {"story": ""}, [])
    eventually(lambda: panel.state["story"] is None, "it is closed")


def test_dead_letters_are_listed(eventually: Eventually):
    """With the ids that they had, and where they are now."""
    shown = BUSY.with_recovery("autoclaim", min_idle=0.5, interval=0.1, max_deliveries=1, restart_after=0.1)
    with Lab(shown) as lab:
        entry = lab.add({"poison": "1"})
        letter = lab.wait_until(lambda now: now.dead_letters).newest_dead_letters[0]
        state = state_of(lab)
        assert state["dead_letters"] == [[letter.id, entry, letter.consumer, 2, "poison=1"]]
        (again,) = lab.put_back(letter.id)
        assert state_of(lab)["dead_letters"] == []
        assert state_of(lab, again)["story"]["lines"][0].endswith("lab: added it")


def test_a_notice_stays_until_the_next_click(panel: panels.Panel, eventually: Eventually):
    """The view's telling that somebody looks is no click: there is time to read it."""
    panel.do("kill C9")
    eventually(lambda: panel.state.get("notice"), "the panel says what is wrong")
    panel._hear(None, {"control": "look"}, [])
    before = panel.state
    panel.lab.step()
    eventually(lambda: panel.state["at"] > before["at"], "it has looked at the lab again")
    assert panel.state["notice"] == before["notice"]


def test_an_error_of_the_background_is_shown_and_still_told(
    panel: panels.Panel, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the next cell as well: nobody may be looking at the panel. And a click goes on."""

    def fail(*_: object) -> None:
        raise RuntimeError("met in the background")

    lab = panel.lab
    panel._hear(None, {"control": "look"}, [])
    eventually(lambda: "at" in panel.state, "it has been painted")
    for by_click in (False, True):
        with monkeypatch.context() as broken:
            broken.setattr(SimulatedEngine, "run_until", fail)
            lab.play()
            eventually(lambda: not lab.is_playing, "the background has ended by its error")
        for _ in range(2):
            panel.state = {**panel.state, "notice": ""}
            panel._hear(None, {"control": "look"}, [])
            eventually(lambda: panel.state["notice"] == "met in the background", "it is shown")
            assert not panel.state["closed"]
        if by_click:
            panel.control("step")
            eventually(panel._requests.empty, "the click has been heard")
        else:
            with pytest.raises(RuntimeError, match="met in the background"):
                lab.snapshot()
        before = lab.now
        panel.control("step")
        eventually(lambda: panel.state["notice"] == "", "the next click does what it is to do")
        assert lab.now > before


def test_a_name_may_have_spaces(eventually: Eventually):
    """The view quotes it."""
    own = BUSY.consumers[0].replace(name="my own")
    with Lab(BUSY.replace(consumers=(own,))) as lab:
        panel = panels.Panel(lab)
        panel.do('kill "my own"')
        eventually(lambda: lab.snapshot().consumers[0].state == "dead", "it is killed")
        panel.close()


@pytest.mark.parametrize(
    "message", ["kill", None, {"control": "__init__"}, {"control": "run"}, {"action": ["kill", "C2"]}, {}]
)
def test_what_the_panel_has_no_button_for_is_not_done(
    panel: panels.Panel, lab: Lab, eventually: Eventually, message: object
):
    """The page that a message comes from is not trusted."""
    panel._hear(None, message, [])
    panel.do("set-service 100ms")
    eventually(lambda: lab.actions, "the next click is done")
    assert [action.word for action in lab.actions] == ["set-service"]
    assert panel.state["notice"] == ""
    with pytest.raises(ValueError, match="the panel has no control 'run': it has play, freeze"):
        panel.control(cast(Any, "run"))


def test_closing_the_panel_leaves_the_lab_and_no_thread(lab: Lab, eventually: Eventually):
    """The lab does not belong to it."""
    panel = panels.Panel(lab)
    eventually(lambda: panel.state.get("consumers"), "it looks at the lab")
    assert len(panel_threads()) == 1
    panel.close()
    assert panel_threads() == []
    assert lab.step()


def test_a_lab_that_was_closed_is_shown_as_closed(panel: panels.Panel, lab: Lab, eventually: Eventually):
    """The panel does not fail with it; its thread ends, and comes back to say why a click does nothing."""
    lab.close()
    eventually(lambda: panel.state.get("closed"), "the panel says so")
    eventually(lambda: panel_threads() == [], "nothing is left to look after")
    assert panel.state["notice"] == ""
    panel.do("kill C1")
    eventually(lambda: panel.state["notice"], "a click says why it does nothing")
    eventually(lambda: panel_threads() == [], "and that is all")


def test_a_lab_that_is_closed_while_it_is_painted(lab: Lab, monkeypatch: pytest.MonkeyPatch, eventually: Eventually):
    """That is shown by the next look, which there is."""

    def state_and_end(shown: Lab, told: str) -> dict[str, Any]:
        state = state_of(shown, told)
        lab.close()
        return state

    monkeypatch.setattr(panels, "state_of", state_and_end)
    panel = panels.Panel(lab)
    eventually(lambda: panel.state.get("closed"), "the panel says so")
    panel.close()


def test_what_is_asked_for_as_the_thread_ends_is_done(
    panel: panels.Panel, lab: Lab, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
):
    """Nobody would look at it otherwise, until something else is asked for."""
    eventually(lambda: panel.state.get("consumers"), "it looks at the lab")
    rest_or_paint = panel._rest_or_paint
    asked: list[str] = []

    def asked_at_the_last_moment() -> bool:
        goes_on = rest_or_paint()
        if not goes_on and not asked:
            asked.append("kill C1")
            panel.do("kill C1")
        return goes_on

    monkeypatch.setattr(panel, "_rest_or_paint", asked_at_the_last_moment)
    lab.close()
    eventually(lambda: panel.state.get("notice"), "a click says why it does nothing")
    assert asked


def test_what_is_asked_for_by_code_is_done_though_nobody_looks(panel: panels.Panel, lab: Lab, eventually: Eventually):
    """A panel rests that no page has shown for a minute."""
    panel._last_seen -= 61.0
    eventually(lambda: panel_threads() == [], "it rests")
    panel.do("kill C1")
    eventually(lambda: lab.snapshot().consumer("C1").state == "dead", "C1 is killed")


def test_running_a_cell_again_replaces_its_panel(monkeypatch: pytest.MonkeyPatch, eventually: Eventually):
    """The earlier one is closed, and its lab with it, unless that is shown still."""
    cell = "a"
    monkeypatch.setattr(panels, "_cell_id", lambda: cell)
    first, second = Lab(BUSY), Lab(BUSY)
    one = panels.Panel(first)
    two = panels.Panel(first)
    assert (one._is_closed, two._is_closed) == (True, False)
    assert first.step()  # the same lab: it lives
    cell = "b"
    three = panels.Panel(first)
    cell = "a"
    four = panels.Panel(second)
    assert (two._is_closed, three._is_closed) == (True, False)
    assert first.step()  # another cell shows it
    cell = "b"
    five = panels.Panel(second)
    with pytest.raises(RuntimeError, match="closed"):
        first.snapshot()
    assert second.step()
    four.close()
    five.close()
    second.close()
    assert panel_threads() == []


def test_nobody_looks_for_a_minute_and_it_rests(panel: panels.Panel, lab: Lab, eventually: Eventually):
    """Its thread ends and the simulation's clock stops; whoever looks again wakes it."""
    lab.play()
    eventually(lambda: panel.state.get("playing"), "it plays")
    panel._last_seen -= 61.0
    eventually(lambda: panel_threads() == [] and not lab.is_playing, "it rests")
    at = panel.state["at"]
    panel._hear(None, {"control": "play", "value": 50.0}, [])
    eventually(lambda: panel.state["at"] > at, "it goes on")


def test_nothing_is_displayed_and_its_name_is_short(panel: panels.Panel, capsys: pytest.CaptureFixture[str]):
    """A notebook's text output is the same each time."""
    assert repr(panel) == "<Panel of busy (simulated)>"
    assert capsys.readouterr().out == ""
    gc.collect()


def test_where_no_kernel_runs_there_is_a_still_picture(panel: panels.Panel, lab: Lab):
    """Tables of what is there, with nothing that a page would run."""
    lab.kill("C2")
    (shown, _) = panel._repr_mimebundle_()
    assert shown["text/plain"] == "<Panel of busy (simulated)>"
    assert "model_id" in shown["application/vnd.jupyter.widget-view+json"]
    html = shown["text/html"]
    assert "<strong>busy</strong> (simulated) at 5.0 s. C2 is dead. 3 entries are still pending for C2." in html
    now = lab.snapshot().consumer("C2")
    counts = (0, 3, now.delivered, now.acked, 0)
    assert f"<tr><td>C2</td><td>dead</td>{''.join(f'<td>{n}</td>' for n in counts)}</tr>" in html
    assert html.count("<td>C2</td>") == 4
    with Lab(BUSY.replace(name="<i>")) as odd:
        other = panels.Panel(odd)
        assert "<strong>&lt;i&gt;</strong>" in other._repr_mimebundle_()[0]["text/html"]
        other.close()


def test_a_still_picture_has_shards_and_servers():
    """A row for each shard, with its owner; and for each server, with what it lacks."""
    with Lab("sharded") as lab:
        lab.run_until(1.6)
        rows = [f"<td>{n}</td><td>{owner}</td>" for n, owner in enumerate(("C1", "C1", "C2", "C3"))]
        assert all(row in still(state_of(lab)) for row in rows)
    with Lab("failover") as lab:
        lab.run_until(3.0)
        *_, entries, acks, _ = lab.snapshot().servers[1]
        row = f"<tr><td>server 2</td><td>replica</td><td>alive</td><td>{entries}</td><td>{acks}</td></tr>"
        assert row in still(state_of(lab))


@pytest.mark.parametrize(
    ("name", "at", "mood", "words"),
    [
        ("sharded", 1.6, "alarm", "C2. Other consumers take over as soon as its lease is over."),
        ("failover", 3.0, "calm", "All 4 consumers are alive. Nothing is stranded."),
        ("failover", 4.0, "alarm", "nothing can be added, read or acknowledged until a replica is promoted."),
        ("failover", 5.8, "alarm", "49 entries are lost: the server has forgotten them."),
        ("redis-crash", 4.0, "alarm", "The server is down: nothing can be added, read or acknowledged."),
    ],
)
def test_the_headline_tells_of_leases_and_servers(name: str, at: float, mood: str, words: str):
    """What will come of it, and what is lost."""
    with Lab(name) as lab:
        lab.run_until(at)
        found = state_of(lab)["headline"]
    assert found[0] == mood
    assert found[1].endswith(words)


def test_the_servers_of_a_scenario_have_the_buttons_that_suit_them():
    """Those with a replica fail over; without, they are taken down; nothing is said of those that just run."""
    fits = {}
    for name in ("failover", "redis-crash", "sharded", "crash"):
        with Lab(name) as lab:
            servers = state_of(lab)["servers"]
            fits[name] = servers and servers["fit"]
    with Lab(load_scenario("crash").with_faults("server-down at 1s")) as lab:
        fits["server-down"] = state_of(lab)["servers"]["fit"]
    with Lab(load_scenario("cluster").replace(replicas=1)) as lab:
        fits["a cluster"] = state_of(lab)["servers"]["fit"]
    assert fits == {
        "failover": ["failover", "network-cut"],
        "redis-crash": ["server-down", "power-loss"],
        "server-down": ["server-down"],
        "a cluster": ["failover"],
        "sharded": None,
        "crash": None,
    }


def test_the_run_so_far_is_handed_over_as_a_page(
    panel: panels.Panel, lab: Lab, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
):
    """To the browser, which saves it: with what has happened until now, and the lab goes on from there."""
    sent: list[tuple[Any, list[bytes]]] = []
    monkeypatch.setattr(panel, "send", lambda content, buffers: sent.append((content, buffers)))
    lab.kill("C2")
    now = lab.now
    panel._hear(None, {"save": "page"}, [])
    eventually(lambda: sent, "the page comes")
    ((content, (page,)),) = sent
    assert content == {"page": "busy.html"}
    recording = recording_of(page.decode())
    assert recording["title"] == "busy"
    assert recording["frames"][-1][1]["headline"][1].startswith("C2 is dead. 3 entries are still pending for C2.")
    assert [words for *_, words in recording["turns"]] == ["C2 died"]
    assert lab.now == now
    assert not lab.finished


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """One line, exit status 2."""
    monkeypatch.setattr(opening, "find_spec", lambda name: None if name == "voila" else find_spec(name))
    assert cli.main(["panel"]) == 2
    assert capsys.readouterr().err == ("streamlab: voila is not installed: pip install 'consumer-group-lab[course]'\n")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    assert cli.main(["panel", "--live"]) == 2
    assert "no redis-server or valkey-server on the PATH" in capsys.readouterr().err
    assert cli.main(["panel", "no-such-scenario"]) == 2
    assert "streamlab.views.panel" in sys.modules


def test_a_group_that_nobody_is_left_in():
    """Others go on, and still it is an alarm; the still picture says how far each group is."""
    with Lab("two-groups") as lab:
        lab.run_until(20.0)
        assert headline_of(lab) == ("calm", "All 3 consumers are alive. Nothing is stranded.")
        lab.kill("B1")
        lab.run_until(30.0)
        mood, words = headline_of(lab)
        picture = still(state_of(lab))
    assert mood == "alarm"
    assert words.endswith("No consumer of billing is left: entries wait there until one is started.")
    assert "<td>workers</td><td>0</td><td>0</td>" in picture
    assert "<td>billing</td><td>22</td><td>22</td>" in picture
