"""Verdicts on the exercises about failures: right answers pass, and each wrong one is told why."""

from __future__ import annotations

from functools import partial
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
        ({"C2": [0, 8, 9]}, "0 is not pending for C2."),
        ({"C2": (9, 8.0), "C1": []}, "Pending: 8, 9 for C2."),
        ({"c2": range(8, 10)}, "Pending: 8, 9 for C2."),
        ({"C4": [8, 9]}, "There is no consumer 'C4'."),
        ({"C2": "8, 9"}, "{'C2': '8, 9'} does not say which entries are pending for whom."),
        ({"C2": [None]}, "{'C2': [None]} does not say which entries are pending for whom."),
        (None, "None does not say which entries are pending for whom."),
        (7, "7 does not say which entries are pending for whom."),
        (..., "There is no answer yet."),
    ],
)
def test_what_is_left_behind(answer: object, words: str) -> None:
    verdict = checks.left_behind(answer, NINE)
    assert verdict.words == words
    assert bool(verdict) == words.startswith("Pending")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Recovery("autoclaim", min_idle=0.5, heartbeat=0.1), "20 schedules, 60 faults"),
        (Recovery("none"), "were asked for"),
        (Recovery("restart", restart_after=0.01), "were asked for"),  # the scenario has its own
        (Recovery("autoclaim", min_idle=2.0), "were asked for"),
        (Recovery("autoclaim", min_idle=0.2), "which was well and finished it"),
        (Recovery("autoclaim", min_idle=500, heartbeat=100), "500 ms is 0.5"),
        (Recovery("autoclaim", min_idle=0.5, interval=250), "250 ms is 0.25"),
        (Recovery("autoclaim", min_idle=0.0005), "less is no time at all"),
        (Recovery("autoclaim", min_idle=0.5, heartbeat=0.0001), "less is no time at all"),
        (Recovery, "it is the class"),
        ("autoclaim", "Recovery('autoclaim')"),
        (SHOP, "not a scenario that has it"),
        (None, "None is not a Recovery"),
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
    [(Recovery("none"), "still pending at the end"), (Recovery("autoclaim", min_idle=1.5), "nobody was left")],
)
def test_what_is_left_for_good(answer: Recovery, words: str) -> None:
    """Without a supervisor: nobody claims, or nobody lives; the story of an entry that is pending is told."""
    mortal = SHOP.replace(recovery=Recovery()).with_consumers(2)
    verdict = checks.survives(answer, mortal, n_schedules=40)
    assert words in verdict.words or "still pending" in verdict.words
    assert not verdict


# ---- taking over what others left ---------------------------------------------------------------------


def take_over(client: Any, key: str, group: str, consumer: str, min_idle: int, **options: Any) -> Any:
    taken: list[Any] = []
    cursor = "0-0"
    while True:
        cursor, entries, _ = client.xautoclaim(key, group, consumer, min_idle, cursor, **options)
        taken += entries
        if cursor == "0-0":
            return taken


def walk(client: Any, key: str, group: str, consumer: str, min_idle: int, start: str = "0-0") -> Any:
    """Call itself for the rest of the list; give the entries one by one."""
    cursor, entries, _ = client.xautoclaim(key, group, consumer, min_idle, start, count=5)
    yield from entries
    if cursor != "0-0":
        yield from walk(client, key, group, consumer, min_idle, cursor)


def by_xclaim(
    client: Any, key: str, group: str, consumer: str, min_idle: int, count: int = 50, go_on: bool = True
) -> Any:
    """Look with XPENDING, page by page, and take with XCLAIM."""
    taken: list[Any] = []
    start = "-"
    while rows := client.xpending_range(key, group, start, "+", count, idle=min_idle):
        ids = [row["message_id"] for row in rows]
        taken += client.xclaim(key, group, consumer, min_idle, ids)
        start = f"({ids[-1]}"
        if not go_on:
            break
    return taken


def until_an_empty_page(client: Any, key: str, group: str, consumer: str, min_idle: int, **options: Any) -> Any:
    taken: list[Any] = []
    cursor = "0-0"
    while True:
        cursor, entries, _ = client.xautoclaim(key, group, consumer, min_idle, cursor, **options)
        if not entries:
            return taken
        taken += entries


def from_the_start(client: Any, key: str, group: str, consumer: str, min_idle: int) -> Any:
    taken: list[Any] = []
    while entries := client.xautoclaim(key, group, consumer, min_idle, "0-0", count=100)[1]:
        taken += entries
    return taken


def never_at_the_end(client: Any, key: str, group: str, consumer: str, min_idle: int) -> Any:
    cursor: Any = "0-0"
    while cursor != 0:
        cursor, _, _ = client.xautoclaim(key, group, consumer, min_idle, cursor)


def without_counting(client: Any, key: str, group: str, consumer: str, min_idle: int) -> Any:
    rows = client.xpending_range(key, group, "-", "+", 3_000, idle=min_idle)
    ids = [row["message_id"] for row in rows]
    client.xclaim(key, group, consumer, min_idle, ids, justid=True)
    return [client.xrange(key, entry_id, entry_id)[0] for entry_id in ids]


@pytest.mark.parametrize(
    "answer",
    [
        take_over,
        lambda *args: take_over(*args, count=10),
        lambda *args: take_over(*args, count=100_000),
        lambda *args: take_over(*args, count=1),
        lambda *args: list(walk(*args)),
        walk,
        by_xclaim,
        partial(by_xclaim, count=1),
        lambda *args: tuple(reversed(take_over(*args))),
    ],
)
def test_taking_over_what_others_left(answer: Any) -> None:
    """By either command, by pages of any size, to the end."""
    assert checks.take_over(answer)


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (until_an_empty_page, "3 entries were left", "a page may be empty before the list has ended"),
        (lambda *args: until_an_empty_page(*args, count=1), "were left", "a page may be empty"),
        (lambda *args: until_an_empty_page(*args, count=9_000), "were left", "a page may be empty"),
        (lambda *args: args[0].xautoclaim(*args[1:])[1], "3 entries were left", "the cursor is 0-0"),
        (lambda *args: args[0].xautoclaim(*args[1:], count=9_000)[1], "were left", "the cursor is"),
        (from_the_start, "were left", "a page may be empty"),
        (lambda *args: from_the_start(*args) + from_the_start(*args), "were left", "began at 0-0 again"),
        (never_at_the_end, "still asking", 'the text "0-0"'),
        (partial(by_xclaim, count=10, go_on=False), "were left", "gave 10 rows, as many as"),
        (partial(by_xclaim, count=500, go_on=False), "were left", "gave 500 rows"),
        (lambda *args: args[0].xpending_range(*args[1:3], "-", "+", 10) and [], "were left", "gave 10 rows"),
        (lambda *args: take_over(*args[:4], 0), "from bob, who is working on it", "is given min_idle"),  # type: ignore[call-arg]
        (lambda *args: take_over(*args[:4], 30), "from bob, who is working", "in milliseconds"),  # type: ignore[call-arg]
        (lambda *args: take_over(*args[:4], 30_000_000), "were left", "in milliseconds"),  # type: ignore[call-arg]
        (without_counting, "the delivery count", "JUSTID does not count"),
        (lambda *args: take_over(*args) and None, "it returned None", "without `return`"),
        (lambda *args: [entry_id for entry_id, _ in take_over(*args)], "which is no entry", "(id, fields)"),
        (lambda *args: take_over(*args)[-2:], "is not among the 2 entries", "all the pages"),
        (lambda *args: take_over(*args) * 2, "twice", "once"),
    ],
)
def test_taking_over_missed(answer: Any, words: str, hint: str) -> None:
    verdict = checks.take_over(answer)
    assert not verdict
    assert words in verdict.words
    assert hint in verdict.hint
