"""The ledger: a number with one name has one value, however often it is looked at, and in which order news come."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from streamlab.actors.events import EventKind
from streamlab.lab.lab import Lab
from streamlab.results.actor_records import State
from streamlab.results.deliveries import Reset
from streamlab.results.events import Event
from streamlab.results.ledger import Ledger
from streamlab.results.run import Run
from streamlab.results.snapshot import Snapshot
from streamlab.scenario import Scenario, Service, consumers
from streamlab.views.shown.state import state_of
from tests.schedules.draw import draw


def of_run(run: Run) -> dict[str, Any]:
    """Return what a run says of its end, under the names that the panel and the snapshot use."""
    return {
        "added": run.added,
        "acked": run.acked,
        "pending": run.pending,
        "backlog": run.series.backlog[-1],
        "dead letters": run.dead_lettered,
        **{
            f"{what} of {name}": getattr(consumer, what)
            for name, consumer in run.consumers.items()
            for what in ("delivered", "acked", "claimed", "pending")
        },
        **{f"state of {name}": record.state for name, record in run.ledger.consumers.items()},
        **of_ledger(run.ledger),
        "processed": run.processed,
        "redelivered": run.redelivered,
        "duplicates": run.duplicates,
        "void": run.recovery.void,
        "rejected": run.recovery.rejected,
    }


def of_snapshot(snapshot: Snapshot, ledger: Ledger) -> dict[str, Any]:
    """Return what a snapshot says, and the ledger that it was made of."""
    return {
        "added": snapshot.n_added,
        "acked": snapshot.n_acked,
        "pending": snapshot.n_pending,
        "backlog": snapshot.backlog,
        "dead letters": snapshot.dead_letters,
        **{
            f"{what} of {consumer.name}": getattr(consumer, what)
            for consumer in snapshot.consumers
            for what in ("delivered", "acked", "claimed", "pending", "state")
        },
        **of_ledger(ledger),
    }


def of_ledger(ledger: Ledger) -> dict[str, Any]:
    return {
        "processed": len(ledger.processed),
        "redelivered": ledger.n_redelivered,
        "duplicates": ledger.n_processed - len(ledger.processed),
        "void": ledger.n_void,
        "rejected": ledger.n_rejected,
        "owners": {entry_id: delivery.consumer for entry_id, delivery in ledger.pending.items()},
        "next in line": ledger.backlog.first(10),
        **{f"processed by {name}": consumer.processed for name, consumer in ledger.consumers.items()},
    }


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_a_number_with_one_name_has_one_value(first: int) -> None:
    """Random schedules: at its end a run, a snapshot of it and the panel say the same of everything."""
    for seed in range(first, first + 10):
        with Lab(draw(seed)) as lab:
            for at in (0.3, 0.7, 1.5):
                lab.run_until(at)
                lab.snapshot()
            run, snapshot = lab.run(), lab.snapshot()
            assert of_snapshot(snapshot, lab.recent.ledger) == of_run(run), seed
            shown = state_of(lab)
        assert shown["n_acked"] == run.acked
        assert (shown["figures"]["pending"], shown["backlog"]) == (run.pending, snapshot.backlog)
        assert sum(consumer.pending for consumer in run.consumers.values()) == run.pending
        if run.final.pending_by:  # if the group is gone, nothing will be delivered, and the server says so
            assert run.undelivered == snapshot.backlog


def as_heard(events: list[Event], rng: Random, most: float = 0.02) -> list[Event]:
    """Return events as a lab hears of them from several processes: each one's in order, some later than others'."""
    heard: list[Any] = []
    last: dict[str, Any] = {}
    for number, event in enumerate(events):
        lag = 0.0 if event.actor == "lab" else rng.uniform(0, most)
        last[event.actor] = at = max(event.at + lag, last.get(event.actor, 0.0))
        heard.append((at, number, event))
    return [event for *_, event in sorted(heard, key=lambda item: item[:2])]


@pytest.mark.parametrize("first", range(0, 20, 5))
def test_news_that_come_late_come_to_the_same(first: int) -> None:
    """Random schedules, each process's news up to 20 ms late: once all has been heard of, nothing is different."""
    for seed in range(first, first + 5):
        scenario = draw(seed)
        events = list(Lab(scenario).run().events)
        straight, late = Ledger.of(scenario, events), Ledger.of(scenario, as_heard(events, Random(seed)))
        assert of_ledger(late) == of_ledger(straight), seed
        assert late.backlog.size == straight.backlog.size, seed


# ---- written by hand -------------------------------------------------------------------------------


def written(*lines: str, n_consumers: int = 2) -> Ledger:
    """Return the ledger of events, one a line: time, actor, kind, number of the entry, delivery count."""
    ledger = Ledger(Scenario(name="written", consumers=consumers(n_consumers, Service())))
    for line in lines:
        at, actor, kind, *rest = line.split()
        entry_id = f"{rest[0]}-0" if rest and rest[0] != "$" else "".join(rest[:1])
        ledger.apply(Event(float(at), EventKind(kind), actor, entry_id, int(rest[1]) if rest[1:] else 0))
    return ledger


def test_what_is_heard_to_be_added_after_it_was_delivered_is_not_in_the_backlog() -> None:
    """Neither if its own delivery was heard of first, nor if only a later entry's was; what comes after it is."""
    ledger = written("0.3 C1 delivered 2 1", "0.1 P1 added 1", "0.2 P1 added 2", "0.4 P1 added 3")
    assert (ledger.backlog.size, ledger.backlog.first(9)) == (1, ["3-0"])
    assert list(zip(*ledger.changes.series(), strict=True)) == [
        (0.0, 0, 0), (0.1, 1, 0), (0.2, 2, 0), (0.3, 0, 1), (0.4, 1, 1)
    ]  # fmt: skip
    late = written("0 P1 added 1", "0 P1 added 3", "1 C1 delivered 3 1", "0.5 P2 added 2")
    assert (late.backlog.size, late.backlog.first(9)) == (0, [])
    between = written("0 P1 added 1", "0 P1 added 3", "1 C1 delivered 1 1", "0.5 P2 added 2")
    assert between.backlog.first(9) == ["2-0", "3-0"]


@pytest.mark.parametrize("kind", ["group_destroyed", "stream_deleted"])
def test_with_its_group_all_that_is_pending_goes(kind: str) -> None:
    """No entry is pending for any consumer, and what it processes of them is processed; with the stream, the backlog
    goes as well.
    """
    ledger = written(
        "0 P1 added 1", "0 P1 added 2", "0 P1 added 3", "1 C1 delivered 1 1", "1 C2 delivered 2 1", f"2 lab {kind}"
    )
    assert ledger.pending == {}
    assert [(d.over, d.outcome) for d in ledger.deliveries] == [(2.0, kind)] * 2
    assert ledger.changes.series().pending[-1] == 0
    assert ledger.backlog.size == ledger.changes.series().backlog[-1] == (1 if kind == "group_destroyed" else 0)
    # A group that is made again has what is left of it: nothing of a stream that was deleted.
    for line in ("3 C1 recreated 0", "3 C1 delivered 1 1") if kind == "group_destroyed" else ("3 C1 recreated 0",):
        at, actor, what, number, *_ = line.split()
        ledger.apply(Event(float(at), EventKind(what), actor, f"{number}-0", 1))
    assert ledger.backlog.first(9) == (["2-0", "3-0"] if kind == "group_destroyed" else [])


def test_what_was_delivered_before_the_group_went_is_not_pending_however_late_it_is_heard_of() -> None:
    ledger = written("0 P1 added 1", "2 lab group_destroyed", "1.9 C1 delivered 1 1")
    assert ledger.pending == {}
    assert [(d.over, d.outcome) for d in ledger.deliveries] == [(2.0, "group_destroyed")]


def test_one_whose_handler_failed_is_free_again() -> None:
    """It waits for the next entry; what it works on next it begins then, and what it failed at is not in its hands."""
    lines = (
        "0 C1 started",
        "0 P1 added 1",
        "0 P1 added 2",
        "0 C1 delivered 1 1",
        "0 C1 delivered 2 1",
        "1 C1 failed 1",
    )
    ledger = written(*lines)
    assert ledger.consumers["C1"].holding == ("2-0",)
    for event in (Event(3.0, EventKind.PROCESSED, "C1", "2-0"), Event(3.0, EventKind.ACKED, "C1", "2-0")):
        ledger.apply(event)
    consumer = ledger.consumers["C1"]
    assert [(d.begun, d.left) for d in ledger.deliveries] == [(0.0, 1.0), (1.0, 3.0)]
    assert (consumer.state, consumer.busy, consumer.idle_since) == (State.WAITING, 3.0, 3.0)
    consumer = written(*lines[:4], lines[-1]).consumers["C1"]
    assert (consumer.state, consumer.idle_since) == (State.WAITING, 1.0)
    assert ledger.owner("1-0") == "C1"  # and yet it stays pending for it


def test_a_zombie_is_at_work_until_it_is_done() -> None:
    """What was taken from it in the midst of its work it goes on with; what waited in its hands it does not own."""
    lines = (
        "0 C1 started",
        "0 P1 added 1",
        "0 P1 added 2",
        "0 C1 delivered 1 1",
        "0 C1 delivered 2 1",
        "0.1 C1 paused",
    )
    ledger = written(*lines, "1 C2 claimed 1 2", "1 C2 claimed 2 2")
    assert ledger.consumers["C1"].state == State.PAUSED
    ledger = written(*lines, "1 C2 claimed 1 2", "1 C2 claimed 2 2", "2 C1 resumed")
    assert (ledger.consumers["C1"].state, ledger.consumers["C1"].holding) == (State.WORKING, ())
    ledger = written(*lines, "1 C2 claimed 1 2", "1 C2 claimed 2 2", "2 C1 resumed", "2.1 C1 processed 1")
    assert ledger.consumers["C1"].state == State.WAITING


def test_a_group_that_is_made_again_counts_from_one_again() -> None:
    """A lower delivery count is no late news then: the entry is C1's, by the first delivery of the new group."""
    ledger = written(
        "0 P1 added 1", "0 C1 delivered 1 1", "1 C2 claimed 1 2",
        "2 lab group_destroyed", "3 C1 recreated 0", "3.1 C1 delivered 1 1",
    )  # fmt: skip
    assert ledger.owner("1-0") == "C1"
    assert ledger.n_redelivered == 2


def points(ledger: Ledger) -> list[tuple[float, int, int]]:
    """Return when how many entries were in the backlog, and pending."""
    return list(zip(*ledger.changes.series(), strict=True))


def test_nothing_happens_to_an_entry_before_it_is_added() -> None:
    """Whatever the clocks of two processes say."""
    ledger = written("0.5 P1 added 1", "0.3 C1 delivered 1 1", "0.4 C1 acked 1")
    assert points(ledger) == [(0.0, 0, 0), (0.5, 0, 0)]
    gone = written("0.5 P1 added 1", "0.3 C1 trimmed 1")
    assert points(gone) == [(0.0, 0, 0), (0.5, 0, 0)]


def test_a_redelivery_is_known_by_a_claim_by_the_count_or_by_the_delivery_before() -> None:
    """Also if nobody told of the first one; news that come late of an earlier delivery are none."""
    ledger = written(
        "0 P1 added 1", "0 P1 added 2", "0 P1 added 3", "1 C1 delivered 1 1", "1 C1 delivered 2 2", "1 C2 claimed 3"
    )
    assert (ledger.n_redelivered, [*ledger.redelivered]) == (2, ["2-0", "3-0"])
    late = written("0 P1 added 1", "2 C2 claimed 1 2", "1 C1 delivered 1 1")
    assert late.n_redelivered == 1


def test_each_is_counted_once() -> None:
    """An entry that is processed and acknowledged twice, of one delivery, was processed and acknowledged once."""
    ledger = written(
        "0 P1 added 1", "0 P1 added 2", "0 P1 added 3", "0 P1 added 4",
        "1 C1 delivered 1 1", "1 C1 delivered 2 1", "1 C2 claimed 3 2", "1 C2 claimed 4 2",
        "1.5 C1 processed 1", "1.5 C1 acked 1", "1.6 C1 processed 1", "1.6 C1 acked 1", "1.7 C1 processed 2",
        "2 C2 void 3", "2.1 C2 void 4", "3 C1 rejected 2", "3.1 C1 rejected 2",
    )  # fmt: skip
    one, two = ledger.consumers["C1"], ledger.consumers["C2"]
    assert (one.delivered, one.claimed, one.processed, one.acked) == (2, 0, 2, 1)
    assert (two.delivered, two.claimed, two.processed, two.acked) == (0, 2, 0, 0)
    assert (ledger.n_processed, ledger.n_void, ledger.n_rejected) == (3, 2, 2)
    assert (dict(ledger.processed), dict(ledger.acked)) == ({"1-0": 1.5, "2-0": 1.7}, {"1-0": 1.5})
    assert ([*ledger.processed_again], ledger.processed_unasked, ledger.acked_early) == (["1-0"], {}, {})
    assert [(d.id, d.over, d.outcome) for d in ledger.deliveries if d.outcome] == [
        ("1-0", 1.5, "acked"), ("3-0", 2.0, "void"), ("4-0", 2.1, "void")
    ]  # fmt: skip
    assert ledger.owner("2-0") == "C1"
    assert [consumer.free_at for consumer in (one, two)] == [3.1, 2.1]
    assert [consumer.state for consumer in (one, two)] == [State.STOPPED, State.STOPPED]
    assert ledger.longest_hold == pytest.approx(0.7)
    assert (ledger.end, ledger.last_work, ledger.last_event) == (3.1, 1.7, 3.1)


def test_what_a_consumer_processes_that_it_was_never_given_is_remembered() -> None:
    """With the first such event; what was taken from it in the meantime it had been given."""
    ledger = written(
        "0 P1 added 1", "0 P1 added 2", "0 C1 delivered 1 1", "0 C1 delivered 2 1", "1 C1 crashed",
        "2 C2 claimed 2 2", "3 C2 processed 2", "3 C2 processed 7", "4 C2 processed 7", "5 C1 processed 2",
    )  # fmt: skip
    assert {i: (event.at, event.actor) for i, event in ledger.processed_unasked.items()} == {"7-0": (3.0, "C2")}
    # C1 was at work on the first entry when it died; for how long on the second, nobody can tell.
    assert [(d.id, d.left) for d in ledger.wasted] == [("1-0", 1.0)]
    assert ledger.was_tried("1-0")
    assert [ledger.deliveries[i].processed for i in (1, 2)] == [5.0, 3.0]


def test_an_outage_ends_with_the_next_news_of_the_server() -> None:
    ledger = written(
        "1 lab server_down", "2 lab server_up", "3 lab server_down", "4 lab server_up", "5 lab server_down"
    )
    assert ledger.outages == [(1.0, 2.0), (3.0, 4.0), (5.0, float("inf"))]
    assert ledger.end == 0.0  # nothing has happened to an entry


def test_who_held_what_nobody_told_of_is_known_though_a_claim_told_no_count() -> None:
    """C1 stands still with an entry; the lab gives it to C2 (JUSTID), and C3 takes it: C1 had it, by the count."""
    lines = "0 P1 added 1", "0.5 C1 paused", "1 C2 claimed 1"
    assert written(*lines, "2 C2 delivered 1 2", n_consumers=3).owner("1-0") == "C2"
    ledger = written(*lines, "2 C3 claimed 1 2", n_consumers=3)
    assert ledger.consumers["C1"].overtaken == {"1-0": 2.0}
    assert ledger.owner("1-0") == "C3"


def test_what_is_trimmed_leaves_the_backlog_once() -> None:
    """Whoever has trimmed it; what was delivered had left it already, and is pending until it is found gone."""
    ledger = written(
        "0 P1 added 1", "0 P1 added 2", "0 P1 added 3", "1 C1 delivered 1 1",
        "2 lab trimmed 1", "2 lab trimmed 2", "3 C1 trimmed 1", "3 C1 trimmed 2",
    )  # fmt: skip
    assert points(ledger) == [(0.0, 3, 0), (1.0, 2, 1), (2.0, 1, 1), (3.0, 1, 0)]
    assert (ledger.backlog.size, ledger.backlog.first(9), ledger.backlog.first(0)) == (1, ["3-0"], [])
    assert ledger.trimmed == {"1-0": 2.0, "2-0": 2.0}
    assert [(d.over, d.outcome) for d in ledger.deliveries] == [(3.0, "trimmed")]


@pytest.mark.parametrize(("place", "left"), [("0", 5), ("2", 4), ("4", 2), ("$", 0)])
def test_a_group_that_is_made_again_begins_where_it_is_told(place: str, left: int) -> None:
    """Further back, further on, or at the end: what lies beyond is the backlog, and what is trimmed is not in it."""
    ledger = written(
        *(f"0 P1 added {number}" for number in (1, 2, 3, 4, 5, 6)), "0.5 lab trimmed 2",
        "1 C1 delivered 1 1", "1 C1 delivered 3 1", "2 lab group_destroyed", f"3 C1 recreated {place}",
    )  # fmt: skip
    assert ledger.backlog.size == len(ledger.backlog.first(9)) == left
    assert points(ledger)[1:] == [(0.5, 5, 0), (1.0, 3, 2), (2.0, 3, 0), (3.0, left, 0)]
    assert ledger.resets[-1] == Reset(3.0, "recreated", place if place == "$" else f"{place}-0")


def test_what_was_reached_before_a_group_went_is_forgotten_with_it() -> None:
    """An entry that nobody has told to have added is delivered; what comes before it is in the new group's backlog."""
    ledger = written("1 C1 delivered 9 1", "2 lab group_destroyed", "3 C1 recreated 0", "1 P1 added 1")
    assert (ledger.backlog.size, ledger.backlog.first(9)) == (1, ["1-0"])


@pytest.mark.parametrize("lines", [("1 C1 delivered 1 2",), ("1 C1 delivered 1 1", "2 C3 claimed 1 2")])
def test_one_that_stands_still_is_not_said_to_have_held_what_others_had(lines: tuple[str, ...]) -> None:
    """What a consumer reads of its own history was its own; what is claimed from one that told of it was that one's."""
    ledger = written("0 P1 added 1", "0.5 C2 paused", *lines, n_consumers=3)
    assert ledger.consumers["C2"].overtaken == {}


def test_the_longest_hold_is_from_a_delivery_until_it_was_processed() -> None:
    ledger = written(
        "0 P1 added 1", "0 P1 added 2",
        "0 C1 delivered 1 1", "1 C1 processed 1", "2 C1 delivered 2 1", "2.5 C1 processed 2",
    )  # fmt: skip
    assert ledger.longest_hold == 1.0
