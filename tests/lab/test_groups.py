"""Several groups on one stream: each is given every entry, and knows nothing of the others. On both engines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from streamlab.actors.events import REMOVED, STOPPED
from streamlab.cli import main
from streamlab.lab.lab import Lab
from streamlab.lab.sweep import sweep_over
from streamlab.results.events import Event
from streamlab.results.run import EngineName, Run
from streamlab.results.snapshot import Snapshot
from streamlab.scenario import Consumer, ScenarioError, Service, load_scenario
from streamlab.scenario.actions import GroupDestroyed, TrimWhilePending
from tests.further import beyond
from tests.schedules.draw import draw

#: For two seconds, with a ledger of effects; who dies is not replaced, and its entries are claimed.
TWO = (
    load_scenario("two-groups")
    .faster(40)
    .replace(duration=2.0, sink="idempotent", drain=20.0)
    .with_recovery("autoclaim", min_idle=0.4, interval=0.1, max_deliveries=5)
)
#: For as long as it takes.
LONG = TWO.replace(duration=60.0).with_rate(20).with_service(0.005).with_recovery("none")


def busy(snapshot: Snapshot) -> bool:
    return min(group.n_acked for group in snapshot.groups) >= 5


# ---- the thesis --------------------------------------------------------------------------------------


def of_work(events: Iterable[Event]) -> list[Event]:
    """Return all events but those of an end that waits for all groups: consumers stop, and dead ones are removed."""
    return [event for event in events if event.kind not in (STOPPED, REMOVED)]


@pytest.mark.parametrize("first", beyond(1, range(0, 40, 10), "more seeds"))
def test_a_group_runs_as_if_there_were_no_other(first: int) -> None:
    """Random schedules beside a second group: the first one's events are those of a run without it, to the letter."""
    n = 0
    for seed in range(first, first + 10):
        base = draw(seed)
        if any(isinstance(fault, TrimWhilePending) for fault in base.faults):
            continue  # what is trimmed is up to how far the other one is
        rng = Random(f"another group {seed}")
        slow = Consumer("B1", Service("exponential", rng.uniform(0.001, 0.006)), rng.choice((1, 10)), group="billing")
        named = [attrs.evolve(f, group="workers") if isinstance(f, GroupDestroyed) else f for f in base.faults]
        both = base.replace(consumers=(*base.consumers, slow), faults=tuple(named))
        run, single = Lab(both).run(), Lab(base).run()
        part = run.of("workers")
        assert of_work(part.events) == of_work(single.events), seed
        assert part.final.effects == single.final.effects, seed
        assert part.final.pending == single.final.pending, seed
        assert part.final.dead_letters == single.final.dead_letters, seed
        assert (run.broken() == []) == (single.broken() == []) or run.of("billing").broken(), seed
        n += 1
    assert n > 6


def test_each_group_is_given_every_entry_once(engine: EngineName) -> None:
    """Effects too are counted by group: an idempotent sink of one does not take the other's for done."""
    scenario = TWO.with_faults("crash-before-ack C1 nth 20", "crash-before-effect B1 nth 30")
    run = Lab(scenario.with_recovery(restart_after=0.2), engine=engine).run()
    assert run.broken() == []
    for group, members in (("workers", {"C1", "C2"}), ("billing", {"B1"})):
        part = run.of(group)
        assert part.added == part.acked == part.processed
        assert set(part.consumers) == members
        assert set(part.final.effects.values()) == {1}
        assert len(part.final.effects) == part.added
        assert len(part.recovery.lost_workers) == 1
    assert run.of("workers").ledger.added == run.of("billing").ledger.added


def test_effects_and_dead_letters_are_each_group_s_own() -> None:
    """What one counts or gives up is not the other's: a sink that counts naively counts once, a poison entry lies there
    once for each."""
    naive = Lab(TWO.replace(sink="naive")).run()
    poisoned = Lab(TWO.with_faults("poison P1 nth 20").with_recovery(restart_after=0.1, max_deliveries=2)).run()
    assert poisoned.broken() == []
    for group in ("workers", "billing"):
        assert set(naive.of(group).final.effects.values()) == {1}
        (letter,) = poisoned.of(group).final.dead_letters
        assert poisoned.of(group).state_of(letter) == "dead-lettered"


# ---- by hand -------------------------------------------------------------------------------------------


def test_what_is_done_to_one_group_leaves_the_other_alone(engine: EngineName) -> None:
    """Kill, claim, acknowledge, add, remove, destroy: each in billing, while workers do all they are given."""
    with Lab(LONG, engine=engine) as lab:
        lab.play() if engine == "live" else lab.run_until(0.5)
        lab.wait_until(busy)
        lab.pause("B1")
        lab.wait_until(lambda now: now.group("billing").backlog > 3)
        held = [row for row in lab.snapshot().pending if row.group == "billing"]
        assert [row.owner for row in held] == ["B1"] * len(held)
        with pytest.raises(ScenarioError, match="say in workers or in billing"):
            lab.ack([row.id for row in held] or ["1-0"])
        lab.kill("B1")
        assert lab.add_consumer(group="billing") == "C3"
        lab.wait_until(lambda now: now.consumer("C3").acked > 2)
        assert lab.snapshot().consumer("C3").group == "billing"
        stranded = [row.id for row in lab.snapshot().pending if row.owner == "B1"]
        assert lab.autoclaim("C3", min_idle=0) == [] or stranded
        lab.wait_until(lambda now: not now.consumer("B1").pending)
        assert lab.remove_consumer("B1") == 0
        lab.group_destroyed(group="billing")
        lab.wait_until(lambda now: len(lab.recent.books["billing"].ledger.resets) > 1)
        done = lab.snapshot().consumer("C3").acked
        lab.wait_until(lambda now: now.consumer("C3").acked > done)
        workers, billing = (lab.recent.books[group].ledger for group in ("workers", "billing"))
        assert [reset.kind for reset in workers.resets] == []
        assert [reset.kind for reset in billing.resets] == ["group_destroyed", "recreated"]
        assert workers.n_redelivered == 0
        assert lab.snapshot().duplicates == billing.duplicates


def test_a_story_says_where_an_entry_is_in_each_group(engine: EngineName) -> None:
    with Lab(LONG, engine=engine) as lab:
        lab.play() if engine == "live" else lab.run_until(0.5)
        lab.wait_until(busy)
        lab.kill("B1")
        before = lab.snapshot().n_added
        lab.wait_until(lambda now: now.n_added > before and now.group("workers").n_acked > before)
        last = next(reversed(lab.recent.books["workers"].ledger.acked))
        *_, workers, billing = lab.story(last)
    assert workers == "now, in workers: it is acknowledged"
    assert billing == "now, in billing: it waits in the stream"


def test_acknowledged_by_hand_in_one_group(engine: EngineName) -> None:
    """The same entry stays pending in the other group."""
    with Lab(LONG.with_service(0.3), engine=engine) as lab:
        lab.play() if engine == "live" else lab.run_until(0.5)

        def shared(now: Snapshot) -> set[str]:
            workers, billing = ({row.id for row in now.pending if row.group == g} for g in ("workers", "billing"))
            return workers & billing

        entry_id = min(shared(lab.wait_until(shared)))
        lab.pause("C1"), lab.pause("C2"), lab.pause("B1")
        pending = {row.group for row in lab.snapshot().pending if row.id == entry_id}
        if pending != {"workers", "billing"}:
            pytest.fail("it was done before its consumers stood still: services are too short for this machine")
        assert lab.ack([entry_id], group="billing") == 1
        assert [row.group for row in lab.snapshot().pending if row.id == entry_id] == ["workers"]
        books = lab.recent.books
        assert entry_id in books["billing"].ledger.acked
        assert entry_id not in books["workers"].ledger.acked


def test_going_back_and_running_again() -> None:
    """What was done by hand to a group is done to it again."""
    lab = Lab(LONG)
    lab.run_until(1.0)
    lab.group_destroyed(group="billing")
    lab.add_consumer(group="billing")
    lab.run_until(3.0)
    seen = lab.snapshot()
    lab.go_to(0.5)
    lab.go_to(3.0)
    assert lab.snapshot() == seen
    assert Lab(lab.run_until(4.0).scenario).run_until(4.0).events == lab.run_until(4.0).events


# ---- what is said of them --------------------------------------------------------------------------------


def two(**changes: Any) -> Run:
    return Lab(TWO.replace(**changes)).run()


def test_what_is_about_one_group_asks_which() -> None:
    """Not one group's figures under the name of the whole."""
    run = two()
    for question in ("added", "pending", "sojourn", "consumers", "recovery", "duration", "undelivered"):
        with pytest.raises(ScenarioError, match=r"write run\.of\('workers'\) or run\.of\('billing'\)"):
            getattr(run, question)
    with pytest.raises(ScenarioError, match="did you mean billing"):
        run.of("bill")


def test_a_sweep_is_of_one_group() -> None:
    """Said before anything runs."""
    with pytest.raises(ScenarioError, match=r"write scenario\.of\('workers'\) or scenario\.of\('billing'\)"):
        sweep_over(TWO, rate=[50])
    assert sweep_over(TWO.of("billing"), rate=[50], seeds=[1]).rows


def test_summary_and_table() -> None:
    run = two()
    summary = json.loads(json.dumps(run.summary()))
    assert {group: part["acked"] for group, part in summary["groups"].items()} == {"workers": 197, "billing": 197}
    table = run.as_table()
    assert [row[-1] for row in table.rows] == ["workers", "workers", "billing"]
    assert "billing: added 197" in table.as_text()
    assert repr(run).count("197 of 197 entries") == 2


def test_saved_and_loaded(tmp_path: Path) -> None:
    """With what the server held of each group; and a file that lacks one is refused."""
    run = two()
    run.save(tmp_path / "run.jsonl")
    loaded = Run.load(tmp_path / "run.jsonl")
    assert loaded.finals == run.finals
    assert loaded.of("billing").summary()["consumers"].keys() == {"B1"}
    text = (tmp_path / "run.jsonl").read_text()
    header, rest = text.split("\n", 1)
    table = json.loads(header) | {"finals": []}
    (tmp_path / "lacks.jsonl").write_text(json.dumps(table) + "\n" + rest)
    with pytest.raises(ValueError, match=r"finals is '\[\]', and the scenario has 2 groups"):
        Run.load(tmp_path / "lacks.jsonl")


def test_a_fault_in_one_group_is_said_to_be_there() -> None:
    """The verdicts of all groups, each with its name."""
    run = two()
    lost = dataclasses.replace(run, finals=(dataclasses.replace(run.finals[0], effects={}),))
    assert lost.of("workers").broken() == []
    (line,) = lost.broken()
    assert line.startswith("billing: entry ")


def test_the_shell(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A table with both, JSON with both, a picture of both; what is left pending is told by group."""
    assert main(["run", "two-groups", "--duration", "40", "--plot", str(tmp_path / "two.png")]) == 0
    assert "billing" in capsys.readouterr().out
    assert (tmp_path / "two.png").stat().st_size > 10_000
    arguments = ["run", "two-groups", "--duration", "40", "--json", "--recovery", "autoclaim"]
    assert main([*arguments, "--fault", "kill B1 at 20s"]) in (0, 1, 3)
    assert set(json.loads(capsys.readouterr().out)["groups"]) == {"workers", "billing"}
