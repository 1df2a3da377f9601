"""The verdict on the exercise about heartbeats: a function that renews what a consumer holds."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any, Final

import redis

from streamlab.embedded import EmbeddedServer
from streamlab.records import PendingEntry, parse_pending_range
from streamlab.verdict import Objection, Verdict, nothing_yet

KEY: Final = "jobs"
GROUP: Final = "press"
#: What all pending entries have been idle for when the answer is called, and are at most once renewed.
_IDLE_MS: Final = 60_000
_RENEWED_MS: Final = 30_000
#: An XPENDING and an XCLAIM for each entry are fewer.
_MOST_COMMANDS: Final = 1_000
#: Entries of each trial: the consumer holds a handful, then nothing, then more than a page of 100.
_TRIALS: Final = (20, 0, 400)


def heartbeat(answer: object) -> Verdict:
    """Check a function that renews what a consumer holds (``XPENDING``, ``XCLAIM … JUSTID``).

    ``answer(client, key, group, consumer)`` is to reset the idle time of all that is pending for `consumer`, to
    leave delivery counts and all that is pending for others alone, and to return the ids that it still holds:
    those of entries that are gone from the stream are not among them.
    """
    try:
        for n_entries in _TRIALS:
            _check(answer, _Trial(n_entries))
    except Objection as objection:
        return objection.verdict
    return Verdict(
        True,
        "Three streams: all that it holds is renewed, nothing is counted, and nothing of others is touched.",
    )


class _Watched(redis.Redis):
    """A client for the learner's function, which takes note of what it sends."""

    sent: list[list[str]]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self.sent.append([str(argument) for argument in args])
        if len(self.sent) > _MOST_COMMANDS:
            raise Objection(
                f"After {_MOST_COMMANDS:,} commands it was still asking.",
                "where does the next XPENDING begin? Behind the last id of the page before: (id.",
            )
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def used(self, *names: str) -> bool:
        """Tell whether a command of one of these names was sent."""
        return any(args[0].upper() in names for args in self.sent)


class _Trial:
    """A stream whose entries are pending for ann, bob and cem in turns, for a minute; some of ann's are gone."""

    def __init__(self, n_entries: int) -> None:
        server, rng = EmbeddedServer(), random.Random(n_entries)
        self.client = client = server.client()
        watched = server.client(_Watched)
        assert isinstance(watched, _Watched)
        self.watched = watched
        watched.sent = []
        client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
        for n in range(1, n_entries + 1):
            client.xadd(KEY, {"number": n}, id=f"{n}-0")
        for n in range(n_entries // 2):  # the rest stays undelivered
            name = ("ann", "bob", "ann", "cem")[n % 4]
            client.xreadgroup(GROUP, name, {KEY: ">"}, count=rng.randint(1, 2))
        ids: list[Any] = [row.id for row in self.pending().values() if row.consumer == "ann"]
        self.again = ids[: len(ids) // 3]  # delivered more than once
        self.gone = sorted(rng.sample(ids, min(len(ids), 3)))
        for entry_id, row in self.pending().items():
            count = 3 if entry_id in self.again else 1
            client.xclaim(
                KEY, GROUP, row.consumer, 0, [entry_id], idle=_IDLE_MS, retrycount=count, justid=True
            )  # fmt: skip
        if self.gone:
            client.xdel(KEY, *self.gone)
        self.before = self.pending()

    def pending(self) -> dict[str, PendingEntry]:
        reply: Any = self.client.xpending_range(KEY, GROUP, "-", "+", 10_000)
        return {row.id: row for row in parse_pending_range(reply)}


def _check(answer: object, trial: _Trial) -> None:
    mine = [entry_id for entry_id, row in trial.before.items() if row.consumer == "ann"]
    kept = [entry_id for entry_id in mine if entry_id not in trial.gone]
    case = (
        f"With {len(mine)} entries pending for ann, and {len(trial.before) - len(mine)} for others,"
    )
    said = _call(answer, case, trial, is_empty=not mine)
    after = trial.pending()
    _check_others(case, trial, after)
    _check_own(case, trial, kept, after)
    if not isinstance(said, list | tuple | set) or not all(isinstance(each, str) for each in said):
        shown = f"{said!r:.80}"
        raise Objection(
            f"{case} it returned {shown}.", "return a list of ids, which is what XCLAIM … JUSTID gives."
        )  # fmt: skip
    if ghosts := [entry_id for entry_id in said if entry_id in trial.gone]:
        raise Objection(
            f"{case} it returned {ghosts[0]}, which is gone from the stream.",
            "XCLAIM passes over such entries: return what XCLAIM gave, not what XPENDING listed.",
        )
    if sorted(said) != sorted(kept):
        raise Objection(
            f"{case} it returned {len(said)} ids; {len(kept)} are still its own.",
            "return what each XCLAIM gave, all of it, each once.",
        )


def _check_others(case: str, trial: _Trial, after: dict[str, PendingEntry]) -> None:
    """Object if anything changed for anybody but ann."""
    for entry_id, row in after.items():
        before = trial.before.get(entry_id)
        if before is None:
            raise Objection(
                f"{case} it was given a new entry, {entry_id}.",
                "a heartbeat renews what is held: XREADGROUP with > has no place in it.",
            )
        if before.consumer != "ann" and row.consumer != before.consumer:
            raise Objection(
                f"{case} it took {entry_id} from {before.consumer}.",
                "XAUTOCLAIM takes from everybody: find out what is ann's by XPENDING, and XCLAIM that."
                if trial.watched.used("XAUTOCLAIM")
                else "XPENDING lists everybody's entries unless it is given a consumer.",
            )
        if row.consumer != "ann" and row.idle_ms < _RENEWED_MS:
            raise Objection(
                f"{case} it renewed {entry_id}, which is {row.consumer}'s: what if {row.consumer} is dead?",
                "renew for one's own name only.",
            )
    missing = [entry_id for entry_id in trial.before.keys() - after.keys()]
    if taken := sorted(set(missing) - set(trial.gone)):
        raise Objection(
            f"{case} {taken[0]} is not pending any more.",
            "a heartbeat acknowledges nothing: the work is still under way.",
        )


def _check_own(case: str, trial: _Trial, kept: list[str], after: dict[str, PendingEntry]) -> None:
    """Object if something of ann's was not renewed, or was counted."""
    watched = trial.watched
    stale = [entry_id for entry_id in kept if after[entry_id].idle_ms >= _RENEWED_MS]
    counted = [i for i in kept if after[i].delivery_count != trial.before[i].delivery_count]
    if counted:
        one = counted[0]
        raise Objection(
            f"{case} the delivery count of {one} went from {trial.before[one].delivery_count} to "
            f"{after[one].delivery_count}.",
            "reading the own history is a delivery, and counts as one: XPENDING only looks."
            if watched.used("XREADGROUP")
            else "RETRYCOUNT sets the count: leave it out."
            if any("RETRYCOUNT" in args for args in watched.sent)
            else "without JUSTID, XCLAIM counts a delivery, and a few heartbeats reach any retry limit.",
        )
    if not stale:
        return
    if not watched.used("XCLAIM", "XAUTOCLAIM"):
        hint = "XPENDING only looks; XCLAIM for the own name resets the idle time."
    elif any(_min_idle_ms(args) > 0 for args in watched.sent):
        hint = (
            "a min-idle above 0 (milliseconds) passes over what is not idle for so long: for what is one's own "
            "it is 0."
        )
    elif len(stale) < len(kept):
        hint = "XPENDING shows as many as its COUNT allows: go on behind the last id, until it shows nothing."
    else:
        hint = "XCLAIM for the own name, with min-idle 0, resets the idle time."
    raise Objection(
        f"{case} {len(stale)} of {len(kept)} were not renewed, {stale[0]} the first.", hint
    )


def _min_idle_ms(args: list[str]) -> float:
    """Return the min-idle of a claim; 0 for other commands."""
    is_claim = args[0].upper() in ("XCLAIM", "XAUTOCLAIM") and len(args) > 4
    return float(args[4]) if is_claim else 0.0


def _call(answer: object, case: str, trial: _Trial, *, is_empty: bool) -> Any:
    """Call the learner's function; what goes wrong in it is told in words."""
    if answer is ...:
        raise nothing_yet()
    if not callable(answer):
        raise Objection(
            f"{answer!r:.80} is not a function.", "it begins with def renew(client, …)."
        )
    if inspect.iscoroutinefunction(answer):
        raise Objection("It is an async function.", "the client is not: write def, without async.")
    function: Callable[..., Any] = answer
    try:
        said = function(trial.watched, KEY, GROUP, "ann")
    except Objection:
        raise
    except Exception as error:  # whatever a learner's function may do
        raise Objection(
            f"{case} it raised {type(error).__name__}: {error}", _why(error, is_empty)
        ) from error
    if said is ...:
        raise nothing_yet()
    return said


def _why(error: Exception, is_empty: bool) -> str:
    words = str(error)
    if is_empty and isinstance(error, redis.RedisError | IndexError):
        return "mind the case that it holds nothing: XCLAIM needs at least one id."
    if isinstance(error, redis.ResponseError):
        return "XPENDING key group - + COUNT consumer; XCLAIM key group consumer 0 id … JUSTID: compare yours."
    if isinstance(error, TypeError) and "unexpected keyword" in words:
        return "redis-py calls them xpending_range(…, consumername=…) and xclaim(…, justid=True)."
    return "it is called as renew(client, key, group, consumer); try it in a cell of its own."


__all__ = ["heartbeat"]
