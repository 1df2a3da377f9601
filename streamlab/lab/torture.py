"""`torture`: does a consumer of somebody's own lose or double anything when things fail?

The program runs as several processes under the faults of a scenario, on a real server; what came of it is a `Run` like
any other, with its story, and a verdict.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streamlab.actors.events import ACKED, PROCESSED
from streamlab.actors.recovery import USUAL_RESTART, Recovery
from streamlab.lab.foreign import ForeignStage, Program
from streamlab.lab.live import LiveEngine, LiveStage
from streamlab.lab.running import run_coroutine
from streamlab.lab.timeline import Progress
from streamlab.lab.witness import Books, Habits
from streamlab.results.events import Event, EventLog
from streamlab.results.final_state import FinalState
from streamlab.results.run import Run
from streamlab.results.stories import story_of
from streamlab.scenario import Scenario, ScenarioError
from streamlab.scenario.actions import OURS_ALONE

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Invariants that tell of a program whether it lost or doubled anything.
_JUDGED: Final = ("I1", "I2", "I3", "I8")
#: Entries fetched at once.
_PAGE: Final = 10_000


@dataclass(frozen=True)
class Outcome:
    """What became of a program under torture.

    Attributes
    ----------
    broken
        What is lost, done twice, or done in the wrong order: a line each, with the story of its first entry.
    left
        What is left pending or was never delivered, with the story of the first; "" for nothing.
    hints
        What the program was seen to do, or not, that may be the reason.
    """

    run: Run
    broken: tuple[tuple[str, tuple[str, ...]], ...]
    left: str
    left_story: tuple[str, ...]
    hints: tuple[str, ...]

    @property
    def status(self) -> int:
        """The exit status: 1 if something is lost or done twice, 3 if something is left, 0 if all is well."""
        return 1 if self.broken else 3 if self.left else 0

    def summary(self) -> dict[str, Any]:
        """Return the run in figures, and the verdict."""
        return self.run.summary() | {
            "verdict": {0: "survived", 1: "broken", 3: "left"}[self.status],
            "broken": [{"what": words, "story": list(story)} for words, story in self.broken],
            "left": {"what": self.left, "story": list(self.left_story)} if self.left else None,
            "hints": list(self.hints),
            "faults": [str(fault) for fault in self.run.scenario.faults],
        }


def check(scenario: Scenario) -> None:
    """Refuse faults of which a program of somebody's own can know nothing."""
    for action in scenario.actions:
        if isinstance(action, OURS_ALONE):
            raise ScenarioError(
                f"{action.word}: only streamlab's own consumers know of that; take kill, pause, restart, disconnect, "
                "lost-reply, crash-before-effect, crash-before-ack, pause-in-work, server-down, or what befalls the "
                "stream"
            )


def scenario_of(program: Program, scenario: Scenario) -> Scenario:
    """Return the scenario with dead programs started again, or not, as is asked."""
    if scenario.shards is not None:
        raise ScenarioError("a program of one's own is given one stream: leave out shards")
    return scenario.replace(recovery=Recovery(restart_after=USUAL_RESTART if program.restarts else None))


class _TortureEngine(LiveEngine):
    stage: ForeignStage

    def __init__(self, scenario: Scenario, program: Program, redis_url: str | None) -> None:
        self._program = program
        super().__init__(scenario, redis_url=redis_url)

    def _stage(self, scenario: Scenario, redis_url: str | None, keeps: bool, port: int | None) -> LiveStage:
        return ForeignStage(scenario, redis_url, self._program, self.log)


def torture(
    scenario: Scenario,
    program: Program,
    *,
    redis_url: str | None = None,
    may_repeat: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Run a program as the consumers of a scenario, and judge what came of it.

    Parameters
    ----------
    redis_url
        The server; None: a private one.
    may_repeat
        Whether an effect may happen more than once, as where consumers are not idempotent.

    Raises
    ------
    ScenarioError, LabError, ServerUnusable, ServerStartError
        If it cannot be run, or not to its end: the program cannot be started, or ends at once again and again.
    """
    scenario = scenario_of(program, scenario)
    check(scenario)
    program.words({})
    engine = _TortureEngine(scenario, program, redis_url)

    async def work() -> Outcome:
        async with engine:
            run = await engine.run(progress)
            effects = await _effects(engine.client, program, engine.stage.books, run)
            return _judge(run, program, engine.stage.books, effects, engine.origin, may_repeat)

    # A program may have any number of connections, each of which is two of its proxy's.
    return run_coroutine(work, lambda: engine.is_closing, asyncio.new_event_loop)


# ---- what the program's own books say --------------------------------------------------------------


async def _effects(client: Redis, program: Program, books: Books, run: Run) -> dict[str, int]:
    """Return how often each entry's effect has happened, as is told."""
    key = program.effects_key
    if key is None:
        return dict(books.told)
    kind = str(await client.type(key))
    if kind == "hash":
        told: dict[str, str] = await client.hgetall(key)  # type: ignore[assignment]
        return {i: int(n) if n.isdecimal() else 1 for i, n in told.items() if i in run.ledger.added}
    counts: dict[str, int] = {}
    if kind == "stream":
        start = "-"
        while True:
            page: Any = await client.xrange(key, min=start, count=_PAGE)
            for own, fields in page:
                for entry_id in {own, *fields.values()} & run.ledger.added.keys():
                    counts[entry_id] = counts.get(entry_id, 0) + 1
            if len(page) < _PAGE:
                return counts
            start = "(" + page[-1][0]
    if kind != "none":
        raise ScenarioError(f"--effects {key} is a {kind}: a hash or a stream tells how often each entry was done")
    return counts


def _judge(
    run: Run, program: Program, books: Books, effects: dict[str, int], origin: float, may_repeat: bool
) -> Outcome:
    final = dataclasses.replace(run.final, effects=effects)
    is_told = bool(program.effects)
    scenario = run.scenario.replace(
        sink=("naive" if may_repeat else "idempotent") if is_told else "none",
        recovery=_as_seen(run.scenario.recovery, books.habits),
    )
    unseen = list(_unseen(run, books, final, origin, is_told))
    events = EventLog.of([*run.events, *unseen])
    run = dataclasses.replace(run, scenario=scenario, events=events, final=final)
    broken: list[tuple[str, tuple[str, ...]]] = []
    broken += [(f"{actor} ended by itself: {words}", ()) for actor, words in run.errors.items()]
    broken += [(verdict.words, verdict.story) for verdict in run.verdicts if not verdict and verdict.rule in _JUDGED]
    left, story = _left(run)
    hints = tuple(_hints(run, program, books.habits, has_left=bool(left))) if broken or left else ()
    return Outcome(run, tuple(broken), left, story, hints)


def _unseen(run: Run, books: Books, final: FinalState, origin: float, is_told: bool) -> Iterator[Event]:
    """Yield what must have happened unheard: in a script, on another server, or its reply never came."""
    ledger, open_ = run.ledger, {*final.pending, *final.undelivered}
    for entry_id in ledger.added:
        who, at = books.unheard.get(entry_id, ("", 0.0))
        at -= origin
        is_done = is_told and final.effects.get(entry_id, 0) > 0 and entry_id not in ledger.processed
        is_acked = bool(who) and entry_id not in ledger.acked and entry_id not in open_
        if is_done and not who:
            last = ledger.last.get(entry_id)
            who = last.consumer if last is not None else ""
            at = ledger.acked.get(entry_id, ledger.end) - 1e-6
        if is_done or (is_acked and not is_told):
            yield Event(at, PROCESSED, who, entry_id)
        if is_acked:
            yield Event(at, ACKED, who, entry_id)


def _as_seen(recovery: Recovery, habits: Habits) -> Recovery:
    """Return how the program recovers, as far as it was seen."""
    if habits.claims:
        return dataclasses.replace(recovery, strategy="autoclaim", min_idle=max(habits.min_idle_ms / 1000, 0.001))
    return dataclasses.replace(recovery, strategy="restart" if habits.reads_history else "none")


# ---- the verdict -----------------------------------------------------------------------------------


def _left(run: Run) -> tuple[str, tuple[str, ...]]:
    """Say what is pending or undelivered at the end; and the story of the first."""
    final = run.final
    if final.pending:
        first, owner = next(iter(final.pending.items()))
        words = f"{_entries(len(final.pending))} left pending, the first is {first}, for {owner}"
    elif final.undelivered:
        first = final.undelivered[0]
        words = f"{_entries(len(final.undelivered))} never delivered, the first is {first}"
    else:
        return "", ()
    return words, story_of(first, run.events, final)


def _entries(n: int) -> str:
    return f"{n:,} {'entry is' if n == 1 else 'entries are'}"


def _hints(run: Run, program: Program, habits: Habits, *, has_left: bool) -> Iterator[str]:
    """Say what the program was seen to do, or never to do."""
    strange = sorted({n for name, names in habits.names.items() for n in names - {name}})
    if strange:
        shown = ", ".join(strange[:3]) + (" …" if len(strange) > 3 else "")
        yield (
            f"it calls itself {shown}, and not by the name in CONSUMER: what is pending for a name that never comes "
            "back stays pending, unless others claim it."
        )
    if "$" in habits.starts:
        yield (
            "it recreated a lost group from $: what was in the stream by then, and not done, is given to no one. "
            "Begin at 0, or behind what was acknowledged last."
        )
    if has_left and not habits.reads_history:
        yield (
            "it never read its own history (XREADGROUP … STREAMS KEY 0): what it had been given before it died is not "
            "given to it again by >."
        )
    if has_left and not habits.claims:
        yield "it never claimed anything (XAUTOCLAIM): what a consumer leaves that does not come back stays pending."
    if has_left and habits.stops_at_empty_page:
        yield "it stopped at an empty page of XAUTOCLAIM: only the cursor 0-0 ends the list."
    elif has_left and habits.claims:
        yield (
            f"it claims what has been idle for {habits.min_idle_ms / 1000:g} s: if that had not passed yet, give the "
            f"run more time at its end (--drain, now {run.scenario.drain:g} s)."
        )
    if any(n > 1 for n in run.final.effects.values()):
        yield (
            "an entry is delivered at least once: the effect and the note that it has happened must be one step "
            "(HSETNX, a transaction, a script), looked at before it is done again."
        )
    if run.ledger.acked_early:
        yield "XACK comes after the effect: between the two, a crash loses the entry."
    if not program.effects:
        yield "no effects were told (--effects): an acknowledgement was taken for the effect."
