"""`LifeWitness`: what a program sends and is answered becomes the events of a run, with delivery counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamlab.actors.events import DELIVERED, GROUP_DESTROYED, EventKind
from streamlab.lab.witness import Books, LifeWitness
from streamlab.results.events import EventLog
from streamlab.scenario.action import CountedAction
from streamlab.scenario.actions import CrashBeforeAck, CrashBeforeEffect


class Process:
    """A life that writes down what is done to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_begun = 0
        self.has_ended = False
        self.died_at: float | None = None
        self.ready = asyncio.Event()
        self.held: list[tuple[float, float]] = []

    def kill(self) -> None:
        self.has_ended, self.died_at = True, 10.0

    def hear(self) -> None:
        pass

    def stand_still_soon(self, after: float, duration: float) -> None:
        self.held.append((after, duration))


class Run:
    """Two lives, C1's and C2's, and their log."""

    def __init__(self, **told: Any) -> None:
        self.log = EventLog()
        self.books = Books(self.log)
        self.now = 5.0
        usual = {"effects_are_told": True, "effects_are_seen": True} | told
        self.lives = {name: Process(name) for name in ("C1", "C2")}
        self.c1, self.c2 = (LifeWitness(p, self.books, now=lambda: self.now, **usual) for p in self.lives.values())

    def take(self) -> list[tuple[EventKind, str, str, int]]:
        """Return the events since it was asked last, without their times."""
        found = [(event.kind, event.actor, event.id, event.delivery_count) for event in self.log]
        self.log._items.clear()
        self.books._n_read = 0
        return found


def test_delivery_counts_are_kept_for_all_programs_together() -> None:
    """A new entry has been delivered once; a history or a claim counts on; JUSTID changes the owner only."""
    run = Run()
    run.c1.given([("1-1", None)], "new")
    run.c2.given([("1-1", None)], "claimed")
    run.c2.given([("1-1", None)], "renamed")
    run.c1.given([("1-1", None)], "renamed")
    run.c1.given([("1-1", None)], "history")
    run.c2.given([("2-1", None)], "claimed")  # of one that was given it unheard
    run.c2.given([("3-1", 4)], "claimed")  # a read that claims says how often it was delivered before
    run.c1.given([("4-1", None)], "by a script")
    run.c2.given([("4-1", None)], "by a script")
    assert run.take() == [
        ("delivered", "C1", "1-1", 1),
        ("claimed", "C2", "1-1", 2),
        ("claimed", "C1", "1-1", 0),
        ("delivered", "C1", "1-1", 3),
        ("claimed", "C2", "2-1", 2),
        ("claimed", "C2", "3-1", 5),
        ("delivered", "C1", "4-1", 1),
        ("claimed", "C2", "4-1", 2),
    ]
    run.log.report(GROUP_DESTROYED, "lab")
    run.c1.given([("1-1", None)], "history")
    assert run.take()[-1] == ("delivered", "C1", "1-1", 2)


def test_what_comes_after_a_death_came_just_before_it() -> None:
    """And is told once, if the server was asked in the meantime."""
    run = Run()
    run.lives["C1"].kill()
    run.log.report(DELIVERED, "C1", "1-1", 1)
    run.c1.given([("1-1", None), ("2-1", None)], "new")
    assert [(event.id, event.at < 10.0) for event in run.log] == [("1-1", True), ("2-1", True)]


def test_acknowledgements() -> None:
    """One of what is not pending is void; without effects told, an acknowledgement tells of the effect."""
    run = Run()
    run.c1.acked(["1-1"], 1)
    run.c1.acked(["1-1", "2-1"], 1)
    run.c1.acked(["2-1"], 0)
    assert [each[:3] for each in run.take()] == [
        ("acked", "C1", "1-1"),
        ("void", "C1", "1-1"),
        ("acked", "C1", "2-1"),
        ("void", "C1", "2-1"),
    ]
    run = Run(effects_are_told=False)
    run.c1.acked(["1-1"], 1)
    assert [each[0] for each in run.take()] == ["processed", "acked"]


@pytest.mark.parametrize(
    ("kind", "is_seen", "dies_at"),
    [(CrashBeforeAck, True, "ack"), (CrashBeforeEffect, True, "effect"), (CrashBeforeEffect, False, "given")],
)
def test_it_dies_at_the_worst_moment(kind: type[CountedAction], is_seen: bool, dies_at: str) -> None:
    """At the entry that was counted, once; and what was on its way then is not passed on."""
    run = Run(effects_are_seen=is_seen)
    life = run.lives["C1"]
    run.c1.count(kind("C1", 2))
    run.c1.given([("1-1", None)], "new")
    assert run.c1.is_to_have_effect(["1-1"])
    assert run.c1.is_to_ack(["1-1"])
    run.c1.given([("2-1", None)], "new")
    assert life.has_ended == (dies_at == "given")
    assert run.c1.is_to_have_effect(["2-1"]) == (dies_at != "effect")
    assert run.c1.is_to_ack(["2-1"]) == (dies_at != "ack")
    assert life.has_ended


def test_connections_of_a_pool_are_lost_together() -> None:
    """That is told once; and of one that is dead, not at all."""
    run = Run()
    run.c1.cut()
    run.c1.cut()
    run.now += 1
    run.c1.cut()
    run.lives["C2"].kill()
    run.c2.cut()
    assert [each[:2] for each in run.take()] == [("disconnected", "C1")] * 2


def test_a_consumer_that_is_removed_is_known_by_the_names_it_used() -> None:
    """With nothing pending, nothing is told: nothing has come of it."""
    run = Run()
    run.c1.asks("worker-7", "new", 0)
    run.c2.removed("worker-7", 0)
    run.c2.removed("worker-7", 3)
    assert run.take() == [("removed", "C1", "", 0)]
    assert run.lives["C1"].ready.is_set()
