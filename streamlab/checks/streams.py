"""Verdicts on the exercises about streams, where the learner types Redis commands.

A function is tried on random streams, in an embedded server of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from streamlab.checks.attempts import Stop, count_of, listed, returned, shown
from streamlab.checks.trial_streams import KEY, Entry, Trial, compare, is_entry
from streamlab.checks.watched import Command, WatchedRedis
from streamlab.model import parse_id
from streamlab.results.verdict import Objection, Verdict, judged


@judged
def pages(answer: object) -> Verdict:
    """Check a function that pages through a stream (``XRANGE … COUNT``).

    ``answer(client, key, size)`` is to return, or yield, lists of at most `size` entries; together they are the stream.
    """
    for seed, (n_entries, size) in enumerate(((7, 3), (0, 4), (1, 1), (24, 6), (41, 10))):
        trial = Trial(seed)
        trial.add(n_entries)
        _check_pages(answer, trial, size)
    return Verdict(True, "Five streams, of 0 to 41 entries: each entry once, in order, page by page.")


def _check_pages(answer: object, trial: Trial, size: int) -> None:
    expected = trial.entries()
    case = f"With {count_of(len(expected))} and a size of {size},"
    watched = trial.watched
    watched.before = _must_not_wait
    watched.endless = (
        "each page has to begin after the last id of the one before, and the last page is the one after which "
        "nothing comes."
    )
    made = watched.call(answer, case, KEY, size)
    got = listed(made, case, len(expected) + 2, "return a list of pages, or yield them one by one.")
    if got and all(map(is_entry, got)):
        raise Objection(f"{case} it returned entries, not pages of them.", "return a list of lists: [page, page, …].")
    if not all(isinstance(page, list | tuple) and all(map(is_entry, page)) for page in got):
        hint = "a page is what XRANGE returns."
        raise Objection(f"{case} one of the pages is no list of entries: {shown(got)}.", hint)
    longest = max([_longest_reply(watched), *map(len, got)])
    if longest > size:
        hint = "give XRANGE a count: a stream may be larger than the memory of whoever reads it."
        raise Objection(f"{case} it fetched {longest} entries at once.", hint)
    twice = "the next page begins after the last id of this one."
    if watched.is_used("XRANGE", "XREVRANGE"):
        twice = "XRANGE includes the id that it begins with, unless ( stands before it."
    compare(
        [entry for page in got for entry in page],
        expected,
        case,
        twice=twice,
        order="from the oldest on, as XRANGE gives them. A page begins after the whole last id, 1000-1 and not 1000: "
        "several entries may have the same millisecond.",
        missing="go on, page after page, until nothing comes.",
    )
    if not all(got):
        raise Objection(f"{case} one of the pages is empty.", "stop before you hand that one out.")


def _longest_reply(watched: WatchedRedis) -> int:
    """Return how many entries a command fetched at the most."""
    ranges = [len(c.reply or ()) for c in watched.commands if c.name in ("XRANGE", "XREVRANGE")]
    reads = [len(entries) for c in watched.commands if c.name == "XREAD" for _, entries in c.reply or ()]
    return max([*ranges, *reads, 0])


@judged
def bookmark(answer: object) -> Verdict:
    """Check a function with which a reader follows a stream (``XREAD``) and misses nothing.

    ``answer(client, key, last_id)`` is to return the entries after `last_id`, and the `last_id` for the next call.
    """
    for seed in range(3):
        _check_bookmark(answer, Trial(seed))
    return Verdict(True, "Three streams, read while they grew: nothing missed, nothing twice.")


def _check_bookmark(answer: object, trial: Trial) -> None:
    last_id, got = "0", list[Entry]()
    watched = trial.watched
    watched.before = _must_not_wait
    watched.endless = "one XREAD without COUNT brings all that is there: it need not be asked again."
    for n_entries in [0, 2, 0, *(trial.random.randrange(4) for _ in range(9)), 1]:
        trial.add(n_entries)
        watched.commands.clear()
        case = f"With {count_of(n_entries)} after {last_id},"
        said = watched.call(answer, case, KEY, last_id)
        if not (isinstance(said, tuple | list) and len(said) == 2):
            raise returned(said, case, "return two things: entries, last_id.")
        entries, next_id = said
        if isinstance(entries, str) or not isinstance(entries, Iterable):
            raise returned(said, case, "return the entries first, then the last_id.")
        entries = listed(entries, case, len(trial.entries()) + 2, "return the entries first, then the last_id.")
        if not all(map(is_entry, entries)):
            hint = "XREAD replies with a list for each stream: reply[0][1] is that of the entries."
            raise Objection(f"{case} these are not entries: {shown(entries)}.", hint)
        if not entries and not _same_id(next_id, last_id):
            raise Objection(
                f"{case} it returned no entry, and {shown(next_id)} as the new bookmark.",
                "the bookmark moves only when something was read: else return last_id as it was. "
                "From $, an entry that comes before the next call is missed.",
            )
        got += entries
        compare(
            got,
            trial.entries(),
            case,
            twice="XREAD gives what comes after last_id; XRANGE includes it, unless ( stands before it.",
            order="XREAD gives all that comes after last_id, the oldest first: ask for it with the last_id that "
            "was given.",
            missing="return all that is there: XREAD without COUNT, from the last_id that was given.",
        )
        if got and not _same_id(next_id, got[-1][0]):
            hint = "the bookmark is the id of the last entry that was read: entries[-1][0]."
            raise Objection(f"{case} the new bookmark is {shown(next_id)}; the last entry was {got[-1][0]}.", hint)
        last_id = str(next_id)


def _same_id(said: object, entry_id: str) -> bool:
    """Return whether an answer means this id; 0 is 0-0."""
    ids = [parse_id(text) for text in (str(said), entry_id)]
    return None not in ids and ids[0] == ids[1]


def _must_not_wait(command: Command, args: Sequence[Any]) -> Sequence[Any]:
    if command.option("BLOCK") is not None:
        hint = "leave out block=: it is to return what is there, without waiting."
        raise Stop(Objection(f"It waits for entries ({command.name} with BLOCK).", hint))
    return args
