"""What is done to a run by hand with a command of Redis: add, acknowledge, trim, delete a consumer, put back; on both
engines."""

from __future__ import annotations

import itertools

import pytest

from streamlab.lab.lab import Lab
from streamlab.results.invariants import examine
from streamlab.results.run import EngineName
from streamlab.scenario import Arrivals, Scenario, ScenarioError, Service, consumers, producers

SHOP = Scenario(
    name="shop",
    producers=producers(1, Arrivals("constant", rate=40)),
    consumers=consumers(2, Service("constant", mean=0.06), count=4),
    duration=None,
    entries=60,
)


def typed(lab: Lab) -> list[tuple[str, str]]:
    return [(command.text, command.reply) for command in lab.commands if command.by == "lab"]


def held_by_the_dead(lab: Lab, name: str) -> list[str]:
    """Kill a consumer that has several entries; return which."""
    lab.wait_until(lambda now: len(now.consumer(name).holding) > 2)
    lab.kill(name)
    return [row.id for row in lab.snapshot().pending if row.owner == name]


def test_an_entry_is_added_and_others_are_acknowledged_deleted_and_trimmed(engine: EngineName) -> None:
    """What is added is done; what is acknowledged undone or deleted with its consumer is lost, and said to be."""
    with Lab(SHOP, engine=engine) as lab:
        added = lab.add({"item": "tea", "note": "for two"})
        assert typed(lab)[-1] == ("XADD orders * item tea note 'for two'", added)
        lab.wait_until(lambda _: added in lab.recent.ledger.acked)
        first, *others = held_by_the_dead(lab, "C2")
        assert (lab.ack(first), lab.ack(first)) == (1, 0)
        assert typed(lab)[-2:] == [(f"XACK orders workers {first}", n) for n in ("1", "0")]
        assert lab.snapshot().lost == 1
        assert lab.remove_consumer("C2") == len(others)
        now = lab.snapshot()
        assert (now.lost, now.consumer("C2").pending) == (1 + len(others), 0)
        assert not {row.id for row in now.pending} & {first, *others}
        lab.wait_until(lambda now: now.n_pending == len(lab.recent.ledger.pending))
        *story, place = lab.story(others[0])
        assert [line[12:] for line in story] == [
            *("P1: added it", "C2: was given it (delivery 1)", "C2: died", "C2: was removed from the group")
        ]
        assert place == "now: it is not pending, and will not be delivered"
        with pytest.raises(ScenarioError, match="no entry '1-1' has been added"):
            lab.story("1-1")
        lab.pause("C1")
        lab.wait_until(lambda now: now.backlog > 4)
        before = lab.snapshot()
        n = lab.trim(2)
        now = lab.snapshot()
        assert n > before.length - 4  # P1 may have added one meanwhile
        assert now.length < 5
        assert now.backlog < before.backlog
        lab.resume("C1")
        run = lab.run()
    assert (run.lost, run.pending) == (0, 0)
    assert (run.ledger.zombie_acks, [*run.consumers]) == ([], ["C1", "C2"])  # the lab is no consumer
    assert run.trimmed > len(others)  # what is removed from the stream is called trimmed, whatever befell it before
    assert [verdict.rule for verdict in examine(run.scenario, run.events, run.final) if not verdict] == ["I3"]


def test_a_dead_letter_is_listed_and_put_back(engine: EngineName) -> None:
    """A poison entry kills whoever is given it, until it is given up; put back, it is a new one, and does so again."""
    shown = SHOP.with_recovery(
        "autoclaim", min_idle=0.2, interval=0.1, max_deliveries=2, restart_after=0.1
    ).replace(duration=30.0, entries=None)  # fmt: skip
    key = shown.dead_letter_key
    with Lab(shown, engine=engine) as lab:
        poison = lab.add({"poison": "1"})
        (letter,) = lab.wait_until(lambda now: now.newest_dead_letters).newest_dead_letters
        assert (letter.entry_id, letter.delivery_count, letter.fields) == (poison, 3, {"poison": "1"})
        with pytest.raises(ScenarioError, match=f"{key} has no entry {poison}"):
            lab.put_back(poison)
        (again,) = lab.put_back([letter.id, poison])
        text = f"XADD orders * poison 1, then XDEL {key} {letter.id}"
        assert typed(lab)[-1] == (text, again)
        assert again != poison
        assert lab.snapshot().newest_dead_letters == ()
        (letter,) = lab.wait_until(lambda now: now.newest_dead_letters).newest_dead_letters
        assert letter.entry_id == again


def test_a_consumer_that_is_deleted_while_it_lives_goes_on() -> None:
    """Its process is told nothing: it finishes what it holds, acknowledges that in vain, and reads again."""
    with Lab(SHOP) as lab:
        lab.wait_until(lambda now: len(now.consumer("C2").holding) > 2)
        n = lab.remove_consumer("C2")
        assert n > 2
        assert lab.snapshot().lost == 0
        assert lab.snapshot().consumer("C2").state == "working"
        run = lab.run()
    assert (run.lost, run.pending, run.processed) == (0, 0, 60)
    assert run.ledger.n_void == n
    assert run.consumers["C2"].processed > 2 * n


def test_a_producer_that_was_killed_goes_on_with_its_plan(engine: EngineName) -> None:
    """The run waits for that as long as it shall stay open; then each entry has been added, and once."""
    with Lab(SHOP, engine=engine) as lab:
        lab.stays_open = True
        lab.wait_until(lambda now: now.n_added > 10)
        lab.kill("P1")
        added = lab.wait_until(lambda now: not now.n_pending).n_added
        killed_at = lab.now
        lab.wait_until(lambda now: now.at > killed_at + 0.5)
        assert (lab.finished, lab.snapshot().n_added) == (False, added)
        restarted_at = lab.now
        lab.restart("P1")
        run = lab.run()
    assert (run.added, run.processed, run.pending) == (60, 60, 0)
    later = sorted(at for at in run.ledger.added.values() if at > killed_at)
    assert restarted_at < later[0] < restarted_at + 3.0
    assert len(later) == 60 - added


@pytest.mark.parametrize("begun_again", [False, True])
def test_a_run_that_waited_for_a_producer_is_done_again_to_the_letter(begun_again: bool) -> None:
    """Whether it was started again, or the run was let end."""
    with Lab(SHOP.replace(duration=3.0)) as lab:
        lab.stays_open = True
        lab.run_until(0.5)
        lab.kill("P1")
        lab.run_until(1.5)
        if begun_again:
            lab.restart("P1")
            lab.run_until(1.6)
        lab.kill("C2")
        lab.run_until(30.0)
        assert lab.finished == begun_again
        run = lab.run()
    ends = [] if begun_again else ["let-end"]
    assert [action.word for action in run.scenario.by_hand] == [
        *("kill", *["restart"] * begun_again, "kill"), *ends,
    ]  # fmt: skip
    assert max(run.ledger.added.values()) < 3.0
    assert list(Lab(run.scenario).run().events) == list(run.events)


def test_a_replayed_producer_goes_on_at_the_recorded_times() -> None:
    """What was recorded for the time in which it was dead is not added."""
    with Lab("departures-day") as lab:
        name = lab.scenario.producers[0].name
        planned = [at for at, _ in lab.scenario.arrivals(lab.scenario.producers[0])]
        lab.stays_open = True
        lab.run_until(8.0)
        lab.kill(name)
        lab.run_until(12.0)
        lab.restart(name)
        ledger = lab.run().ledger
    mine = [at for entry_id, at in ledger.added.items() if ledger.producer[entry_id] == name]
    assert mine == pytest.approx([at for at in planned if not 8.0 < at < 12.0], abs=0.001)


def test_a_restarted_producer_keeps_its_pace() -> None:
    """The rate that was set last is its next life's, too."""
    with Lab(SHOP) as lab:
        lab.stays_open = True
        lab.run_until(0.3)
        lab.set_rate(100.0)
        lab.kill("P1")
        lab.run_until(1.0)
        lab.restart("P1")
        added = sorted(lab.run().ledger.added.values())
    gaps = {round(after - before, 6) for before, after in itertools.pairwise(at for at in added if at > 1.0)}
    assert gaps == {0.01}
