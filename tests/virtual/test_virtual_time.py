"""`VirtualLoop`: asyncio's own tools work on it unchanged, in no time, and always in the same order."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from streamlab.virtual.loop import Deadlock, TimeStandsStill, VirtualLoop
from streamlab.virtual.task import PROCESS, Promise


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_virtual_hour_takes_no_time(loop):
    """Both clocks: an hour has passed for the code, and hardly anything on the wall."""
    began = time.perf_counter()
    assert loop.run_until_complete(asyncio.sleep(3600, "done")) == "done"
    assert loop.time() == 3600
    assert time.perf_counter() - began < 5


def test_timers_of_one_moment_fire_in_the_order_they_were_set(loop):
    """Order among equals is that of setting, whatever came in between."""
    order: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    async def main() -> None:
        await asyncio.gather(sleeper("b", 2), sleeper("a", 1), sleeper("c", 2), sleeper("d", 2))

    loop.run_until_complete(main())
    assert order == ["a", "b", "c", "d"]


def test_timeout_and_wait_for_end_on_time(loop):
    """``timeout`` and ``wait_for`` cancel what they guard at their own moment."""
    ended: list[tuple[str, float]] = []

    async def main() -> None:
        try:
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append(("timeout", now()))
        try:
            await asyncio.wait_for(asyncio.sleep(100), 1.5)
        except TimeoutError:
            ended.append(("wait_for", now()))
        ended.append((await asyncio.wait_for(asyncio.sleep(1, "in time"), 2), now()))

    loop.run_until_complete(main())
    assert ended == [("timeout", 5), ("wait_for", 6.5), ("in time", 7.5)]


def test_event_queue_condition_semaphore_and_task_group(loop):
    """The tools that tasks talk with hand over at the moment of the call."""
    seen: list[tuple[str, float]] = []

    async def main() -> None:
        event, permits = asyncio.Event(), asyncio.Semaphore(1)
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)

        async def waiter() -> None:
            await event.wait()
            seen.append(("event", now()))

        async def getter() -> None:
            for _ in range(2):
                seen.append((await queue.get(), now()))
                await asyncio.sleep(10)

        async def permitted(name: str) -> None:
            async with permits:
                await asyncio.sleep(1)
                seen.append((name, now()))

        async with asyncio.TaskGroup() as group:
            group.create_task(waiter())
            group.create_task(getter())
            group.create_task(permitted("first"))
            group.create_task(permitted("second"))
            await asyncio.sleep(3)
            event.set()
            await queue.put("x")
            await queue.put("y")

    loop.run_until_complete(main())
    assert seen == [("first", 1), ("second", 2), ("event", 3), ("x", 3), ("y", 13)]


def test_task_group_cancels_the_others_when_one_fails(loop):
    """A failing task ends its group at once, and the error is told."""

    async def main() -> float:
        async def fail() -> None:
            await asyncio.sleep(1)
            raise LookupError("no such thing")

        async def work_together() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1000))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup) as caught:
            await work_together()
        assert isinstance(caught.value.exceptions[0], LookupError)
        return now()

    assert loop.run_until_complete(main()) == 1


def test_cancellation_reaches_a_sleeping_task(loop):
    """A cancelled task runs its ``finally`` at the moment of the cancellation."""
    story: list[tuple[str, float]] = []

    async def main() -> None:
        async def sleeper() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                story.append(("finally", now()))

        task = asyncio.create_task(sleeper())
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        story.append(("cancelled", now()))

    loop.run_until_complete(main())
    assert story == [("finally", 2), ("cancelled", 2)]


def test_a_deadlock_names_who_waits_and_where(loop):
    """Nothing could ever wake: an error, not a hanging notebook."""

    async def wait_for_nobody() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(wait_for_nobody(), name="C1")

    with pytest.raises(Deadlock, match=r"C1 in wait_for_nobody\(\) > wait\(\)") as caught:
        loop.run_until_complete(main())
    assert "deadlock at virtual time 0 s" in str(caught.value)
    _cancel_all(loop)


def test_a_loop_that_polls_without_waiting_is_an_error():
    """Time would stand still for ever: an error that says what to do."""
    loop = VirtualLoop(callbacks_per_instant=1000)

    async def poll() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(TimeStandsStill, match="polls without waiting"):
        loop.run_until_complete(poll())
    _cancel_all(loop)
    loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.wait(tasks))


def test_stepping_stops_at_every_moment(loop):
    """``step`` runs what happens at the next moment, all of it, and nothing later."""
    seen: list[float] = []

    async def tick(every: float) -> None:
        for _ in range(3):
            await asyncio.sleep(every)
            seen.append(now())

    tasks = [loop.create_task(tick(1.0)), loop.create_task(tick(1.5))]
    moments = []
    while loop.step():
        moments.append((loop.time(), len(seen)))
    assert moments == [(0, 0), (1, 1), (1.5, 2), (2, 3), (3, 5), (4.5, 6)]
    assert all(task.done() for task in tasks)


def test_run_until_leaves_the_clock_at_the_moment_asked_for(loop):
    """Everything up to and including the moment has run; the clock shows it even if nothing happened then."""
    seen: list[float] = []
    loop.call_at(2.0, lambda: seen.append(loop.time()))
    loop.call_at(5.0, lambda: seen.append(loop.time()))
    loop.run_until(2.0)
    assert (seen, loop.time()) == ([2.0], 2.0)
    loop.run_until(4.0)
    assert (seen, loop.time()) == ([2.0], 4.0)
    with pytest.raises(ValueError, match="time does not run back"):
        loop.run_until(3.0)


def test_it_runs_inside_another_running_loop():
    """As from a notebook's cell: no thread, and the outer loop and task are themselves afterwards."""

    async def cell() -> tuple[object, ...]:
        outer_loop, outer_task = asyncio.get_running_loop(), asyncio.current_task()
        inner = VirtualLoop()

        async def inside() -> object:
            await asyncio.sleep(60)
            return asyncio.current_task()

        inner_task = inner.create_task(inside())
        inner.run_until(30)
        assert asyncio.get_running_loop() is outer_loop
        assert asyncio.current_task() is outer_task
        assert inner.run_until_complete(inner_task) is inner_task
        inner.close()
        await asyncio.sleep(0.001)  # the outer loop still turns
        return asyncio.current_task() is outer_task, inner.time()

    assert asyncio.run(cell()) == (True, 60)


def test_a_virtual_loop_runs_inside_a_virtual_loop(loop):
    """Each has its own clock."""

    async def outer() -> tuple[float, float]:
        inner = VirtualLoop()
        await asyncio.sleep(1)
        inner.run_until_complete(asyncio.sleep(10))
        inner.close()
        return now(), inner.time()

    assert loop.run_until_complete(outer()) == (1, 10)


def test_an_error_in_the_inner_loop_leaves_the_outer_one_running():
    """The outer loop is put back also when the inner one raises."""

    async def cell() -> bool:
        loop, inner = asyncio.get_running_loop(), VirtualLoop()

        async def fail() -> None:
            raise LookupError("inside")

        with pytest.raises(LookupError, match="inside"):
            inner.run_until_complete(fail())
        inner.close()
        return asyncio.get_running_loop() is loop

    assert asyncio.run(cell())


def test_it_serves_asyncio_runner():
    """``asyncio.Runner`` takes it as any other loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(asyncio.sleep(1000, "slept")) == "slept"


def test_async_generators_are_closed(loop):
    """A generator that is left halfway runs its ``finally``."""
    closed: list[str] = []

    async def numbers():
        try:
            for number in range(10):
                yield number
        finally:
            await asyncio.sleep(1)
            closed.append("closed")

    async def main() -> None:
        async for number in numbers():
            if number == 2:
                break
        await asyncio.sleep(5)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert closed == ["closed"]


def test_cancelled_timers_do_not_pile_up(loop):
    """A blocking read that is served leaves a cancelled timer: 10,000 of them leave next to nothing."""
    clean, sizes = loop._clean_timers, set()

    def note_and_clean() -> None:
        sizes.add(len(loop._timers))
        clean()

    loop._clean_timers = note_and_clean

    async def main() -> None:
        for _ in range(10_000):
            loop.call_later(1000, print).cancel()
            await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    assert sizes == {128}


def test_timers_that_are_wanted_are_seldom_looked_through(loop):
    """Each time twice as many must have come: 5,000 timers are looked through six times."""
    clean, sizes = loop._clean_timers, []

    def note_and_clean() -> None:
        sizes.append(len(loop._timers))
        clean()

    loop._clean_timers = note_and_clean
    for _ in range(5_000):
        loop.call_later(1000, print)
    assert sizes == [128, 256, 512, 1024, 2048, 4096]
    assert len(loop._timers) == 5_000


class PlainLoop:
    """Timers as they are meant, without a heap: the next one is looked for among all."""

    def __init__(self) -> None:
        self.now, self.timers = 0.0, list[PlainTimer]()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, *call: Any) -> PlainTimer:
        self.timers.append(PlainTimer(self, self.now + delay, call))
        return self.timers[-1]

    def run_forever(self) -> None:
        while self.timers:
            timer = min(self.timers, key=lambda timer: timer.when)  # of several, the one that was set first
            self.now = timer.when
            timer.cancel()
            function, *args = timer.call
            function(*args)


class PlainTimer:
    def __init__(self, loop: PlainLoop, when: float, call: tuple[Any, ...]) -> None:
        self.loop, self.when, self.call = loop, when, call

    def cancel(self) -> None:
        self.loop.timers.remove(self)


def fired_by(loop: Any, seed: int) -> list[tuple[float, int]]:
    """Run a program whose timers set and cancel others at random; return when which of them fired."""
    rng, numbers, fired, waiting = random.Random(seed), itertools.count(), [], {}

    def set_one() -> None:
        number = next(numbers)
        waiting[number] = loop.call_later(rng.randrange(1, 600) / 4, act, number)

    def act(number: int) -> None:
        fired.append((loop.time(), number))
        del waiting[number]
        for _ in range(rng.randrange(8) if len(fired) < 600 else 0):
            set_one()
        for other in rng.sample([*waiting], len(waiting) // 2 if rng.random() < 0.03 else 0):
            waiting.pop(other).cancel()

    for _ in range(20):
        set_one()
    loop.run_forever()
    return fired


@pytest.mark.parametrize("seed", range(20))
def test_timers_fire_at_their_times_however_many_are_cancelled(loop, seed):
    """Random programs, each with enough cancelled timers for the heap to be cleaned, against a plain loop."""
    n_cleaned = []
    clean = loop._clean_timers

    def count() -> None:
        n_before = len(loop._timers)
        clean()
        n_cleaned.append(n_before - len(loop._timers))

    loop._clean_timers = count
    assert fired_by(loop, seed) == fired_by(PlainLoop(), seed)
    assert any(n_cleaned)


def test_an_error_in_a_callback_goes_to_the_handler_and_the_run_goes_on(loop, caplog):
    """As in asyncio: told to the handler or, without one, logged."""
    contexts: list[str] = []

    def fail() -> None:
        raise LookupError("in a callback")

    loop.set_exception_handler(lambda _, context: contexts.append(str(context["exception"])))
    loop.call_soon(fail)
    loop.run_until(1)
    loop.set_exception_handler(None)
    loop.call_soon(fail)
    with caplog.at_level(logging.ERROR):
        loop.run_until(2)
    assert contexts == ["in a callback"]
    assert "in a callback" in caplog.text


def test_a_loop_that_is_dropped_halfway_makes_no_noise(caplog):
    """asyncio's "Task was destroyed but it is pending!" is for loops that were meant to go on."""
    loop = VirtualLoop()
    loop.create_task(asyncio.sleep(10))
    loop.run_until(1)
    del loop
    gc.collect()
    assert caplog.records == []


def test_what_needs_real_time_is_refused_in_words(loop):
    """A thread would run in real time; a closed or running loop cannot be run."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="virtual loop"):
            await asyncio.to_thread(print)
        with pytest.raises(RuntimeError, match="running already"):
            loop.run_until(5)

    loop.run_until_complete(main())
    closed = VirtualLoop()
    closed.close()
    with pytest.raises(RuntimeError, match="closed"):
        closed.run_until(1)


def test_a_process_that_is_held_back_goes_on_where_it_stood(loop):
    """The world goes on: its timer fires at 1 s, and is heeded when it is released at 5 s, children and all."""
    story = []
    process = object()

    async def child():
        await asyncio.sleep(2)
        story.append(("child", loop.time()))

    async def act():
        task = asyncio.create_task(child())
        await asyncio.sleep(1)
        story.append(("act", loop.time()))
        await task

    async def world():
        await asyncio.sleep(3)
        story.append(("world", loop.time()))

    async def main():
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        acting = loop.create_task(act(), context=context)
        await asyncio.sleep(0.5)
        loop.hold(process)
        loop.hold(process)  # twice is no more than once
        loop.call_later(5 - loop.time(), loop.release, process)
        await world()
        await acting
        loop.release(process)  # nobody is held: nothing happens

    loop.run_until_complete(main())
    assert story == [("world", 3.5), ("act", 5), ("child", 5)]


@pytest.mark.parametrize("way", ["sleep", "asyncio.sleep", "timer", "future", "promise", "yield"])
def test_whatever_a_task_waits_for_it_is_held_back(loop, way):
    """What it waits for comes at 1 s, and it hears of it when it is released at 3 s, once."""
    told = []
    process = object()

    async def wait():
        if way == "sleep":
            await loop.sleep(1)
        elif way == "asyncio.sleep":
            await asyncio.sleep(1)
        elif way == "timer":
            event = asyncio.Event()
            loop.call_later(1, event.set)
            await event.wait()
        elif way == "yield":
            while loop.now < 1:
                await loop.sleep(0.25)
            await asyncio.sleep(0)
        else:
            future: Any = Promise(loop) if way == "promise" else loop.create_future()
            loop.call_later(1, future.set_result, None, context=contextvars.Context())
            await (future.wait() if way == "promise" else future)
        told.append(loop.now)

    async def main():
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        task = loop.create_task(wait(), context=context)
        await asyncio.sleep(0.5)
        loop.hold(process)
        await asyncio.sleep(2.5)
        assert not told
        loop.release(process)
        await task
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert told == [3]


# --- the loop's own tasks ----------------------------------------------------------------------


async def _cancel_itself(then_wait: bool) -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("enough")
    if then_wait:
        await asyncio.Event().wait()
    return "returned all the same"


async def _wait_for_itself() -> object:
    try:
        await asyncio.current_task()  # type: ignore[misc]
    except RuntimeError as error:
        return "await on itself" if "await" in str(error) or "yield" in str(error) else error
    return None


async def _lives_of_tasks(nap: Callable[[float], Awaitable[object]]) -> list[object]:
    """Let tasks sleep, wait, fail and be cancelled in every way; return all that came of it."""
    told: list[object] = []
    loop = asyncio.get_running_loop()
    color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")

    async def outcome(name: str, coroutine: Coroutine[object, object, object], *steps: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        for step in steps:
            if step == "cancel":
                told.append((name, "cancel", task.cancel(f"because of {name}"), task.cancelling()))
            elif step == "uncancel":
                told.append((name, "uncancel", task.uncancel()))
            else:
                await asyncio.sleep(float(step))
        try:
            value: object = await asyncio.wait_for(asyncio.shield(task), 50)
        except BaseException as error:
            value = type(error), str(error)
        told.append((name, value, task.done(), task.cancelled(), task.get_name(), loop.time()))

    async def sleep(seconds: float = 5) -> object:
        await nap(seconds)
        return asyncio.current_task() in asyncio.all_tasks()

    async def fail() -> None:
        await nap(0)
        raise LookupError("no such thing")

    async def stubborn() -> str:
        for _ in range(3):
            try:
                await nap(9)
            except asyncio.CancelledError as error:
                told.append(("stubborn", str(error), loop.time()))
        return "survived"

    async def cancel_itself_and_nap() -> None:
        asyncio.current_task().cancel("enough")  # type: ignore[union-attr]
        await nap(3)

    async def color_it(what: str) -> str:
        color.set(what)
        await nap(1)
        return color.get()

    async def yield_badly(what: object) -> object:
        try:
            await _Yield(what)
        except RuntimeError as error:
            return str(error).partition(":")[0].partition("<")[0]
        return await sleep(1)

    await outcome("sleeps", sleep())
    await outcome("fails", fail())
    await outcome("cancelled before its first step", sleep(), "cancel")
    await outcome("forgiven before its first step", sleep(), "cancel", "uncancel")
    await outcome("cancelled asleep", sleep(), "1", "cancel")
    await outcome("cancelled twice", sleep(), "1", "cancel", "cancel")
    await outcome("cancelled when done", sleep(1), "2", "cancel")
    await outcome("stubborn", stubborn(), "1", "cancel", "1", "cancel", "uncancel")
    await outcome("cancels itself, waits", _cancel_itself(True))
    await outcome("cancels itself, returns", _cancel_itself(False))
    await outcome("cancels itself, naps", cancel_itself_and_nap())
    await outcome("waits", asyncio.Event().wait(), "1", "cancel")
    await outcome("gathers", asyncio.wait_for(asyncio.gather(sleep(1), sleep(2)), 9), "1", "cancel")
    await outcome("times out", asyncio.wait_for(sleep(), 2))
    await outcome("red", color_it("red"))
    await outcome("yields nothing", yield_badly(None))
    await outcome("yields a number", yield_badly(7))
    await outcome("waits for itself", _wait_for_itself())
    return [*told, color.get(), loop.time()]


class _Yield:
    """Something to await that is no future."""

    def __init__(self, what: object) -> None:
        self.what = what

    def __await__(self):
        yield self.what


def test_its_own_tasks_do_what_asyncios_do(loop):
    """Step by step and at the same moments, whatever happens to them."""
    own = loop.run_until_complete(_lives_of_tasks(asyncio.sleep))
    napping = VirtualLoop()
    assert napping.run_until_complete(_lives_of_tasks(napping.sleep)) == own
    napping.close()
    other = VirtualLoop()
    other.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
    assert own == other.run_until_complete(_lives_of_tasks(asyncio.sleep))
    assert other.run_until_complete(other.sleep(1)) is None  # works for such tasks, too
    other.close()
    assert len(own) > 25


def test_its_own_tasks_are_tasks(loop):
    """Of asyncio's class; one that is interrupted lets the interruption through."""

    async def interrupt() -> None:
        raise KeyboardInterrupt

    task = loop.create_task(asyncio.sleep(1, "done"), name="C1")
    assert isinstance(task, asyncio.Task)
    assert (task.get_name(), task in asyncio.all_tasks(loop)) == ("C1", True)
    assert loop.run_until_complete(task) == "done"
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(interrupt())


def test_a_sleep_that_nobody_waits_for_ends_nothing(loop):
    """Its future is done, nobody goes on, and time does."""

    async def main() -> float:
        forsaken = asyncio.sleep(1)
        forsaken.send(None)
        await loop.sleep(3)
        forsaken.close()
        return now()

    assert loop.run_until_complete(main()) == 3


@pytest.mark.parametrize("way", ["asyncio.sleep", "sleep", "timeout", "call_later"])
def test_a_timer_for_infinity_is_never_due(loop, way):
    """Who waits so long waits for ever, and the clock does not go there."""

    async def main() -> None:
        await asyncio.sleep(1)
        if way == "sleep":
            await loop.sleep(math.inf)
        elif way == "asyncio.sleep":
            await asyncio.sleep(math.inf)
        elif way == "call_later":
            loop.call_later(math.inf, loop.stop)
            await loop.create_future()
        else:
            async with asyncio.timeout(math.inf):
                await loop.create_future()

    with pytest.raises(Deadlock, match=r"deadlock at virtual time 1 s"):
        loop.run_until_complete(main())
    assert (loop.time(), loop.next_time(), loop.step()) == (1, None, False)
