"""Small programs do on a `VirtualLoop` what they do on asyncio's own loop: cancellations and async generators."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from streamlab.virtual.loop import VirtualLoop

Tell = Callable[..., None]
Program = Callable[[Tell], Coroutine[Any, Any, Any]]

PROGRAMS: dict[str, Program] = {}


def program(function: Program) -> Program:
    PROGRAMS[function.__name__] = function
    return function


class Reason(asyncio.CancelledError):
    """A cancellation of one's own."""


async def outcome(awaitable: Any) -> Any:
    """Return what comes of awaiting something: a value, or the kind of an error and its arguments."""
    try:
        return await awaitable
    except BaseException as error:
        return type(error).__name__, error.args


def waits() -> dict[str, Callable[[], Any]]:
    """Give each way in which a task can wait."""
    loop = asyncio.get_running_loop()

    async def in_task_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(9))
            await asyncio.sleep(9)

    async def in_child_of_task_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(9))

    async def in_timeout() -> None:
        async with asyncio.timeout(9):
            await asyncio.sleep(9)

    async def in_finally() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            await asyncio.sleep(0.01)

    async def in_generator() -> None:
        async for _ in forever():
            pass

    async def forever() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(9)
        yield 2

    async def locked() -> None:
        lock = asyncio.Lock()
        await lock.acquire()
        await lock.acquire()

    async def condition() -> None:
        one = asyncio.Condition()
        async with one:
            await one.wait()

    return {
        "sleep": lambda: asyncio.sleep(9),
        "no sleep": lambda: asyncio.sleep(9e9),
        "future": lambda: loop.create_future(),
        "event": lambda: asyncio.Event().wait(),
        "queue": lambda: asyncio.Queue().get(),
        "lock": locked,
        "condition": condition,
        "semaphore": lambda: asyncio.Semaphore(0).acquire(),
        "task": lambda: asyncio.create_task(asyncio.sleep(9)),
        "task of a task": lambda: asyncio.create_task(outcome(asyncio.create_task(never()))),
        "shield": lambda: asyncio.shield(asyncio.create_task(asyncio.sleep(0.05))),
        "gather": lambda: asyncio.gather(asyncio.sleep(9), never()),
        "gather, errors wanted": lambda: asyncio.gather(asyncio.sleep(9), never(), return_exceptions=True),
        "wait_for": lambda: asyncio.wait_for(asyncio.sleep(9), 99),
        "wait": lambda: asyncio.wait([asyncio.create_task(asyncio.sleep(0.05))]),
        "as_completed": lambda: next(asyncio.as_completed([asyncio.sleep(0.05)])),
        "task group": in_task_group,
        "task group, at its end": in_child_of_task_group,
        "timeout": in_timeout,
        "finally": in_finally,
        "generator": in_generator,
        "thread-like future": lambda: asyncio.wrap_future(_pending()),
    }


def _pending() -> Any:
    import concurrent.futures

    return concurrent.futures.Future()


async def never() -> None:
    await asyncio.get_running_loop().create_future()


@program
async def cancelled_with_a_message(tell: Tell) -> None:
    for name, wait in waits().items():
        for steps in (["why"], ["why", "and why"], [("a", "b")], [None], [7, None]):

            async def work(wait: Any = wait) -> Any:
                try:
                    return await wait()
                except BaseException as error:
                    tell("inside", type(error).__name__, error.args)
                    raise

            task = asyncio.create_task(work())
            await asyncio.sleep(0.005)
            for message in steps:
                tell(name, task.cancel(message), task.cancelling())
            tell(name, await outcome(task), task.cancelled())
            tell(name, await outcome(task))  # once more
    await asyncio.sleep(0.1)


@program
async def cancelled_when_what_it_waits_for_is(tell: Tell) -> None:
    """The first reason is the one that is told; one that has been told already is not told again."""
    loop = asyncio.get_running_loop()

    async def work(future: Any, then: Any) -> Any:
        try:
            return await future
        except asyncio.CancelledError as error:
            tell(error.args)
            return await then()

    for then in (lambda: asyncio.sleep(0.02), lambda: asyncio.sleep(0)):
        for n_turns in range(3):
            for outcome_of_future in ("cancel", "set_result", "set_exception"):
                future = loop.create_future()
                task = asyncio.create_task(work(future, then))
                await asyncio.sleep(0)
                done = {"set_exception": LookupError("x")}.get(outcome_of_future, "first")
                getattr(future, outcome_of_future)(done)
                for _ in range(n_turns):
                    await asyncio.sleep(0)
                tell(task.cancel("second"))
                tell(outcome_of_future, n_turns, await outcome(task))


@program
async def cancelled_at_each_step(tell: Tell) -> None:
    async def work() -> None:
        for n, seconds in enumerate((0, 0, 9, 0)):  # the 9 s never pass: what a turn takes is the machine's affair
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError as error:
                tell("cancelled in", n, error.args)
                raise

    for n_turns in range(6):
        task = asyncio.create_task(work())
        for _ in range(n_turns):
            await asyncio.sleep(0)
        tell(n_turns, task.cancel("turn"))
        tell(await outcome(task))


@program
async def cancelled_by_itself(tell: Tell) -> None:
    async def itself(then: str) -> Any:
        task = asyncio.current_task()
        assert task is not None
        tell(task.cancel("myself"))
        if then == "return":
            return "value"
        if then == "raise":
            raise LookupError("x")
        if then == "uncancel":
            tell(task.uncancel(), task.cancelling())
        await (asyncio.sleep(0) if then == "yield" else asyncio.sleep(0.001))
        return "slept"

    for then in ("return", "raise", "yield", "sleep", "uncancel"):
        task = asyncio.create_task(itself(then))
        tell(then, await outcome(task))
        tell(then, await outcome(task))  # once more


@program
async def raised_by_hand(tell: Tell) -> None:
    async def raises(error: BaseException) -> None:
        await asyncio.sleep(0)
        raise error

    async def replaces(error: BaseException) -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            raise error from None

    for make in (
        lambda: asyncio.CancelledError("by hand"),
        lambda: asyncio.CancelledError("two", "arguments"),
        lambda: asyncio.CancelledError(),
        lambda: Reason("own"),
        lambda: Reason("own", 7),
    ):
        task = asyncio.create_task(raises(make()))
        tell(await outcome(task), task.cancelled())
        task = asyncio.create_task(replaces(make()))
        await asyncio.sleep(0.001)
        task.cancel("replaced")
        tell(await outcome(task), task.cancelled())
        tell(await outcome(asyncio.gather(raises(make()), asyncio.sleep(0))))
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                group.create_task(raises(make()))
        tell(await outcome(asyncio.wait_for(raises(make()), 1)))


@program
async def results_of_cancelled_tasks(tell: Tell) -> None:
    task = asyncio.create_task(asyncio.sleep(9))
    await asyncio.sleep(0)
    task.cancel("asked")
    await asyncio.wait([task])
    for ask in (task.result, task.exception, task.result):
        try:
            ask()
        except BaseException as error:
            tell(type(error).__name__, error.args)
    future = asyncio.get_running_loop().create_future()
    future.cancel("a future")
    tell(await outcome(future))
    told: list[Any] = []
    task = asyncio.create_task(never())
    task.add_done_callback(lambda t: told.append(t.cancelled()))
    await asyncio.sleep(0)
    task.cancel("seen by callbacks")
    await asyncio.sleep(0)
    tell(task.done(), told)
    await asyncio.sleep(0)
    tell(task.done(), told)


@program
async def time_outs(tell: Tell) -> None:
    async def slow() -> None:
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError as error:
            tell("slow", error.args)
            raise

    tell(await outcome(asyncio.wait_for(slow(), 0.01)))
    tell(await outcome(asyncio.wait_for(slow(), 0)))

    async def within(seconds: float | None) -> None:
        async with asyncio.timeout(seconds) as timeout:
            await asyncio.sleep(0.001)
            timeout.reschedule(asyncio.get_running_loop().time())
            await slow()

    tell(await outcome(within(5)))
    outer = asyncio.create_task(within(None))
    await asyncio.sleep(0)
    outer.cancel("from outside")
    tell(await outcome(outer))
    tell(await outcome(asyncio.wait_for(asyncio.sleep(0.001, "in time"), float("inf"))))


# ---- async generators --------------------------------------------------------------------------


async def numbers(tell: Tell, name: str, *, slow: float = 0.0) -> AsyncGenerator[int, None]:
    try:
        for n in range(9):
            yield n
            await asyncio.sleep(0)
    except BaseException as error:
        tell(name, "ends by", type(error).__name__, error.args)
        raise
    finally:
        tell(name, "closes")
        await asyncio.sleep(slow)
        tell(name, "is closed")


async def turns(tell: Tell, n: int) -> None:
    for turn in range(n):
        tell("turn", turn)
        await asyncio.sleep(0)


@program
async def left_by_break(tell: Tell) -> None:
    beside = asyncio.create_task(turns(tell, 8))
    await asyncio.sleep(0)
    async for n in numbers(tell, "left"):
        if n == 1:
            break
    tell("after break")
    await asyncio.sleep(0)
    tell("a turn later")
    await beside


@program
async def left_by_return_and_by_an_error(tell: Tell) -> None:
    async def first() -> int:
        async for n in numbers(tell, "returned"):
            return n
        return -1

    async def fails() -> None:
        async for n in numbers(tell_and_notice, "failed", slow=0.002):
            raise LookupError(n)

    closed = asyncio.Event()

    def tell_and_notice(*what: Any) -> None:
        tell(*what)
        if what == ("failed", "is closed"):
            closed.set()

    tell(await first())
    await turns(tell, 4)
    tell(await outcome(fails()))
    await closed.wait()
    task = asyncio.create_task(first())
    await turns(tell, 6)
    tell(await task)


@program
async def left_by_a_cancelled_task(tell: Tell) -> None:
    async def reads() -> None:
        async for _ in numbers(tell, "cancelled"):
            await asyncio.sleep(9)

    task = asyncio.create_task(reads())
    await asyncio.sleep(0.001)
    task.cancel("enough")
    tell(await outcome(task))
    del task
    await turns(tell, 4)


@program
async def closed_by_hand(tell: Tell) -> None:
    one = numbers(tell, "by hand")
    tell(await anext(one))
    await one.aclose()
    tell(await outcome(anext(one)))
    async with contextlib.aclosing(numbers(tell, "closing")) as two:
        tell(await anext(two))
    three = numbers(tell, "thrown into")
    tell(await anext(three))
    tell(await outcome(three.athrow(LookupError("x"))))
    numbers(tell, "never begun")


@program
async def left_open_at_the_end(tell: Tell) -> None:
    """Runner closes them when the program is over; one of them with an error."""
    kept.clear()
    for name in ("first", "second", "third"):
        kept.append(numbers(tell, name))
        await anext(kept[-1])
    failing = fails_to_close(tell)
    await anext(failing)
    kept.append(failing)


async def fails_to_close(tell: Tell) -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        tell("fails to close")
        raise LookupError("while closing")


kept: list[Any] = []


@program
async def left_with_a_context(tell: Tell) -> None:
    color: contextvars.ContextVar[str] = contextvars.ContextVar("color", default="none")

    async def colored() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            tell("closed in", color.get())

    async def leave(name: str) -> None:
        color.set(name)
        async for _ in colored():
            break

    await asyncio.gather(leave("red"), leave("blue"))
    color.set("white")
    await turns(tell, 3)


class SlowLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on a busy machine: each of its turns takes 5 ms longer."""

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]  # not in the stubs
        time.sleep(0.005)


@pytest.mark.parametrize("of_asyncio", [asyncio.new_event_loop, SlowLoop])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_does_what_it_does_on_asyncios_loop(
    name: str, of_asyncio: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Step by step: what each part is told, in which order, and what the loop is told of errors."""
    told = {}
    for kind, make in {"asyncio": of_asyncio, "virtual": VirtualLoop}.items():
        seen: list[Any] = []

        def tell(*what: Any, seen: list[Any] = seen) -> None:
            seen.append(what)

        async def main(tell: Tell = tell) -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: tell("handler", context["message"].partition("<")[0]))
            await PROGRAMS[name](tell)
            tell("over")

        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main())
        kept.clear()
        told[kind] = seen
    assert len(told["asyncio"]) > 3
    if name == "left_open_at_the_end":  # where asyncio's own order is that of a set
        begun = [what[0] for what in told["virtual"] if what[1:2] == ("ends by",)]
        assert begun == ["first", "second", "third"]
        for seen in told.values():
            seen.sort(key=str)
    assert told["virtual"] == told["asyncio"]
