"""Grade a recovery, or a consumer that a learner wrote, under random faults.

    checks.recovery(Recovery("autoclaim", min_idle=0.2))

    async def my_consume(client, stream, group, consumer, handler, stop): ...
    checks.recovery(my_consume)

A learner's own consumer need not report anything: its client and its handler are watched. In a test of a service's own,
`streamlab.testing.assert_survives` makes the same trial, and raises an exception.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import warnings
from collections.abc import Iterator
from typing import Any, Final

from streamlab.actors import Recovery
from streamlab.checks.attempts import OutOfTime, has_alarms, name_of, shown, time_limit
from streamlab.checks.consumer_life import SIGNATURE, OwnConsumer, not_async
from streamlab.checks.consumer_watch import Watch
from streamlab.checks.crowd import Crowd
from streamlab.checks.diagnosis import diagnosis
from streamlab.checks.recoveries import about_units, as_recovery
from streamlab.checks.schedules import Schedule, graded, schedule, with_faults, with_random_faults
from streamlab.checks.unexpected_ends import Diagnosis, commands_told, of_busy_loop, of_error, of_no_await
from streamlab.lab.how_far import HowFar
from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.run import Run
from streamlab.results.stories import story_of
from streamlab.results.verdict import Objection, Verdict, judged, nothing_yet
from streamlab.scenario import Scenario
from streamlab.scenario.actions import Poison
from streamlab.virtual.loop import Deadlock, TimeStandsStill

#: How many callbacks may run at one moment; a right consumer's are some hundreds.
_CALLBACKS: Final = 10_000
#: Seconds for one schedule (see `time_limit`). A right consumer takes a twentieth of one.
_TIME_LIMIT: Final = 3.0
#: Seconds for what has to end.
_LAST_CALL: Final = 0.5
#: COUNT of XAUTOCLAIM where a list is to be long.
_PAGE: Final = 10


@judged
def recovery(
    answer: object, scenario: Scenario | None = None, *, schedules: int = 20, seed: int = 1, poison: bool = False
) -> Verdict:
    """Check that a `Recovery`, or a consumer of one's own, breaks no invariant under random faults.

    A consumer of one's own may let an error of its handler pass, as a process that crashes; it is then dead, or started
    again, as if it had been killed. Any other end before `stop` is set is objected to. What it prints is shown only
    with ``schedules=1``. One that awaits nothing is ended after some seconds, where there are alarms (see
    `streamlab.checks.attempts`).

    Parameters
    ----------
    answer
        A `Recovery`; or ``async def answer(client, stream, group, consumer, handler, stop)``, which processes
        entries as `consume` does until the event `stop` is set: a coroutine function, a partial of one, or an object
        whose ``__call__`` is one.
    scenario
        What it is tried on; somebody always survives. Its own recovery says then whether dead workers are started
        again, and how fast entries should be taken over. If not given: for a `Recovery` it is `graded()`; a consumer of
        one's own meets the ten kinds of schedules of `streamlab.checks.schedules` in turn, where workers are started
        again in some, and nothing brings them back in others.
    schedules, seed
        How many schedules of faults, and the seed of the first; a failure tells its own.
    poison
        Whether there are entries that kill whatever touches them.
    """
    is_own = not isinstance(answer, Recovery) and _may_be_own(answer)
    if not is_own:
        answer = as_recovery(answer)
    _check_count(schedules)
    progress = HowFar(schedules, "schedules")
    with quiet(hold_back=schedules > 1), contextlib.closing(progress):
        for number in range(seed, seed + schedules):
            if is_own and scenario is None:
                tried = schedule(number, poison=poison)
            else:
                base = scenario or graded()
                if isinstance(answer, Recovery):
                    base = base.replace(recovery=answer)
                tried = Schedule(with_random_faults(base, number, poison=poison))
            wrong = try_own(answer, tried)[0] if is_own else _try(tried)
            if wrong is not None:
                return _verdict(wrong, tried, number, answer, poison, scenario)
            progress.step()
    return Verdict(True, f"No invariant is broken in {schedules} random fault schedules.")


def _may_be_own(answer: object) -> bool:
    """Return whether an answer may be a consumer of one's own; object if it cannot be called as one."""
    if answer is ...:
        raise nothing_yet()
    if inspect.iscoroutine(answer):
        answer.close()
        hint = "give the function itself, without brackets; it is called for each worker."
        raise Objection("That is a coroutine: the function was called.", hint)
    if not callable(answer) or answer is Recovery:
        if isinstance(answer, str | Scenario) or answer is Recovery:
            as_recovery(answer)
        hint = f'a Recovery, such as Recovery("autoclaim"), or async def my_consumer{SIGNATURE}.'
        if answer is None:
            hint = f"was the function called, or its result assigned? What is asked for is {hint}"
        raise Objection(f"{shown(answer)} is no Recovery, and no async function.", hint)
    if inspect.isasyncgenfunction(answer):
        hint = "it hands nothing out: await handler(entry_id, fields), and go on."
        raise Objection(f"{name_of(answer)} has a yield in it.", hint)
    try:
        signature = inspect.signature(answer)
        signature.bind(*range(6))
    except ValueError:
        return True  # it does not tell
    except TypeError:
        if inspect.isclass(answer):
            raise not_async(answer) from None
        words = f"{name_of(answer)}{signature} cannot be called with the six arguments that it is given."
        raise Objection(words, f"async def {name_of(answer)}{SIGNATURE}.") from None
    return True


def _check_count(schedules: object) -> None:
    if not isinstance(schedules, int) or schedules < 1:
        raise Objection(f"schedules is {shown(schedules)}.", "a whole number of at least 1.")


def _verdict(
    wrong: Diagnosis, tried: Schedule, seed: int, answer: object, poison: bool, scenario: Scenario | None
) -> Verdict:
    """Return the verdict on what went wrong: under which schedule, with its story, and how to see it again."""
    name = getattr(answer, "__name__", "…")
    given = "" if scenario is None else " …,"
    flags = ", poison=True" if poison else ""
    return Verdict(
        False,
        f"With seed {seed} ({'; '.join(map(str, tried.scenario.faults)) or 'no faults'}): {wrong.words}",
        wrong.hint,
        (
            *with_faults(tried.told(), wrong.story),
            f"To see it again: checks.recovery({name if name.isidentifier() else '…'},{given} seed={seed}, "
            f"schedules=1{flags})",
        ),
    )


# ---- trying one schedule ---------------------------------------------------------------------------


def _try(tried: Schedule) -> Diagnosis | None:
    """Run the package's own consumers under a schedule; return what went wrong, if anything."""
    scenario = tried.scenario
    try:
        with (
            time_limit(_TIME_LIMIT),
            contextlib.closing(SimulatedEngine(scenario, callbacks_per_instant=_CALLBACKS)) as engine,
        ):
            run = engine.run()
    except (TimeStandsStill, Deadlock, OutOfTime) as error:
        return Diagnosis(str(error) or "it took too long.", "are its times meant in seconds?")
    for actor, words in run.errors.items():
        version = "of a scenario that is given, redis_version says what the simulated server behaves as."
        return Diagnosis(f"{actor} ended by itself: {words.rstrip('.')}.", version)
    hint = about_units(scenario.recovery)
    for verdict in run.verdicts:
        if not verdict:
            return Diagnosis(f"{verdict.words}.", hint or verdict.hint, verdict.story)
    if run.final.pending and not any(isinstance(fault, Poison) for fault in scenario.faults):
        entry_id, name = next(iter(run.final.pending.items()))
        return Diagnosis(
            f"entry {entry_id} is still pending for {name} at the end.",
            hint or "nothing is redelivered by itself: who takes over, or who starts the dead again?",
            story_of(entry_id, run.events, run.final),
        )
    return None


def try_own(answer: Any, tried: Schedule) -> tuple[Diagnosis | None, Run | None]:
    """Run a learner's consumer under a schedule; return what went wrong, if anything, and the run, if it ended.

    Raises
    ------
    Objection
        If there is no answer yet.
    """
    watch = Watch()
    page = _PAGE if tried.n_crowd else None
    own = OwnConsumer(answer, watch, impossible=tried.impossible, page=page)
    engine = SimulatedEngine(tried.scenario, act=own.act, callbacks_per_instant=_CALLBACKS)
    engine.loop.set_exception_handler(lambda _, context: _note_background(watch, context))
    found = run = None
    try:
        with time_limit(_TIME_LIMIT):
            run = _run(engine, watch, tried)
    except (TimeStandsStill, Deadlock):
        found = of_busy_loop(watch)
    except OutOfTime as error:
        found = of_no_await(watch, _TIME_LIMIT, error)
    except SystemExit:  # of a task that a consumer has started
        found = Diagnosis("one of them ended the whole program (sys.exit).", "use return.")
    finally:
        _close(engine, watch)
    if watch.is_untouched:
        raise nothing_yet()
    if run is not None:
        found = diagnosis(run, watch, is_cut_short=watch.objection is not None)
    return found or _objected(watch), run


def _objected(watch: Watch) -> Diagnosis | None:
    """Return what ended a run early, if anything did."""
    if watch.objection is None:
        return None
    if isinstance(watch.error, OutOfTime):
        return of_no_await(watch, _TIME_LIMIT, watch.error)
    if watch.error is not None:
        return of_error(watch.error, watch.culprit, watch)
    verdict = watch.objection.verdict
    return Diagnosis(verdict.words, verdict.hint, commands_told(watch, watch.culprit))


def _run(engine: SimulatedEngine, watch: Watch, tried: Schedule) -> Run:
    """Run to the end, or until something is objected to."""
    crowd = Crowd(engine, watch, tried.n_crowd) if tried.n_crowd else None
    try:
        run = engine.run()
    except RuntimeError:  # the loop was stopped
        if watch.objection is None and not watch.is_untouched:
            raise
        run = engine.result()
    for lock in watch.locks.values():
        lock.left_ms = engine.call(engine.client.pttl(lock.key))
    return run if crowd is None else dataclasses.replace(run, final=crowd.without(run.final))


#: Consumers that cannot be ended, where there are no alarms: kept, since what is collected as garbage is told to end
#: once more, and they would go on for ever.
_undead: list[object] = []


def _close(engine: SimulatedEngine, watch: Watch) -> None:
    """End all that still runs; also consumers that swallow their cancellation, and then wait for ever."""
    try:
        with time_limit(_LAST_CALL):
            engine.close()
    except (Deadlock, TimeStandsStill, OutOfTime, RuntimeError):
        for task in watch.undone_tasks():
            if not has_alarms():
                _undead.append(task)
                continue
            coroutine: Any = task.get_coro()
            with contextlib.suppress(Exception, OutOfTime), time_limit(_LAST_CALL):
                coroutine.close()
    watch.close()


def _note_background(watch: Watch, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if error is not None:
        watch.background.append(error)


# ---- without noise ---------------------------------------------------------------------------------


@contextlib.contextmanager
def quiet(hold_back: bool) -> Iterator[None]:
    """Hold back what the learner's code prints, and warnings about it, which the verdict says in better words."""
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        with contextlib.redirect_stdout(nowhere) if hold_back else contextlib.nullcontext():
            yield
