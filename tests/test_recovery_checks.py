"""Verdicts on the exercises about failures: right answers pass, and each wrong one is told why."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from streamlab import checks
from streamlab.actors import Recovery
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers

#: C2 is given 2, then 7 to 9 at 10 ms; it has done 7, and is at 8, when it dies.
NINE = Scenario(
    producers=producers(1, Arrivals("bursts", rate=100, burst=9)),
    consumers=consumers(2, Service("constant", mean=0.010), count=4),
    entries=9,
).with_faults("kill C2 at 25ms")
SHOP = Scenario(
    producers=producers(1, Arrivals("poisson", rate=20)),
    consumers=consumers(4, Service("exponential", mean=0.1)),
    duration=5.0,
    sink="idempotent",
).with_recovery(restart_after=3.0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"C2": [8, 9]}, "Pending: 8, 9 for C2."),
        ({"C2": [8]}, "1 more pending for C2."),
        ({"C2": [7, 8, 9]}, "7 is not pending for C2."),
        ({"C1": [8, 9]}, "8 is not pending for C1."),
        (7, "7 does not say which entries are pending for whom."),
        (..., "There is no answer yet."),
    ],
)
def test_what_is_left_behind(answer: object, words: str) -> None:
    verdict = checks.left_behind(answer, NINE)
    assert verdict.words == words
    assert bool(verdict) == (answer == {"C2": [8, 9]})


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Recovery("autoclaim", min_idle=0.5, heartbeat=0.1), "20 schedules, 60 faults"),
        (Recovery("none"), "were asked for"),
        (Recovery("restart", restart_after=0.01), "were asked for"),  # the scenario has its own
        (Recovery("autoclaim", min_idle=2.0), "were asked for"),
        (Recovery("autoclaim", min_idle=0.2), "which was well and finished it"),
        (Recovery("autoclaim", min_idle=1e6), "it is given in seconds"),
        (7, "7 is not a Recovery"),
        (..., "There is no answer yet."),
    ],
)
def test_a_recovery_under_random_schedules(answer: object, words: str) -> None:
    verdict = checks.survives(answer, SHOP, within=1.5)
    assert words in f"{verdict.words} {verdict.hint}"
    assert bool(verdict) == words.startswith("20 schedules")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Recovery("none"), "still pending at the end"),
        (Recovery("autoclaim", min_idle=1.5), "nobody was left"),
    ],
)
def test_what_is_left_for_good(answer: Recovery, words: str) -> None:
    """Without a supervisor: nobody claims, or nobody lives; the story of an entry that is pending is told."""
    mortal = dataclasses.replace(SHOP, recovery=Recovery()).with_consumers(2)
    verdict = checks.survives(answer, mortal, n_schedules=40)
    assert words in verdict.words or "still pending" in verdict.words
    assert not verdict


def take_over(
    client: Any, key: str, group: str, consumer: str, min_idle: int, **options: Any
) -> Any:
    taken: list[Any] = []
    cursor = "0-0"
    while True:
        cursor, entries, _ = client.xautoclaim(key, group, consumer, min_idle, cursor, **options)
        taken += entries
        if cursor == "0-0":
            return taken


def until_an_empty_page(client: Any, key: str, group: str, consumer: str, min_idle: int) -> Any:
    taken: list[Any] = []
    cursor = "0-0"
    while True:
        cursor, entries, _ = client.xautoclaim(key, group, consumer, min_idle, cursor, count=10)
        if not entries:
            return taken
        taken += entries


def without_counting(client: Any, key: str, group: str, consumer: str, min_idle: int) -> Any:
    rows = client.xpending_range(key, group, "-", "+", 2_000, idle=min_idle)
    ids = [row["message_id"] for row in rows]
    client.xclaim(key, group, consumer, min_idle, ids, justid=True)
    return [client.xrange(key, entry_id, entry_id)[0] for entry_id in ids]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (take_over, "Three long lists"),
        (lambda *args: take_over(*args, count=10), "Three long lists"),
        (until_an_empty_page, "4 entries were left"),
        (lambda *args: args[0].xautoclaim(*args[1:])[1], "4 entries were left"),
        (lambda *args: take_over(*args[:4], 0), "from bob, who is at work on it"),
        (without_counting, "the delivery count"),
        (lambda *args: take_over(*args) and None, "it returned None"),
    ],
)
def test_taking_over_what_others_left(answer: Any, words: str) -> None:
    verdict = checks.take_over(answer)
    assert words in verdict.words
    assert bool(verdict) == words.startswith("Three")
