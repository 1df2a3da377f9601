"""A live run in a thread of its own: what goes wrong there reaches whoever waits for it."""

import asyncio
import contextvars
import threading

import pytest

from streamlab.lab import running
from streamlab.lab.running import OwnThread, run_coroutine


class _Broken(asyncio.SelectorEventLoop):
    """A loop that cannot tidy up, as one cannot that watches more files than select() can."""

    async def shutdown_asyncgens(self) -> None:
        raise ValueError("filedescriptor out of range in select()")


def test_a_loop_that_breaks_is_an_error_and_no_endless_wait() -> None:
    """Whoever waits for the run is told."""

    async def work() -> None:
        await asyncio.sleep(0)

    with pytest.raises(ValueError, match="out of range"):
        run_coroutine(work, lambda: True, _Broken)


@pytest.mark.parametrize("moment", ["not started", "before there is a thread", "before the thread has begun"])
def test_an_interrupt_as_it_starts_leaves_nothing(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows then whether there is a thread: it is ended in any case, and waited for if there is one."""
    told: list[str] = []

    async def main() -> None:
        told.append("began")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            told.append("tidied up")

    start = threading.Thread.start

    def interrupted_start(thread: threading.Thread) -> None:
        if moment == "before the thread has begun":
            start(thread)
        raise KeyboardInterrupt

    own = OwnThread(main, lambda: "tidied up" in told)
    monkeypatch.setattr(running, "_TO_BEGIN", 0.5)
    if moment != "not started":
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted_start)
            with pytest.raises(KeyboardInterrupt):
                own.start()
    own.end()
    assert told in ([], ["began", "tidied up"])
    assert not any(thread.name == "streamlab-live" for thread in threading.enumerate())


def test_a_thread_that_begins_after_all_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody waited for any more."""
    told: list[str] = []

    async def main() -> None:
        told.append("began")

    own = OwnThread(main, lambda: False)
    monkeypatch.setattr(running, "_TO_BEGIN", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: None)
        own.start()
        own.end()
    own._thread.start()
    with pytest.raises(asyncio.CancelledError):
        own.result()
    assert told == []


def test_a_loop_that_cannot_be_made_is_an_error() -> None:
    def make_loop() -> asyncio.AbstractEventLoop:
        raise OSError("too many open files")

    async def work() -> None:
        await asyncio.sleep(0)

    with pytest.raises(OSError, match="too many"):
        run_coroutine(work, lambda: False, make_loop)


def test_it_has_the_context_of_who_asks_for_it() -> None:
    """A notebook's kernel knows by a context variable which cell is to show what is printed."""
    cell = contextvars.ContextVar[str]("cell", default="none")

    async def work() -> str:
        await asyncio.sleep(0)
        return cell.get()

    token = cell.set("the third")
    try:
        assert run_coroutine(work, lambda: False) == "the third"
    finally:
        cell.reset(token)


def test_a_second_interrupt_is_told_once_all_is_tidied_up(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    end, interrupts = OwnThread.end, ["one"]

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.3)
            told.append("tidied up")

    def interrupted_end(own: OwnThread[None]) -> None:
        if interrupts:
            interrupts.clear()
            own._is_to_end = True
            raise KeyboardInterrupt
        end(own)

    def interrupted_result(own: OwnThread[None]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(OwnThread, "end", interrupted_end)
    monkeypatch.setattr(OwnThread, "result", interrupted_result)
    with pytest.raises(KeyboardInterrupt):
        run_coroutine(work, lambda: False)
    assert told in ([], ["tidied up"])  # it may not even have begun
    assert not any(thread.name == "streamlab-live" for thread in threading.enumerate())
