"""What went wrong in a run of a learner's consumer, in words, and a hint that fits: by events, and by its commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from streamlab.actors.events import ACKED, CLAIMED, DELIVERED, FAILED, PROCESSED
from streamlab.checks.consumer_watch import Life, Watch
from streamlab.checks.unexpected_ends import Diagnosis, about_unknown
from streamlab.results.events import Event
from streamlab.results.evidence import Evidence
from streamlab.results.invariants import INVARIANTS, NEEDLESS, examine_one
from streamlab.results.run import Run
from streamlab.results.stories import story_of
from streamlab.results.verdict import Verdict
from streamlab.scenario.actions import Poison

#: What is not asked of a consumer of one's own: delivery counts that rise, and what the server itself tells.
_NOT_ASKED: Final = ("I5", "I7", "I8")
#: Milliseconds of min-idle that are more likely to be seconds.
_SECONDS: Final = 5
#: Seconds without a command after which a consumer is said to wait for something else.
_SILENT: Final = 5.0

_NOTHING_COMES_BACK: Final = (
    "nothing is redelivered by itself: read its own history to its end, and claim what others left."
)
_ALL_DEAD: Final = (
    "all consumers are dead, some by an error of their handler: catch it, leave the entry pending, and go on."
)
_ASK_ON: Final = "Begin the next one at the cursor, until it is 0-0."
#: Milliseconds for which no lock is waited for.
_FOR_LONG: Final = 2_000


def diagnosis(run: Run, watch: Watch, *, is_cut_short: bool = False) -> Diagnosis | None:
    """Return what went wrong in a run of a learner's consumer; None if nothing did.

    Of a run that was cut short, only what can be told already: what was acknowledged before it was processed.
    """
    evidence = Evidence(run.scenario, run.events, run.final, run.ledger)
    broken = {
        rule: verdict
        for rule in INVARIANTS
        if (rule == "I3" if is_cut_short else rule not in _NOT_ASKED) and not (verdict := examine_one(rule, evidence))
    }
    case = _Case(run, watch, evidence, broken)
    found = next(case.findings(is_cut_short), None)
    if found is None:
        return None
    if hint := case.about_names() or case.about_locks():
        found = replace(found, hint=hint)
    if watch.not_awaited:
        verdict = watch.about_await().verdict
        return Diagnosis(verdict.words, verdict.hint, found.story)
    if watch.unknown:
        return Diagnosis(found.words, f"{about_unknown(watch)} {found.hint}", found.story)
    return found


class _Case:
    """A run that may have gone wrong, and all that is known of it."""

    def __init__(self, run: Run, watch: Watch, evidence: Evidence, broken: dict[str, Verdict]) -> None:
        self.run, self.watch, self.evidence, self.broken = run, watch, evidence, broken
        self.service_ms = run.scenario.consumers[0].service.mean * 1000

    def findings(self, is_cut_short: bool) -> Iterator[Diagnosis]:
        """Yield what is wrong; what explains most comes first."""
        tell = {
            "I1": self.lost, "I3": self.acked_early, "I2": self.by_rule, "given": self.not_given,
            NEEDLESS: self.needless,
        }  # fmt: skip
        for rule, told in tell.items():
            if rule in self.broken:
                yield told(self.broken[rule])
        if is_cut_short:
            return
        yield from self.done_twice()
        final = self.run.final
        is_poisoned = any(isinstance(f, Poison) for f in self.run.scenario.faults)
        if "I6" in self.broken or (not is_poisoned and (final.pending or final.undelivered)):
            yield self.stuck(self.broken.get("I6"))
        if "I6, in time" in self.broken:
            yield self.late(self.broken["I6, in time"])
        yield from map(self.by_rule, self.broken.values())

    def by_rule(self, verdict: Verdict, hint: str = "") -> Diagnosis:
        return Diagnosis(f"{verdict.words}.", hint or verdict.hint, verdict.story)

    def events(self, entry_id: str, *kinds: str) -> list[Event]:
        return [e for e in self.evidence.events_of(entry_id) if e.kind in kinds]

    # ---- whatever it led to --------------------------------------------------------------------

    def about_names(self) -> str:
        """Return what to say of consumers of one name; nothing if each has its own."""
        by_name: dict[str, set[str]] = {}
        for consumer, lives in self.watch.lives.items():
            for name in (name for life in lives for name in life.names):
                by_name.setdefault(name, set()).add(consumer)
        shared = next((name for name, of in by_name.items() if len(of) > 1), "")
        return shared and (
            f"{len(by_name[shared])} consumers read by one name, {shared}: what is pending for one is pending for all, "
            "and each takes it for its own history. Give each a name of its own, which it keeps when it starts again."
        )

    def about_locks(self) -> str:
        """Return what to say of a key that was set with NX by one that is dead, and keeps others out; else nothing."""
        for lock in self.watch.locks.values():
            holder = lock.life.consumer
            lives_on = holder in self.evidence.living and lock.life is self.watch.last_life(holder)
            if lives_on or not lock.kept_out:
                continue
            if lock.left_ms == -1:
                last = "and it never expires: nobody can take it any more, and nobody takes up what it stands for"
            elif lock.left_ms > _FOR_LONG:
                last = f"and it expires only in {lock.left_ms / 1000:.0f} s: until then nobody can take it"
            else:
                continue
            return (
                f"{holder} had taken the lock {lock.key!r} (SET … NX) and died; it is still there, {last}. "
                "A process that dies forgets its locks: let them expire soon (lock(…, timeout=…), SET … NX PX), and "
                "renew them while the work goes on."
            )
        return ""

    # ---- acknowledged too early, or lost -------------------------------------------------------

    def acked_early(self, verdict: Verdict) -> Diagnosis:
        entry_id = next(i for i in self.run.ledger.acked_early if i in verdict.words)
        hint = "XACK after the effect: else a crash between the two loses the entry."
        acked = self.events(entry_id, ACKED)[0]
        if any(event.at <= acked.at for event in self.events(entry_id, FAILED)):
            hint = (
                "its handler had failed, and XACK came all the same: what was not done must not be acknowledged. Leave "
                "it pending, and go on; it comes again, by its own history or by XAUTOCLAIM."
            )
        elif not self.watch.handled[entry_id]:
            hint = f"await handler(entry_id, fields) does the work. {hint}"
        return self.by_rule(verdict, hint)

    def lost(self, verdict: Verdict) -> Diagnosis:
        watch, hint = self.watch, ""
        late_starts = [i for i in watch.created_at if i not in ("0", "0-0")]
        if "I3" in self.broken:
            hint = self.acked_early(self.broken["I3"]).hint
        elif watch.uses["NOACK"]:
            hint = "with NOACK no entry is ever pending: if its consumer dies, nothing remembers it. Leave it out."
        elif late_starts:
            hint = (
                f"the group was made again at {late_starts[0]}: what had been added by then, and not delivered, never "
                "comes. Begin at 0, or at an id up to which all is done; what comes twice does no harm."
            )
        elif watch.uses["XDEL"] or watch.uses["XTRIM"]:
            hint = "XDEL and XTRIM take entries away from all groups: only what is done may go."
        elif self.evidence.resets and not watch.created_at:
            hint = "the group was destroyed, and not made again: XGROUP CREATE … 0 MKSTREAM."
        return self.by_rule(verdict, hint)

    def not_given(self, verdict: Verdict) -> Diagnosis:
        hint = "process what XREADGROUP, XCLAIM or XAUTOCLAIM gives to this consumer, and nothing else."
        return self.by_rule(verdict, hint)

    # ---- done twice ----------------------------------------------------------------------------

    def needless(self, verdict: Verdict) -> Diagnosis:
        given = min(self.watch.min_idles, default=0)
        words = f"{verdict.words.partition(': it took')[0]}, while nothing was wrong with it."
        hint = (
            f"min-idle is {given:g} ms there. It has to exceed the longest time for an entry ({self.service_ms:g} ms), "
            "times as many as were prefetched with it (COUNT); or a heartbeat has to renew what is held."
        )
        if 0 < given < _SECONDS:
            hint = f"Redis takes min-idle in milliseconds: {hint}"
        return Diagnosis(words, hint, verdict.story)

    def done_twice(self) -> Iterator[Diagnosis]:
        """Find what one life of a consumer has processed twice, though nothing had happened to it meanwhile."""
        for entry_id in self.run.ledger.processed_again:
            given: dict[str, float] = {}
            done: dict[str, float] = {}  # by consumer: when it was given what it has processed
            for event in self.events(entry_id, DELIVERED, CLAIMED, PROCESSED):
                name = event.actor
                if event.kind != PROCESSED:
                    given[name] = event.at
                    if event.kind == CLAIMED:
                        done.clear()
                elif name in done and self.was_well(name, done[name], event.at):
                    words = f"entry {entry_id} was processed twice by {name}, and nothing had gone wrong."
                    hint = (
                        "call the handler once for each time that an entry is given, and XACK it then: until it is "
                        "acknowledged, its own history gives it again."
                    )
                    yield Diagnosis(words, hint, self.story(entry_id))
                    break
                else:
                    done[name] = given.get(name, event.at)

    def was_well(self, name: str, begin: float, end: float) -> bool:
        """Return whether nothing befell a consumer between two moments, nor did its handler fail."""
        failed = any(
            begin <= e.at <= end and e.actor == name for i in self.watch.failed for e in self.events(i, FAILED)
        )
        return not failed and self.evidence.was_well(name, begin, end)

    def story(self, entry_id: str) -> tuple[str, ...]:
        return story_of(entry_id, self.run.events, self.run.final)

    # ---- left ----------------------------------------------------------------------------------

    def stuck(self, verdict: Verdict | None) -> Diagnosis:
        """Tell of what was left at the end: the entry that a rule names, or the first."""
        pending = self.run.final.pending
        if not pending:
            return self.never_delivered()
        named = [i for i in pending if verdict is not None and i in verdict.words]
        entry_id = (named or [*pending])[0]
        holder = pending[entry_id]
        more = f", and {len(pending) - 1} more" if len(pending) > 1 else ""
        words = f"entry {entry_id} is still pending for {holder} at the end{more}."
        hint = self.why_pending(entry_id, holder)
        return Diagnosis(words, hint, self.story(entry_id))

    def why_pending(self, entry_id: str, holder: str) -> str:
        """Return why an entry is still pending for a consumer, and what to do about it."""
        watch, evidence = self.watch, self.evidence
        life = watch.last_life(holder)
        claims = watch.uses["XCLAIM"] + watch.uses["XAUTOCLAIM"]
        if entry_id in self.run.ledger.trimmed:
            return (
                "it is gone from the stream, and comes without fields, {}: there is nothing left to be done. "
                "Acknowledge it."
            )
        if life is None:
            life = watch.life_named(holder)
            if life is None or claims:
                return self.about_claims() if claims else _NOTHING_COMES_BACK
            return self.about_other_name(holder, life)
        if not evidence.living:
            return _ALL_DEAD
        if holder not in evidence.living:
            if claims:
                return self.about_claims()
            hint = (
                f"{holder} is dead, and nothing starts it again: others have to take over what it left. XAUTOCLAIM, "
                "now and then, until the cursor is 0-0."
            )
            if not watch.uses["history"]:
                hint += " And one that is started again has to read its own history first (XREADGROUP with 0)."
            return hint
        if watch.failed.get(entry_id, [""])[-1] == holder:
            return self.about_failure(holder)
        given = self.events(entry_id, DELIVERED, CLAIMED)
        since = given[-1].at if given else life.began
        if given and since < life.began and not life.histories:
            return (
                f"{holder} was started again, and never asked for what it had been given before: read its own history "
                "(XREADGROUP with 0 in place of >) first."
            )
        if self.events(entry_id, PROCESSED):
            return "it is done, and was not acknowledged: XACK after the effect, each time that it is done."
        if life.waits_in and life.last_at < self.evidence.end - _SILENT:
            return f"{holder} has sent no command since {life.last_at:.3f} s.{self.waiting([life])}"
        if life.losses and not any(at > life.losses[0] for at in life.histories):
            never = "" if given else ", and never saw it"
            return (
                f"{holder} lost its connection while a reply was on its way{never}. What was given to it is in its own "
                "history: after a lost connection read that again (XREADGROUP with 0), and then go on with >."
            )
        return self.about_claims() if claims else _NOTHING_COMES_BACK

    def about_other_name(self, name: str, life: Life) -> str:
        """Return what to say of a consumer that read by a name of its own making."""
        others = [other for one in self.watch.lives[life.consumer] for other in one.names if other != name]
        now = f", and {others[-1]} in its next life" if others else ""
        return (
            f"{name} is what {life.consumer} called itself in a life that is over{now}. With a new name in each life, "
            "nobody ever reads that history again. Take a name that stays (the parameter consumer; a host's or a "
            "pod's), or claim what others left (XAUTOCLAIM)."
        )

    def about_failure(self, holder: str) -> str:
        if self.watch.uses["XCLAIM"] + self.watch.uses["XAUTOCLAIM"]:
            return self.about_claims()
        return (
            f"the handler of {holder} failed on it, and nothing comes back to it: claim what has been idle for long "
            "(XAUTOCLAIM), one's own as well."
        )

    def about_claims(self) -> str:
        """Return what may be wrong with how entries are looked for that others left."""
        watch = self.watch
        walks = [life.walk for lives in watch.lives.values() for life in lives if life.walk]
        if any(walk.cursor != "0-0" and not walk.n_entries for walk in walks):
            return (
                "XAUTOCLAIM returned an empty page, with a cursor that is not 0-0, and was not asked on: a page may be "
                f"empty before the list has ended. {_ASK_ON}"
            )
        if any(walk.cursor != "0-0" for walk in walks):
            return f"XAUTOCLAIM returned a cursor that is not 0-0, and was not asked on. {_ASK_ON}"
        longest = max(watch.min_idles, default=0)
        if longest > 1_000:
            return f"min-idle is {longest:g} ms: nothing is idle for so long here."
        if watch.uses["XPENDING"] and not watch.uses["XAUTOCLAIM"]:
            return (
                "XPENDING lists the oldest first, as many as COUNT says: go on after the last id, with ( before it; "
                "and with IDLE it lists only what is idle."
            )
        return "look for what is idle again and again, not only once: between two reads, which BLOCK not too long."

    def never_delivered(self) -> Diagnosis:
        undelivered, watch = self.run.final.undelivered, self.watch
        n = len(undelivered)
        words = f"{'1 entry was' if n == 1 else f'{n} entries were'} never delivered."
        lives = [lives[-1] for lives in watch.lives.values()]
        if not watch.uses["XREADGROUP"]:
            hint = f"XREADGROUP with > gives new entries.{self.waiting(lives)}"
        elif not watch.uses[">"]:
            hint = (
                "no read asked for new entries: with an id (0), XREADGROUP gives only what this consumer was given "
                "before. New entries come with >."
            )
        elif not self.evidence.living:
            hint = _ALL_DEAD
        else:
            hint = f"read new entries as long as stop is not set.{self.waiting(lives)}"
        return Diagnosis(words, hint, self.story(undelivered[0]))

    def waiting(self, lives: list[Life]) -> str:
        """Return in which line consumers wait, as a sentence; nothing if that is not known."""
        lines = sorted({life.waits_in for life in lives if life.waits_in})
        return f" It waits in the line {lines[0]!r}." if lines else ""

    def late(self, verdict: Verdict) -> Diagnosis:
        watch = self.watch
        longest = max(watch.min_idles, default=0)
        asked = self.run.scenario.recovery.min_idle * 1000
        if not longest:
            hint = "nothing is redelivered by itself: XAUTOCLAIM takes over what others left."
        elif longest > asked:
            hint = f"min-idle is {longest:g} ms; what has been idle for {asked:g} ms is to be taken over."
        elif any(life.walk and life.walk.cursor != "0-0" for ls in watch.lives.values() for life in ls):
            hint = self.about_claims()
        else:
            hint = "look for what is idle more often: between two reads, which BLOCK not too long."
        return self.by_rule(verdict, hint)
