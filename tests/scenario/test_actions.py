"""One family of actions: what is planned can be done by hand, as a text, by a method, on either engine; and undone."""

from __future__ import annotations

import gc
import inspect
import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlab.lab.lab import Lab
from streamlab.results.run import EngineName, Run
from streamlab.scenario import Arrivals, Scenario, ScenarioError, Service, consumers, producers
from streamlab.scenario.action import Action, CountedAction
from streamlab.scenario.action_texts import parse_action
from streamlab.scenario.actions import ACTIONS, FAULTS, AddConsumer, Claim, LostReply, Pause, Poison, SetRecovery
from streamlab.scenario.deeds import Ack, PutBack

BUSY = Scenario(
    name="busy",
    producers=producers(2, Arrivals("poisson", rate=20)),
    consumers=consumers(3, Service("exponential", mean=0.03), count=4),
    duration=6.0,
    drain=8.0,
    sink="idempotent",
).with_recovery("autoclaim", min_idle=1.0, restart_after=0.5, max_deliveries=5)

#: What the scenario has to say of its servers for an action to make sense.
SERVERS: dict[str, dict[str, Any]] = {
    "power-loss": {"persistence": "aof-everysec"},
    "failover": {"replicas": 1, "replication_delay": 0.25},
    "network-cut": {"replicas": 1},
}

_TIMES = st.floats(0.001, 1e6)
_COUNTS = st.integers(1, 1000)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "at": st.none() | st.floats(0, 1e9),
    "target": st.sampled_from(["C1", "my own", "it's"]),
    "group": st.none() | st.sampled_from(["billing", "my own"]),
    "consumer": st.none() | st.sampled_from(["C1", "my own"]),
    "command": st.sampled_from(["XACK", "XADD"]),
    "duration": _TIMES,
    "factor": _TIMES,
    "rate": _TIMES,
    "mean": _TIMES,
    "min_idle": st.none() | _TIMES,
    "nth": _COUNTS,
    "times": _COUNTS,
    "ids": st.lists(st.sampled_from(["1-0", "2-0", "1767225600000-12"]), min_size=1).map(tuple),
    "entry": st.lists(st.sampled_from(["item=tea", "a note=at 3", "x=y=z"]), min_size=1).map(tuple),
    "maxlen": st.integers(0, 1000),
    "changes": st.sampled_from(
        [
            (("strategy", "claim"),),
            (("strategy", "autoclaim"), ("min_idle", 0.25), ("interval", None)),
            (("fenced", True), ("history", False), ("max_deliveries", 3), ("dead_letter", "my dead")),
        ]
    ),
}


@st.composite
def any_action(draw: st.DrawFn) -> Action[Any]:
    kind = draw(st.sampled_from(sorted(ACTIONS.values(), key=lambda kind: kind.word)))
    action: Action[Any] = kind(**{item.name: draw(_VALUES[item.name]) for item in attrs.fields(kind)})
    return action


@given(any_action())
def test_an_action_is_its_text(action: Action[Any]) -> None:
    """Exactly: what was done by hand at a moment is done again at the same."""
    assert parse_action(str(action)) == action


def test_each_kind_has_a_method_and_a_form() -> None:
    """The method has the action's name, its parameters, and its words of explanation."""
    for word, kind in ACTIONS.items():
        method = getattr(Lab, word.replace("-", "_"))
        assert kind.__doc__
        assert parse_action(kind.form.replace("[", "").replace("]", "")).word == word
        if kind is not SetRecovery:
            assert inspect.signature(method) == inspect.signature(kind)
            assert method.__doc__ == kind.__doc__


def by_hand(word: str, lab: Lab) -> Action[Any]:
    """Return an action of a kind that something comes of in the busy scenario."""
    kind = ACTIONS[word]
    values: dict[str, Any] = {
        "target": "P1" if kind is Poison else "C2",
        "rate": 5.0,
        "mean": 0.3,
        "changes": (("strategy", "none"),),
        "factor": 5.0,
    }
    if kind in (Claim, Ack):
        values["ids"] = lab.snapshot().pending[0].id
        values["min_idle"] = 0.0
    if kind is PutBack:
        values["ids"] = lab.snapshot().newest_dead_letters[0].id
    if kind is AddConsumer:
        values["target"] = "C9"
    if kind is Pause:
        values["duration"] = 2.0
    names = attrs.fields_dict(kind)
    return kind(**{name: value for name, value in values.items() if name in names})


@pytest.mark.parametrize("word", ACTIONS)
def test_every_action_is_done_by_hand_and_undone(word: str, tmp_path: Path) -> None:
    """It changes the run, and is among the commands; going back before it and forgetting it does not; a saved run does
    it again, to the letter."""
    shown = BUSY.with_faults("poison P1 nth 2") if word == "put-back" else BUSY.replace(**SERVERS.get(word, {}))
    planned = Lab(shown).run()
    with Lab(shown) as lab:
        lab.run_until(2.0)
        if word == "resume":
            lab.pause("C2")
        while word in ("claim", "ack") and not lab.snapshot().pending:
            lab.step()
        if word == "put-back":
            lab.wait_until(lambda now: now.dead_letters)
        noted = [command for command in lab.commands if command.by == "lab"]
        lab.do(by_hand(word, lab))
        assert lab.actions[-1].word == word
        assert len([command for command in lab.commands if command.by == "lab"]) == len(noted) + 1
        run = lab.run()
        assert (list(run.events) == list(planned.events)) == (word in ("autoclaim", "let-end", "network-cut"))
        assert ("C9" in [consumer.name for consumer in run.scenario.consumers]) == (word == "add-consumer")
        run.save(tmp_path / "run.jsonl")
        again = Lab(Run.load(tmp_path / "run.jsonl").scenario).run()
        assert list(again.events) == list(run.events)
        lab.go_to(1.0)
        lab.set_service(BUSY.consumers[0].service.mean)  # another future, in which nothing else is done
        assert [action.word for action in lab.actions] == ["set-service"]
        assert list(lab.run().events) == list(planned.events)


@pytest.mark.parametrize("word", FAULTS)
def test_a_text_a_method_and_an_action_are_one(word: str) -> None:
    """All three give the same run."""
    runs = []
    for how in ("action", "text", "method"):
        with Lab(BUSY.replace(**SERVERS.get(word, {}))) as lab:
            lab.run_until(2.0)
            action = by_hand(word, lab)
            if how == "method":
                values = attrs.asdict(action, recurse=False)
                getattr(lab, word.replace("-", "_"))(**values)
            else:
                lab.do(action if how == "action" else str(action))
            runs.append(list(lab.run().events))
    assert runs[0] == runs[1] == runs[2]


def ever_dead(lab: Lab) -> set[str]:
    return {loss.consumer for loss in lab.recent.ledger.losses if loss.kind == "crashed"}


def test_all_faults_are_done_by_hand(engine: EngineName) -> None:
    """One after the other, in one run; what happens is what they are for."""
    shown = BUSY.replace(duration=16.0).with_consumers(15).with_rate(60)
    counted = {word for word, kind in FAULTS.items() if issubclass(kind, CountedAction)}
    # Those of the server and of the stream come last.
    words = sorted(FAULTS, key=lambda word: ("target" not in attrs.fields_dict(FAULTS[word]), word))
    names = {word: f"C{number}" for number, word in enumerate(words, 1)}
    # A server that is taken down has to keep what it had: the scenario says so beforehand.
    shown = shown.with_faults("server-down at 13s for 500ms")
    dying = [names[word] for word in ("kill", "crash-before-effect", "crash-before-ack")]
    with Lab(shown, engine=engine) as lab:
        lab.wait_until(lambda now: now.n_added)
        added = lab.add_consumer()
        for word in words:
            if word == "server-down" or word in SERVERS:
                continue
            action = by_hand(word, lab)
            if word == "group-destroyed":  # from here on, what the others have begun may be lost
                lab.wait_until(lambda now: now.dead_letters and {*dying} <= ever_dead(lab), timeout=10.0)
            if isinstance(action, Poison):  # once each of the others has begun an entry
                action = attrs.evolve(action, nth=40)
            elif "target" in attrs.fields_dict(type(action)):
                action = attrs.evolve(action, target=names[word])  # type: ignore[call-arg]
            lab.do(action)
        run = lab.run()
    assert added in [consumer.name for consumer in run.scenario.consumers]
    kinds = {event.kind for event in run.events}
    assert {"crashed", "paused", "resumed", "failed", "disconnected", "recreated", "dead_lettered"} <= kinds
    crashed = {event.actor for event in run.events if event.kind == "crashed"}
    assert {*dying} <= crashed
    assert counted <= {action.word for action in run.scenario.by_hand}
    assert any(e.kind == "disconnected" and e.actor == names["lost-reply"] for e in run.events)


def test_a_server_that_is_taken_down_by_hand_keeps_what_it_had(engine: EngineName) -> None:
    """Though nobody had planned it."""
    with Lab(BUSY.replace(duration=3.0).with_rate(20), engine=engine) as lab:
        lab.wait_until(lambda now: now.n_acked > 0)
        before = lab.snapshot()
        lab.server_down(duration=0.5)
        now = lab.snapshot()  # as it was when the server could be asked
        assert now.length >= before.length > 0
        assert now.last_delivered_id >= before.last_delivered_id
        run = lab.run()
    assert {"server_down", "server_up"} <= {event.kind for event in run.events}
    assert (run.lost, run.pending) == (0, 0)


@pytest.mark.real_time("runs real processes")
def test_a_server_that_was_given_is_not_taken_down(redis_url: str) -> None:
    """It is refused, and the run goes on."""
    with Lab(BUSY.replace(duration=1.0).with_rate(20), engine="live", redis_url=redis_url) as lab:
        lab.play()
        with pytest.raises(ScenarioError, match="on a private one only"):
            lab.server_down()
        assert lab.actions == ()
        assert lab.run().lost == 0


def test_who_holds_least_is_claimed_for() -> None:
    """Without a name, an entry goes to the one among the living that holds least: not to a dead or a paused one."""
    still = BUSY.replace(
        producers=producers(1, Arrivals("constant", rate=100)),
        consumers=consumers(6, Service("constant", 50.0)),
        entries=6,
        sink="none",
    ).with_recovery("none", min_idle=0.1, restart_after=None)
    with Lab(still) as lab:
        lab.run_until(1.0)
        entry_of = {entry.owner: entry.id for entry in lab.snapshot().pending}
        assert sorted(entry_of) == ["C1", "C2", "C3", "C4", "C5", "C6"]
        lab.kill("C5")
        lab.kill("C6")
        lab.pause("C4")
        lab.claim(entry_of["C4"], "C1", min_idle=0.0)  # C4 holds nothing now
        lab.claim(entry_of["C6"], "C3", min_idle=0.0)
        assert lab.claim(entry_of["C5"], min_idle=0.0) == [entry_of["C5"]]
        owner = {entry.id: entry.owner for entry in lab.snapshot().pending}
        assert owner[entry_of["C5"]] == "C2"


def test_what_lies_in_the_future_is_done_when_its_time_comes() -> None:
    """An action may have a time; one in the past is refused."""
    with Lab(BUSY) as lab:
        lab.run_until(1.0)
        assert lab.kill("C2", at=3.0) is None
        lab.run_until(2.9)
        assert lab.snapshot().consumer("C2").state != "dead"
        lab.run_until(3.1)
        assert lab.snapshot().consumer("C2").state == "dead"
        with pytest.raises(ScenarioError, match="too late for 'kill C1 at 2s'"):
            lab.do("kill C1 at 2s")
    again = Lab(BUSY.replace(by_hand=("kill C2 at 3s",))).run()
    crashed = [event.at for event in again.events if event.kind == "crashed"]
    assert crashed == [3.0]


def test_it_counts_from_when_it_is_done_by_hand() -> None:
    """The second XACK after two seconds, and not of all."""
    with Lab(BUSY) as lab:
        lab.run_until(2.0)
        lab.do(LostReply("C1", "XACK", 2))
        run = lab.run()
    lost = next(event.at for event in run.events if event.kind == "disconnected" and event.actor == "C1")
    acked = [event.at for event in run.events if event.kind == "acked" and event.actor == "C1" and event.at > 2.0]
    assert lost > 2.0
    assert sum(at < lost for at in acked) <= 4  # of a batch of four at the most
    assert not math.isnan(lost)


def test_what_cannot_be_done_when_its_time_comes_is_left_out_without_noise(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody need ask what came of it."""
    with Lab(BUSY.with_recovery(restart_after=None)) as lab:
        lab.run_until(1.0)
        for name in ("C1", "C2", "C3"):
            lab.kill(name)
        lab.autoclaim(at=2.0)
        assert [action.word for action in lab.actions] == ["kill", "kill", "kill", "autoclaim"]
        lab.run_until(3.0)
        assert [action.word for action in lab.actions] == ["kill", "kill", "kill"]
    gc.collect()  # an error that nobody has seen is told when its future goes
    assert caplog.records == []


def test_one_that_joins_is_like_the_first() -> None:
    """Its name is the next one that is free."""
    first, *others = BUSY.consumers
    unequal = BUSY.replace(consumers=(first.replace(service=Service("constant", 0.07), count=2), *others))
    with Lab(unequal) as lab:
        lab.run_until(1.0)
        assert lab.add_consumer() == "C4"
        joined = lab.run().scenario.consumers[-1]
    assert joined == unequal.consumers[0].replace(name="C4")
