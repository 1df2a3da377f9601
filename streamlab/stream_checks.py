"""Verdicts on the exercises of the first lessons, where the learner types Redis commands.

A function is tried on random streams, in an embedded server of its own; a state is looked at where it was made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import redis

from streamlab.embedded import EmbeddedServer
from streamlab.records import GroupState, parse_groups, parse_pending_range
from streamlab.stream_model import MIN_ID, parse_id
from streamlab.verdict import Objection, Verdict, nothing_yet

#: More commands than any answer needs: one that sends them will go on for ever.
MOST_COMMANDS = 300
KEY, GROUP = "orders", "kitchen"
_EMPTY_HANDED = "mind the case that there is nothing: then there is no last entry either."

Entry = tuple[str, dict[str, str]]


class _Watched(redis.Redis):
    """A client for the learner's function, which takes note of what it asks for."""

    n_commands = 0
    most_entries = 0
    """The longest reply, of those commands that fetch entries."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self.n_commands += 1
        if self.n_commands > MOST_COMMANDS:
            raise Objection(
                f"After {MOST_COMMANDS} commands it was still asking.",
                "it begins again where it was before: what makes the next command another one?",
            )
        if "BLOCK" in map(_upper, args):
            raise Objection(
                "It waits for entries (BLOCK).", "leave out block=: it is to return what is there."
            )
        reply: Any = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        if _upper(args[0]) in ("XRANGE", "XREVRANGE"):
            self.most_entries = max(self.most_entries, len(reply))
        return reply


def _upper(argument: object) -> str:
    return (argument.decode() if isinstance(argument, bytes) else str(argument)).upper()


class _Trial:
    """A stream in a server of its own, filled at random, and the client that the answer is given."""

    def __init__(self, seed: int) -> None:
        server = EmbeddedServer()
        self.client = server.client()
        watched = server.client(_Watched)
        assert isinstance(watched, _Watched)
        self.watched = watched
        self.random = random.Random(seed)
        self._ms = 1000
        self._n_added = 0

    def add(self, n_entries: int) -> None:
        """Add entries, several of them in one millisecond."""
        for _ in range(n_entries):
            self._ms += self.random.choice((0, 0, 1, 250))
            self._n_added += 1
            self.client.xadd(KEY, {"number": self._n_added}, id=f"{self._ms}-*")

    def entries(self) -> list[Entry]:
        reply: Any = self.client.xrange(KEY)
        return list(reply)

    def pending(self) -> dict[str, str]:
        """Return who has which entry pending."""
        return _pending(self.client, KEY, GROUP)


# ---- the stream ------------------------------------------------------------------------------------


def pages(answer: object) -> Verdict:
    """Check a function that pages through a stream (``XRANGE … COUNT``).

    ``answer(client, key, size)`` is to return, or yield, lists of at most `size` entries; together they are the stream.
    """
    try:
        for seed, (n_entries, size) in enumerate(((7, 3), (0, 4), (1, 1), (24, 6), (41, 10))):
            trial = _Trial(seed)
            trial.add(n_entries)
            _check_pages(answer, trial, size)
    except Objection as objection:
        return objection.verdict
    return Verdict(
        True, "Five streams, of 0 to 41 entries: each entry once, in order, page by page."
    )


def _check_pages(answer: object, trial: _Trial, size: int) -> None:
    expected = trial.entries()
    case = f"With {_count(len(expected))} and a size of {size},"
    made = _call(answer, case, trial.watched, KEY, size)
    if not isinstance(made, Iterable):
        raise Objection(f"{case} it returned {made!r}.", "return a list of pages, or yield them.")
    got = _call(lambda: list(islice(made, len(expected) + 2)), case)
    if not all(isinstance(page, list) for page in got):
        raise Objection(
            f"{case} one of the pages is no list of entries.", "a page is what XRANGE returned."
        )
    longest = max([trial.watched.most_entries, *map(len, got)])
    if longest > size:
        raise Objection(f"{case} it fetched {longest} entries at once.", "give XRANGE a count.")
    _compare([entry for page in got for entry in page], expected, case)
    if not all(got):
        raise Objection(f"{case} one of the pages is empty.", "stop before you hand that one out.")


def bookmark(answer: object) -> Verdict:
    """Check a function with which a reader follows a stream (``XREAD``) and misses nothing.

    ``answer(client, key, last_id)`` is to return the entries after `last_id`, and the `last_id` for the next call.
    """
    try:
        for seed in range(3):
            _check_bookmark(answer, _Trial(seed))
    except Objection as objection:
        return objection.verdict
    return Verdict(True, "Three streams, read while they grew: nothing missed, nothing twice.")


def _check_bookmark(answer: object, trial: _Trial) -> None:
    last_id, got = "0", list[Entry]()
    for n_entries in [0, 2, 0, *(trial.random.randrange(4) for _ in range(9)), 1]:
        trial.add(n_entries)
        case = f"With {_count(n_entries)} after {last_id},"
        said = _call(answer, case, trial.watched, KEY, last_id)
        if not (isinstance(said, tuple) and len(said) == 2 and isinstance(said[0], list)):
            raise Objection(f"{case} it returned {said!r}.", "return entries, last_id")
        if not said[0] and said[1] != last_id:
            raise Objection(
                f"{case} it returned no entry, and {said[1]!r} as the new bookmark.",
                "the bookmark moves only when something was read.",
            )
        got += said[0]
        last_id = said[1]
        _compare(got, trial.entries(), case)
        if got and last_id != got[-1][0]:
            raise Objection(
                f"{case} the new bookmark is {last_id!r}; the last entry was {got[-1][0]}.",
                "the bookmark is the id of the last entry that was read.",
            )


# ---- the group -------------------------------------------------------------------------------------


def pending_exactly(
    client: redis.Redis, key: str, group: str, expected: Mapping[str, Sequence[str]]
) -> Verdict:
    """Check that of a stream all is delivered, and just this is pending: ids by consumer (``XPENDING``)."""
    states = {state.name: state for state in parse_groups(client.xinfo_groups(key))}
    if group not in states or _is_untouched(states[group]):
        return nothing_yet().verdict
    holders = {entry_id: name for name, ids in expected.items() for entry_id in ids}
    held = _pending(client, key, group)
    for entry_id, name in holders.items():
        if entry_id not in held:
            return Verdict(
                False,
                f"{entry_id} is not pending.",
                f"it has to be delivered to {name}, and not acknowledged.",
            )
        if held[entry_id] != name:
            return Verdict(
                False,
                f"{entry_id} is pending for {held[entry_id]}; {name} was asked for.",
                f"it has to be {name} who reads it.",
            )
    for entry_id, name in held.items():
        if entry_id not in holders:
            return Verdict(
                False, f"{entry_id} is pending, too, for {name}.", f"{name} is done with it: XACK."
            )
    undelivered: Any = client.xrange(key, f"({states[group].last_delivered_id}")
    if undelivered:
        return Verdict(
            False,
            f"{_count(len(undelivered))} from {undelivered[0][0]} on still undelivered.",
            "every entry has to be read by somebody: XREADGROUP with >.",
        )
    told = "; ".join(f"{', '.join(ids)} for {name}" for name, ids in expected.items())
    return Verdict(True, f"Pending: {told}. All others are acknowledged.")


def _is_untouched(group: GroupState) -> bool:
    return group.last_delivered_id == "0-0" and not group.pending


def worker(answer: object) -> Verdict:
    """Check a consumer that comes back after a crash (``XREADGROUP`` with its own history, then ``>``, and ``XACK``).

    ``answer(client, key, group, consumer, handle)`` is to call ``handle(entry_id, fields)`` for each entry that is
    pending for `consumer`, then for each new one, to acknowledge each afterwards, and to return when nothing is left.
    """
    try:
        for seed in range(3):
            _check_worker(answer, _Trial(seed))
    except Objection as objection:
        return objection.verdict
    return Verdict(
        True, "Three times: first what was left over, then what was new; acknowledged when done."
    )


class _HandlerDies(Exception):
    """What a handler raises that cannot go on."""


def _check_worker(answer: object, trial: _Trial) -> None:
    trial.client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
    trial.add(trial.random.randint(14, 18))
    for name in ("ann", "bob", "ann"):
        trial.client.xreadgroup(GROUP, name, {KEY: ">"}, count=trial.random.randint(2, 4))
    others = {i: name for i, name in trial.pending().items() if name == "bob"}
    expected = [entry for entry in trial.entries() if entry[0] not in others]
    dies_at = expected[trial.random.randint(1, len(expected) - 1)][0]
    handled: list[Entry] = []
    deaths: list[str] = []

    def handle(entry_id: str, fields: dict[str, str]) -> None:
        if trial.pending().get(entry_id) != "ann":
            raise Objection(
                f"When {entry_id} was handled it was not pending for the consumer.",
                "acknowledge after the work, not before; and only what was handed to it.",
            )
        if entry_id == dies_at and not deaths:
            deaths.append(entry_id)
            raise _HandlerDies
        handled.append((entry_id, fields))

    case = f"With {_count(len(trial.entries()))}, some of them pending,"
    went_on = False
    with suppress(_HandlerDies):
        _call(answer, case, trial.watched, KEY, GROUP, "ann", handle, may_raise=_HandlerDies)
        went_on = True
    if not deaths:
        _compare(handled, expected, case)
    if trial.pending().get(dies_at) != "ann":
        raise Objection(
            f"Its handler failed on {dies_at}, and that entry is not pending any more.",
            "what was not done must not be acknowledged: leave it, or let the exception pass.",
        )
    _call(answer, "Started again,", trial.watched, KEY, GROUP, "ann", handle)
    if went_on:  # to leave out what failed, and do it at the next start, is right too
        handled.sort(key=lambda entry: parse_id(entry[0]) or MIN_ID)
    _compare(handled, expected, case)
    left = trial.pending()
    if mine := [entry_id for entry_id in left if entry_id not in others]:
        raise Objection(
            f"{case} {_count(len(mine))} are still pending: {mine[0]} for instance.",
            "each is acknowledged once it is done: XACK.",
        )
    if left != others:
        raise Objection(f"{case} it acknowledged what is pending for bob.", "that is bob's work.")


def take_over(answer: object) -> Verdict:
    """Check a function that takes over what others left (``XAUTOCLAIM`` until the cursor is ``0-0``).

    ``answer(client, key, group, consumer, min_idle_ms)`` is to make `consumer` the owner of all that has been idle for
    so long, whoever had it, and to return these entries.
    """
    try:
        for seed in range(3):
            _check_take_over(answer, _Trial(seed))
    except Objection as objection:
        return objection.verdict
    return Verdict(True, "Three long lists: all that was idle, to its end, and nothing else.")


def _check_take_over(answer: object, trial: _Trial) -> None:
    """Leave a few idle entries among a thousand that a living consumer has, some pages from the beginning."""
    client, idle_ms, min_idle_ms = trial.client, 60_000, 30_000
    client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
    trial.add(1_200)
    client.xreadgroup(GROUP, "bob", {KEY: ">"})
    entries = trial.entries()
    places = [trial.random.randrange(20), *sorted(trial.random.sample(range(1_050, 1_200), 4))]
    idle = [entries[place] for place in places]
    ids = [entry_id for entry_id, _ in idle]
    client.xclaim(KEY, GROUP, "cem", 0, ids, idle=idle_ms, justid=True)  # type: ignore[arg-type]
    case = f"With {_count(len(ids))} idle among {len(entries):,} pending,"
    said = _call(answer, case, trial.watched, KEY, GROUP, "ann", min_idle_ms)
    if not isinstance(said, list) or not all(isinstance(entry, tuple) for entry in said):
        raise Objection(f"{case} it returned {said!r}.", "return a list of entries: (id, fields).")
    held = _pending(client, KEY, GROUP)
    for entry_id, name in held.items():
        if name == "ann" and entry_id not in ids:
            raise Objection(
                f"{case} it took {entry_id} from bob, who is at work on it.", "mind min_idle_ms."
            )
    left = [entry_id for entry_id in ids if held.get(entry_id) != "ann"]
    if left:
        raise Objection(
            f"{case} {_count(len(left))} were left, {left[0]} the first.",
            "a page may be empty before the list has ended: go on until the cursor is 0-0.",
        )
    _compare(said, idle, case)
    rows: Any = client.xpending_range(KEY, GROUP, ids[0], ids[0], 1)
    if rows[0]["times_delivered"] != 2:
        raise Objection(
            f"{case} the delivery count of {ids[0]} is {rows[0]['times_delivered']}; it was delivered a second time.",
            "JUSTID does not count: without a count, no limit is ever reached.",
        )


# ---- trying an answer ------------------------------------------------------------------------------


def _call(
    answer: object, case: str, *args: object, may_raise: type[Exception] | tuple[()] = ()
) -> Any:
    """Call the learner's function; what goes wrong in it is told in words."""
    if answer is ...:
        raise nothing_yet()
    if not callable(answer):
        raise Objection(f"{answer!r} is not a function.", "it begins with def.")
    function: Callable[..., Any] = answer
    try:
        said = function(*args)
    except Objection:
        raise
    except may_raise:
        raise
    except Exception as error:  # whatever a learner's function may do
        words = f"{case} it raised {type(error).__name__}: {error}"
        raise Objection(words, _EMPTY_HANDED if isinstance(error, IndexError) else "") from error
    if said is ...:
        raise nothing_yet()
    return said


def _compare(got: Sequence[Entry], expected: Sequence[Entry], case: str) -> None:
    """Object to the first entry that is not the expected one."""
    ids = [entry_id for entry_id, _ in expected]
    for i, entry in enumerate(got):
        if entry in got[:i]:
            raise Objection(
                f"{case} {entry[0]} comes twice.",
                "XRANGE includes the id it begins with, unless ( stands before it; XREAD does not.",
            )
        if i >= len(ids) or entry != expected[i]:
            what = (
                f"{entry[0]} comes where {ids[i]} was due" if i < len(ids) else f"{entry[0]} comes"
            )
            raise Objection(f"{case} {what}.", "from the oldest on, as they are in the stream.")
    if len(got) < len(expected):
        raise Objection(f"{case} {ids[len(got)]} is missing.", "go on until there is nothing left.")


def _pending(client: redis.Redis, key: str, group: str) -> dict[str, str]:
    reply = client.xpending_range(key, group, min="-", max="+", count=10_000)
    return {pending.id: pending.consumer for pending in parse_pending_range(reply)}


def _count(n_entries: int) -> str:
    return "1 entry" if n_entries == 1 else f"{n_entries} entries"


__all__ = ["bookmark", "pages", "pending_exactly", "take_over", "worker"]
