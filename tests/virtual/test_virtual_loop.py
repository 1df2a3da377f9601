"""`VirtualLoop` to the letter: rounds, stale timers, when it stops, and what it says."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from streamlab.virtual.loop import Deadlock, TimeStandsStill, VirtualLoop
from streamlab.virtual.task import PROCESS, Promise

# ---- rounds ----------------------------------------------------------------------------------------


def in_rounds(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Let two callbacks call others, now and by a timer; return in which order they ran."""
    order: list[str] = []

    def first() -> None:
        order.append("first")
        loop.call_later(0, order.append, "by a timer")
        loop.call_soon(order.append, "after the first")

    def second() -> None:
        order.append("second")
        loop.call_soon(order.append, "after the second")

    loop.call_soon(first)
    loop.call_soon(second)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    return order


def test_a_round_is_run_to_its_end_before_timers_are_looked_at(loop):
    """What is due meanwhile comes after all that was called meanwhile, as on asyncio's own loop."""
    order = in_rounds(loop)
    own = asyncio.new_event_loop()
    try:
        assert in_rounds(own) == order
    finally:
        own.close()
    assert order == ["first", "second", "after the first", "after the second", "by a timer"]


def test_rounds_are_counted(loop):
    """Each by one: whoever remembers the number knows whether others had their turn."""

    async def main() -> list[int]:
        counts = []
        for pause in (0, 0, 1, 1):
            counts.append(loop.rounds)
            await asyncio.sleep(pause)
        return counts

    first, *others = loop.run_until_complete(main())
    assert others == [first + 1, first + 2, first + 3]


def test_a_loop_stops_after_the_round(loop):
    """What was called in the same round still runs; what comes later waits for the next run."""
    seen: list[str] = []

    def stop() -> None:
        loop.stop()
        loop.call_soon(seen.append, "next run")

    loop.call_at(1, stop)
    loop.call_at(1, seen.append, "same round")
    loop.call_at(2, seen.append, "later")
    loop.run_forever()
    assert (seen, loop.time()) == (["same round"], 1)
    loop.run_until(5)
    assert (seen, loop.time()) == (["same round", "next run", "later"], 5)


def test_it_runs_until_a_future_is_done_and_no_longer(loop):
    """Others may have much to do yet."""
    seen: list[float] = []
    loop.call_at(2, seen.append, 2.0)
    assert loop.run_until_complete(asyncio.sleep(1, "done")) == "done"
    assert (seen, loop.time()) == ([], 1)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("way", ["yield", "asyncio.sleep", "sleep", "call_soon", "call_later"])
def test_a_clock_that_never_moves_is_an_error(way, start):
    """Whatever keeps it from moving: a pause may be too short for the clock to tell."""
    loop = VirtualLoop(start=start, callbacks_per_instant=1000)
    short = sys.float_info.min if start else 0.0

    def again() -> None:
        if way == "call_soon":
            loop.call_soon(again)
        else:
            loop.call_later(short, again)

    async def poll() -> None:
        if way.startswith("call"):
            again()
        while True:
            if way == "yield":
                await asyncio.sleep(0)
            elif way == "asyncio.sleep":
                await asyncio.sleep(short)
            elif way == "sleep":
                await loop.sleep(short)
            else:
                await loop.create_future()

    with pytest.raises(TimeStandsStill) as caught:
        loop.run_until_complete(poll())
    assert str(caught.value) == (
        f"1,000 callbacks ran at virtual time {start} s and the clock never moved: some loop polls without waiting. "
        "Let it block (XREADGROUP with BLOCK) or sleep."
    )
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
    loop.close()


@pytest.mark.parametrize("timers", [False, True])
def test_as_many_callbacks_as_are_allowed_may_run_at_one_moment(timers):
    """And as many at the next; one more at either is too many."""
    loop = VirtualLoop(callbacks_per_instant=10)
    for moment in (1, 2):
        for _ in range(10):
            loop.call_at(moment, id, None)
    loop.run_until(2)
    for _ in range(11):
        if timers:
            loop.call_at(2, id, None)
        else:
            loop.call_soon(id, None)
    with pytest.raises(TimeStandsStill, match="10 callbacks ran at virtual time 2 s"):
        loop.run_until(3)
    loop.close()


# ---- timers ----------------------------------------------------------------------------------------


def test_a_cancelled_sleeper_of_the_same_moment_does_not_let_time_pass(loop):
    """Two were to wake at 1 s, of whom one was cancelled; the next timer is due at 5 s, and not before."""
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await loop.sleep(seconds)
        woken.append((name, loop.time()))

    loop.create_task(sleeper("first", 1))
    cancelled = loop.create_task(sleeper("second", 1))
    loop.create_task(sleeper("third", 5))
    loop.call_at(0.5, cancelled.cancel)
    loop.run_until(10)
    assert woken == [("first", 1), ("third", 5)]


@pytest.mark.parametrize("way", ["sleep", "asyncio.sleep", "future", "promise"])
def test_a_wait_that_was_cancelled_wakes_nobody_later(loop, way):
    """Several wait until 100 s, hear of their cancellation at 1 s, sleep for a second, and then wait for 200 s."""
    told: list[tuple[float, tuple[object, ...]]] = []

    async def wait() -> None:
        if way == "sleep":
            await loop.sleep(100)
        elif way == "asyncio.sleep":
            await asyncio.sleep(100)
        elif way == "future":
            future = loop.create_future()
            loop.call_later(100, lambda: future.done() or future.set_result(None))
            await future
        else:
            promise = Promise(loop)
            loop.call_later(100, promise.set_result, None)
            await promise.wait()

    async def live(end: asyncio.Event) -> None:
        try:
            await wait()
        except asyncio.CancelledError as error:
            told.append((loop.time(), error.args))
        await loop.sleep(1)
        await end.wait()
        told.append((loop.time(), ()))

    async def main() -> None:
        end = asyncio.Event()
        tasks = [loop.create_task(live(end)) for _ in range(3)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel("enough")
        loop.call_at(200, end.set)
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())
    assert told == [(1, ("enough",))] * 3 + [(200, ())] * 3


@pytest.mark.parametrize("way", ["sleep", "asyncio.sleep", "event"])
def test_a_task_that_cancels_itself_hears_it_once_with_its_message(loop, way):
    """In the wait that comes next, at once; the one after that is a wait like any other."""

    async def wait() -> None:
        if way == "event":
            event = asyncio.Event()
            loop.call_later(5, event.set)
            await event.wait()
        else:
            await (loop.sleep(5) if way == "sleep" else asyncio.sleep(5))

    async def main() -> list[object]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("of myself")
        try:
            await wait()
        except asyncio.CancelledError as error:
            heard = error.args
        told = [heard, loop.time()]
        await wait()
        return [*told, loop.time()]

    assert loop.run_until_complete(main()) == [("of myself",), 0, 5]


def test_a_task_that_cancels_itself_hears_nothing_if_what_it_waits_for_goes_on(loop):
    """It waits for another task, which is cancelled in its place, and does not let that happen."""

    async def stubborn() -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError as error:
            return f"was cancelled {error}"
        return "was not cancelled"

    async def main() -> tuple[str, float]:
        other = asyncio.create_task(stubborn())
        await asyncio.sleep(1)
        task = asyncio.current_task()
        assert task is not None
        task.cancel("in my place")
        return await other, asyncio.get_running_loop().time()

    assert loop.run_until_complete(main()) == ("was cancelled in my place", 1)


def test_the_next_moment_is_that_of_a_timer_that_is_wanted(loop):
    """Not that of a callback or of a sleep which was cancelled."""

    async def sleep_and_wait() -> None:
        try:
            await loop.sleep(1)
        except asyncio.CancelledError:
            await loop.create_future()

    task = loop.create_task(sleep_and_wait())
    assert loop.next_time() == 0
    loop.run_until(0)
    assert loop.next_time() == 1
    task.cancel()
    loop.run_until(0)
    assert loop.next_time() is None
    loop.call_at(3, print).cancel()
    loop.call_at(4, print).cancel()
    assert loop.next_time() is None
    loop.call_at(7, print)
    assert loop.next_time() == 7


def test_there_is_a_last_moment(loop):
    """Any time but infinity comes."""
    seen: list[float] = []
    loop.call_at(sys.float_info.max, lambda: seen.append(loop.time()))
    assert loop.next_time() == sys.float_info.max
    assert loop.step()
    assert seen == [sys.float_info.max]


def test_a_timer_is_not_set_for_no_time_at_all(loop):
    """NaN would make the order of all others undefined."""
    with pytest.raises(ValueError, match=r"^a timer cannot be set for NaN seconds$"):
        loop.call_later(float("nan"), print)
    assert loop.next_time() is None


def test_a_sleep_of_its_own_needs_no_future(loop):
    """From its first step on, and after callbacks have run; in a task of asyncio's own it needs one."""
    n_futures = [0]
    create_future: Callable[[], asyncio.Future[Any]] = loop.create_future

    def count() -> asyncio.Future[Any]:
        n_futures[0] += 1
        return create_future()

    loop.create_future = count

    async def main() -> None:
        await loop.sleep(1)
        loop.call_soon(id, None)
        loop.call_later(0.5, id, None)
        await loop.sleep(1)
        await loop.sleep(1)
        assert loop.time() == 3

    loop.run_until_complete(main())
    assert n_futures == [0]
    loop.run_until_complete(asyncio.Task(main_of_asyncios(loop), loop=loop))
    assert n_futures == [1]


async def main_of_asyncios(loop: VirtualLoop) -> None:
    await loop.sleep(1)


# ---- callbacks -------------------------------------------------------------------------------------


COLOR: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")


@pytest.mark.parametrize("way", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_a_callback_gets_its_arguments_in_its_context(loop, way):
    """In the one that is given, or in a copy of that in which it was called; it is no task's doing."""
    seen: list[tuple[object, ...]] = []

    def note(*args: object) -> None:
        seen.append((*args, COLOR.get(), asyncio.current_task()))
        COLOR.set("spoilt")

    given = contextvars.copy_context()
    given.run(COLOR.set, "given")
    call: Callable[..., object] = getattr(loop, way)
    when = () if way.startswith("call_soon") else (1,)

    async def main() -> None:
        COLOR.set("own")
        call(*when, note, 1, 2, context=given)
        call(*when, note, 3)
        await asyncio.sleep(2)
        assert COLOR.get() == "own"

    loop.run_until_complete(main())
    assert seen == [(1, 2, "given", None), (3, "own", None)]
    assert given[COLOR] == "spoilt"


def test_the_callbacks_of_a_process_are_held_back_with_it(loop):
    """In their order, until it is released; those of others are not."""
    seen: list[tuple[str, float]] = []
    process = object()
    its = contextvars.copy_context()
    its.run(PROCESS.set, process)

    def note(name: str) -> None:
        seen.append((name, loop.time()))

    loop.hold(process)
    loop.call_soon(note, "its first", context=its)
    loop.call_at(1, note, "its second", context=its)
    loop.call_at(1, note, "another's")
    loop.call_at(3, loop.release, process)
    loop.run_until(5)
    assert seen == [("another's", 1), ("its first", 3), ("its second", 3)]


def test_an_error_in_a_callback_is_told_with_the_callback(loop):
    """As asyncio does: a message, the error, and the handle."""
    told: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    error = LookupError("in a callback")

    def fail() -> None:
        raise error

    handle = loop.call_soon(fail)
    text = repr(handle)
    loop.run_until(0)
    assert told == [{"message": f"Exception in callback {text}", "exception": error, "handle": handle}]


# ---- what it says ----------------------------------------------------------------------------------


def test_a_deadlock_names_all_who_wait():
    """In the order of their names; or nobody."""

    async def wait_for_nobody() -> None:
        await asyncio.get_running_loop().create_future()

    loop = VirtualLoop()
    loop.create_task(wait_for_nobody(), name="C2")
    loop.create_task(wait_for_nobody(), name="C1")
    text = "deadlock at virtual time 0 s: no callback is ready, no timer is set, and these still wait: "
    with pytest.raises(Deadlock) as caught:
        loop.run_until_complete(loop.create_future())
    assert str(caught.value) == f"{text}C1 in wait_for_nobody(); C2 in wait_for_nobody()"
    loop.close()
    loop = VirtualLoop()
    with pytest.raises(Deadlock) as caught:
        loop.run_until_complete(loop.create_future())
    assert str(caught.value) == f"{text}nobody"
    loop.close()


def test_it_cannot_be_closed_while_it_runs(loop):
    """Nor is a future done on a loop that was stopped."""
    loop.call_at(1, loop.close)
    told: list[str] = []
    loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
    loop.run_until(1)
    assert (told, loop.is_closed()) == (["a running loop cannot be closed"], False)
    loop.call_at(2, loop.stop)
    with pytest.raises(RuntimeError, match=r"^the loop was stopped before the future was done$"):
        loop.run_until_complete(loop.create_future())


@pytest.mark.parametrize("is_task", [False, True])
def test_an_interrupt_that_is_raised_is_not_told_again(loop, is_task):
    """The caller of a coroutine has seen it; of a task, somebody else may yet ask, and asyncio tells if nobody did."""
    told: list[str] = []
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))

    async def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(loop.create_task(interrupt()) if is_task else interrupt())
    loop.run_until(0)  # where it has heard that it is done
    gc.collect()
    assert told == (["VirtualTask exception was never retrieved"] if is_task else [])


def test_an_interrupt_passes_through_one_that_has_not_ended(loop):
    """A callback is interrupted while the coroutine waits, or has been cancelled."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    for cancels in (False, True):
        task = loop.create_task(asyncio.sleep(10))
        if cancels:
            loop.call_soon(task.cancel)
        loop.call_soon(loop.call_soon, loop.call_soon, interrupt)
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)


class InterruptedLoop(VirtualLoop):
    """One to which something else is told just when a task has been made and not begun: as a signal or a thread may."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.tells = True

    def call_soon(  # type: ignore[override]
        self, *call: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon(*call, context=context)
        if self.tells and type(call[0]).__name__ == "TaskStepMethWrapper":
            self.tells = False
            other = self.create_task(self.tell("a task"))
            other.add_done_callback(self.told.append)
            super().call_soon_threadsafe(self.told.append, "a callback")
            super().call_soon(self.told.append, "is cancelled").cancel()
            self.tells = True
        return handle

    async def tell(self, what: str) -> None:
        self.told.append(what)


def test_what_comes_while_a_task_is_made_is_done_and_the_task_once():
    """Each in its turn; and the task takes its steps as a task of the loop's only."""
    loop = InterruptedLoop()
    steps: list[str] = []

    async def main() -> str:
        steps.append("first")
        await asyncio.sleep(1)
        steps.append("second")
        return "done"

    try:
        assert loop.run_until_complete(main()) == "done"
        assert steps == ["first", "second"]
        assert [str(told) for told in loop.told[:2]] == ["a task", "a callback"]
        assert len(loop.told) == 3
    finally:
        loop.close()
