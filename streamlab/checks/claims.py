"""The verdict on the exercise about heartbeats: a function that renews what a consumer holds."""

from __future__ import annotations

from typing import Any, Final

from streamlab.checks.attempts import listed, shown
from streamlab.checks.trial_streams import GROUP, KEY, Trial
from streamlab.checks.watched import Command
from streamlab.model.records import PendingEntry, parse_pending_range
from streamlab.results.verdict import Objection, Verdict, judged

#: What all pending entries have been idle for when the answer is called, and are at most once renewed.
_IDLE_MS: Final = 60_000
_RENEWED_MS: Final = 30_000
#: An XPENDING and an XCLAIM for each entry are fewer.
_MOST_COMMANDS: Final = 1_000
#: Entries of each trial: the consumer holds a handful, then nothing, then more than a page of 100.
_TRIALS: Final = (20, 0, 400)


@judged
def heartbeat(answer: object) -> Verdict:
    """Check a function that renews what a consumer holds (``XPENDING``, ``XCLAIM … JUSTID``).

    ``answer(client, key, group, consumer)`` is to reset the idle time of all that is pending for `consumer`, to
    leave delivery counts and all that is pending for others alone, and to return the ids that it still holds:
    those of entries that are gone from the stream are not among them.
    """
    for n_entries in _TRIALS:
        _check(answer, _Trial(n_entries))
    words = "Three streams: all that it holds is renewed, nothing is counted, and nothing of others is touched."
    return Verdict(True, words)


class _Trial(Trial):
    """A stream whose entries are pending for ann, bob and cem, for a minute; some of ann's are gone from it."""

    def __init__(self, n_entries: int) -> None:
        super().__init__(n_entries)
        client, rng = self.client, self.random
        self.watched.most_commands = _MOST_COMMANDS
        self.watched.endless = (
            "where does the next XPENDING begin? Behind the last id of the page before: f'({last_id}'."
        )
        client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
        for n in range(1, n_entries + 1):
            client.xadd(KEY, {"number": n}, id=f"{n}-0")
        for n in range(n_entries // 2):  # the rest stays undelivered
            name = ("ann", "bob", "ann", "cem")[n % 4]
            client.xreadgroup(GROUP, name, {KEY: ">"}, count=rng.randint(1, 2))
        ids: list[Any] = [row.id for row in self.rows().values() if row.consumer == "ann"]
        again = ids[: len(ids) // 3]  # delivered more than once
        self.gone = rng.sample(ids, min(len(ids), 3))
        for entry_id, row in self.rows().items():
            client.xclaim(
                KEY, GROUP, row.consumer, 0, [entry_id], idle=_IDLE_MS, justid=True,
                retrycount=3 if entry_id in again else 1,
            )  # fmt: skip
        if self.gone:
            client.xdel(KEY, *self.gone)
        self.before = self.rows()
        self.own = [row.id for row in self.before.values() if row.consumer == "ann"]
        self.kept = [entry_id for entry_id in self.own if entry_id not in self.gone]
        others = len(self.before) - len(self.own)
        self.case = f"With {len(self.own)} entries pending for ann, and {others} for others,"

    def rows(self) -> dict[str, PendingEntry]:
        reply: Any = self.client.xpending_range(KEY, GROUP, "-", "+", 10_000)
        return {row.id: row for row in parse_pending_range(reply)}

    def object(self, words: str, hint: str) -> Objection:
        return Objection(f"{self.case} {words}", hint)


def _check(answer: object, trial: _Trial) -> None:
    said = _said(answer, trial)
    after = trial.rows()
    _check_others(trial, after)
    _check_counts(trial, after)
    _check_idle_times(trial, after)
    wanted = "return a list of the ids that it still holds, which is what XCLAIM … JUSTID gives."
    ids = listed(said, trial.case, len(trial.before) + 1, wanted)
    if strange := [each for each in ids if not isinstance(each, str)]:
        raise trial.object(f"it returned {shown(strange[0])} among others, which is no id.", wanted)
    if ghosts := [entry_id for entry_id in ids if entry_id in trial.gone]:
        hint = "XCLAIM passes over such entries: return what XCLAIM gave, not what XPENDING listed."
        raise trial.object(f"it returned {ghosts[0]}, which is gone from the stream.", hint)
    if sorted(ids) != sorted(trial.kept):
        hint = "return what every XCLAIM gave, each id once."
        raise trial.object(f"it returned {len(ids)} ids, and {len(trial.kept)} are still its own.", hint)


def _said(answer: object, trial: _Trial) -> Any:
    """Call the answer; what goes wrong because there is nothing to be renewed is told as such."""
    try:
        return trial.watched.call(answer, trial.case, KEY, GROUP, "ann")
    except Objection as objection:
        told = ("message_ids must be", "wrong number of arguments", "IndexError")
        if trial.own or not any(words in objection.verdict.words for words in told):
            raise
        hint = "mind the case that it holds nothing: XCLAIM needs at least one id."
        raise Objection(objection.verdict.words, hint) from None


def _check_others(trial: _Trial, after: dict[str, PendingEntry]) -> None:
    """Object if anything changed for anybody but ann, or if something is not pending any more."""
    for entry_id, row in after.items():
        before = trial.before.get(entry_id)
        if before is None:
            hint = "a heartbeat renews what is held: XREADGROUP with > has no place in it."
            raise trial.object(f"it was given a new entry, {entry_id}.", hint)
        if row.consumer != before.consumer:
            hint = "XPENDING lists everybody's entries, unless it is given a consumer (consumername=)."
            if trial.watched.is_used("XAUTOCLAIM"):
                hint = "XAUTOCLAIM takes from everybody: find out by XPENDING what is ann's, and XCLAIM that."
            raise trial.object(f"it took {entry_id} from {before.consumer}.", hint)
        if row.consumer != "ann" and row.idle_ms < _RENEWED_MS:
            hint = f"if {row.consumer} is dead, nobody will ever take that over: renew for one's own name only."
            raise trial.object(f"it renewed {entry_id}, which is {row.consumer}'s.", hint)
    missing = trial.before.keys() - after.keys() - set(trial.gone)
    if missing:
        hint = "a heartbeat acknowledges nothing: the work is still under way."
        raise trial.object(f"{min(missing)} is not pending any more.", hint)


def _check_counts(trial: _Trial, after: dict[str, PendingEntry]) -> None:
    for entry_id in trial.kept:
        before, now = trial.before[entry_id].delivery_count, after[entry_id].delivery_count
        if now == before:
            continue
        if trial.watched.is_used("XREADGROUP"):
            hint = "reading the own history is a delivery, and counts as one: XPENDING only looks."
        elif any(command.position("RETRYCOUNT") for command in trial.watched.commands):
            hint = "RETRYCOUNT sets the count: leave it out."
        else:
            hint = "without JUSTID, XCLAIM counts a delivery: a few heartbeats would reach any retry limit."
        raise trial.object(f"the delivery count of {entry_id} went from {before} to {now}.", hint)


def _check_idle_times(trial: _Trial, after: dict[str, PendingEntry]) -> None:
    stale = [entry_id for entry_id in trial.kept if after[entry_id].idle_ms >= _RENEWED_MS]
    if not stale:
        return
    claims = [c for c in trial.watched.commands if c.name in ("XCLAIM", "XAUTOCLAIM")]
    hint = "XCLAIM for the own name, with min-idle 0, resets the idle time."
    if not claims:
        hint = f"XPENDING only looks; {hint}"
    elif any(_min_idle_ms(command) > 0 for command in claims):
        hint = (
            "a min-idle above 0 (milliseconds) passes over what has not been idle for so long: for one's own entries "
            "it is 0."
        )
    elif len(stale) < len(trial.kept):
        hint = (
            "XPENDING shows at most as many as its COUNT: go on behind the last id, with ( before it, until it shows "
            "nothing."
        )
    raise trial.object(f"{len(stale)} of {len(trial.kept)} were not renewed, {stale[0]} the first.", hint)


def _min_idle_ms(claim: Command) -> int:
    return int(claim.words[4]) if len(claim.words) > 4 and claim.words[4].isdecimal() else 0
