"""A verdict on the function that takes over what others left: all of it, to the end of a long list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from streamlab.checks.attempts import count_of, listed, shown
from streamlab.checks.trial_streams import GROUP, KEY, Entry, Trial, is_entry
from streamlab.checks.watched import Command, WatchedRedis
from streamlab.results.verdict import Objection, Verdict, judged

#: What the client makes of a larger COUNT for XAUTOCLAIM: it is the most that may come, and no promise.
_PAGE: Final = 10
_IDLE_MS: Final = 60_000
_MIN_IDLE_MS: Final = 30_000
_AT_WORK_MS: Final = 5_000
#: More than this, and the list of the last trial would take too long to make.
_LONGEST_LIST: Final = 2_500


@judged
def take_over(answer: object) -> Verdict:
    """Check a function that takes over what others left (``XAUTOCLAIM`` until the cursor is ``0-0``).

    ``answer(client, key, group, consumer, min_idle_ms)`` is to make `consumer` the owner of all that has been idle for
    so long, whoever had it, and to return these entries. Its client looks at 100 entries for one XAUTOCLAIM at the
    most, as Redis does with COUNT 10, so that lists need not be very long to be long.
    """
    page = 0
    # How many are at work before those that are idle, again and again.
    for seed, stretches in enumerate(((250, 3, 40), (0, 2, 260, 4), (7, 9, 230, 12, 120, 8, 60))):
        page = max(page, _check_take_over(answer, Trial(seed), stretches))
    if page:  # XPENDING has pages, too
        _check_take_over(answer, Trial(9), (5, min(page, _LONGEST_LIST) + 7, 5))
    return Verdict(True, "Long lists: all that was idle, to its end, and nothing else.")


def _check_take_over(answer: object, trial: Trial, stretches: Sequence[int]) -> int:
    """Try it on a list where entries at work and idle ones take turns; return how many rows XPENDING was asked for."""
    client, watched = trial.client, trial.watched
    client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
    trial.add(sum(stretches))
    client.xreadgroup(GROUP, "bob", {KEY: ">"})
    entries = trial.entries()
    marks = [n % 2 == 1 for n, length in enumerate(stretches) for _ in range(length)]
    idle = [entry for entry, is_idle in zip(entries, marks, strict=True) if is_idle]
    ids = [entry_id for entry_id, _ in idle]
    at_work: Any = [entry_id for entry_id, _ in entries if entry_id not in set(ids)]
    owners = {entry_id: trial.random.choice(("cem", "dan")) for entry_id in ids}
    for name in ("cem", "dan"):
        theirs: Any = [entry_id for entry_id in ids if owners[entry_id] == name]
        if theirs:
            client.xclaim(KEY, GROUP, name, 0, theirs, idle=_IDLE_MS, justid=True)
    client.xclaim(KEY, GROUP, "bob", 0, at_work, idle=_AT_WORK_MS, justid=True)
    watched.before = lambda command, args: command.with_count(args, _PAGE) if command.name == "XAUTOCLAIM" else args
    watched.most_commands = 300 + 4 * len(entries)
    watched.endless = (
        'the walk ends when the cursor is the text "0-0"; until then XAUTOCLAIM begins at the cursor that it returned.'
    )
    case = f"With {len(ids)} idle among {len(entries):,} pending,"
    said = watched.call(answer, case, KEY, GROUP, "ann", _MIN_IDLE_MS)
    said = listed(said, case, len(entries) + 2, "return the entries as a list.")
    held = trial.pending()
    for entry_id, _ in entries:
        if entry_id not in held:
            hint = "it is to be taken over, not acknowledged: the work on it is still to be done."
            raise Objection(f"{case} {entry_id} is not pending any more.", hint)
        if entry_id not in owners and held[entry_id] != "bob":
            raise Objection(f"{case} it took {entry_id} from bob, who is working on it.", _about_min_idle(watched))
    left = [entry_id for entry_id in ids if held[entry_id] != "ann"]
    if left:
        raise Objection(f"{case} {count_of(len(left))} were left, {left[0]} the first.", _about_the_end(watched))
    _check_returned(said, idle, case)
    rows: Any = client.xpending_range(KEY, GROUP, "-", "+", len(entries), "ann")
    for row in rows:
        if row["times_delivered"] < 2:
            raise Objection(
                f"{case} the delivery count of {row['message_id']} is {row['times_delivered']}; it was delivered a "
                "second time.",
                "JUSTID does not count: without a count, no limit is ever reached.",
            )
    return max([_page_of(command) for command in watched.commands], default=0)


def _page_of(command: Command) -> int:
    """Return how many rows an XPENDING asks for that lists entries one by one; 0 for all else."""
    if command.name != "XPENDING" or len(command.words) < 6:
        return 0
    words = command.words[3:]
    if words[0].upper() == "IDLE":
        words = words[2:]
    return int(words[2]) if len(words) > 2 and words[2].isdecimal() else 0


def _about_min_idle(watched: WatchedRedis) -> str:
    """Return a hint for one who took what was not idle."""
    by = "XAUTOCLAIM" if watched.is_used("XAUTOCLAIM") else "XCLAIM"
    given = [c.words[4] for c in watched.commands if c.name == by and len(c.words) > 4]
    if any(word not in ("0", str(_MIN_IDLE_MS)) for word in given):
        return f"{by} takes min_idle in milliseconds, and so it is given: hand it on as it is."
    return f"{by} is given min_idle, and leaves alone what has not been idle for so long."


def _about_the_end(watched: WatchedRedis) -> str:
    """Return a hint for one who did not come to the end of the list, by how the search ended."""
    calls = [c for c in watched.commands if c.name == "XAUTOCLAIM" and len(c.words) > 5]
    if calls:
        return _about_the_walk(calls)
    asked = [c for c in watched.commands if _page_of(c)]
    if asked and isinstance(asked[-1].reply, list) and len(asked[-1].reply) >= _page_of(asked[-1]):
        return (
            f"XPENDING gave {len(asked[-1].reply)} rows, as many as it was asked for: there may be more. Go on after "
            "the last id, with ( before it, until fewer come; with IDLE it lists only what is idle."
        )
    if asked:
        return "XCLAIM each id that XPENDING with IDLE lists, with the min_idle that was given."
    return "XAUTOCLAIM finds and takes what is idle; or XPENDING with IDLE finds it, and XCLAIM takes it."


def _about_the_walk(calls: Sequence[Command]) -> str:
    last = calls[-1]
    if len(calls) > 1 and all(c.words[5] == calls[0].words[5] for c in calls):
        return (
            f"each XAUTOCLAIM began at {last.words[5]} again: begin the next one at the cursor that the "
            "last one returned."
        )
    is_pair = isinstance(last.reply, list | tuple) and len(last.reply) >= 2
    cursor, page = (str(last.reply[0]), last.reply[1]) if is_pair else ("", [])
    if cursor not in ("", "0-0") and not page:
        return (
            f"the last page was empty, and its cursor {cursor}: a page may be empty before the list has ended. Go on "
            "until the cursor is 0-0."
        )
    if cursor not in ("", "0-0"):
        return (
            f"the last XAUTOCLAIM returned the cursor {cursor}: there is more. Begin the next one there, until "
            "the cursor is 0-0. COUNT promises nothing: Redis looks at ten times as many entries at the most."
        )
    if any(c.words[4] != str(_MIN_IDLE_MS) for c in calls):
        return "XAUTOCLAIM takes min_idle in milliseconds, and so it is given: hand it on as it is."
    return "XAUTOCLAIM returns a cursor: begin the next one there, until the cursor is 0-0."


def _check_returned(said: Sequence[Any], idle: Sequence[Entry], case: str) -> None:
    """Object to anything but the entries that were taken over, in whatever order."""
    for item in said:
        if not is_entry(item):
            raise Objection(
                f"{case} it returned {shown(item)} among others, which is no entry.",
                "return a list of entries, as XAUTOCLAIM and XCLAIM give them: (id, fields). With JUSTID they give ids "
                "only.",
            )
    ids = [entry_id for entry_id, _ in said]
    for entry_id, fields in idle:
        if entry_id not in ids:
            words = f"{case} {entry_id} was taken over, and is not among the {len(ids)} entries that it returned."
            raise Objection(words, "return what all the pages brought, not only the last one.")
        if said[ids.index(entry_id)][1] != fields:
            raise Objection(f"{case} {entry_id} is not as it is in the stream.", "(id, fields)")
    if len(ids) > len(idle):
        twice = next((i for i in ids if ids.count(i) > 1), ids[-1])
        raise Objection(f"{case} it returned {twice} twice, or for nothing.", "each entry once.")
