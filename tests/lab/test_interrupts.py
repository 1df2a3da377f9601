"""A lab that is interrupted (■ in a notebook, Ctrl-C) is not broken by it, and leaves nothing running."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamlab.lab.driving import LiveDriver
from streamlab.lab.lab import Lab
from streamlab.lab.live import LiveEngine
from streamlab.scenario import Scenario, load_scenario

# The driver is imported before anything is interrupted: pytest rewrites it, and of an interrupt in the midst of that
# Python 3.11 makes a SystemError. And one that comes in a weak reference's callback is lost by Python, which says so.
pytestmark = [
    pytest.mark.real_time("counts processes and threads, and interrupts them at a moment"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: Some thousands of events, faults among them, over some tenths of a second of computing.
BUSY = load_scenario("crash").replace(duration=20.0).with_faults("pause C1 at 4s for 1s", "kill C2 at 9s")


class Interrupts:
    """Sends this process SIGINT, as Ctrl-C does, after drawn times."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._is_armed = self._has_come = False
        self.n = 0

    def interrupt(self, *_: object) -> None:
        """Handle the signal."""
        if self._is_armed:
            self.n += not self._has_come
            self._has_come = True
            signal.raise_signal(signal.SIGINT)

    def after(self, seconds: float, act: Callable[[], object]) -> object:
        """Do something, and interrupt it after so long, if it takes so long.

        Python loses what comes in a callback of its garbage collector: whoever sees nothing happen presses again.
        """
        self._is_armed, self._has_come = True, False
        signal.setitimer(signal.ITIMER_REAL, seconds, 3.0)
        try:
            return act()
        finally:
            self._is_armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def until_done(self, act: Callable[[], object]) -> object:
        """Do something again and again until it comes to its end without an interrupt; at most five come."""
        most = self.n + 5
        while self.n < most:
            with contextlib.suppress(KeyboardInterrupt):
                return self.after(self._random.uniform(0.001, 0.08), act)
        return act()


@pytest.fixture
def interrupts() -> Iterator[Callable[[int], Interrupts]]:
    """Make what interrupts, by a seed."""
    made: list[Interrupts] = []

    def make(seed: int) -> Interrupts:
        made.append(Interrupts(seed))
        signal.signal(signal.SIGALRM, made[-1].interrupt)
        return made[-1]

    yield make
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def events(scenario: Scenario, *, clicked: bool) -> list[str]:
    lab = Lab(scenario)
    if clicked:
        lab.run_until(6.0)
        lab.kill("C3")
        lab.run_until(7.0)
        lab.restart("C3")
    return [event.to_json() for event in lab.run().events]


@pytest.mark.parametrize("seed", range(6))
def test_run_again_is_the_undisturbed_run(
    seed: int, interrupts: Callable[[int], Interrupts], caplog: pytest.LogCaptureFixture
) -> None:
    """Interrupted in ``run`` up to five times, at any moment: the same events in the end, to the letter."""
    lab, ctrl_c = Lab(BUSY), interrupts(seed)
    run = ctrl_c.until_done(lab.run)
    assert ctrl_c.n > 0
    assert [event.to_json() for event in run.events] == events(BUSY, clicked=False)  # type: ignore[attr-defined]
    lab.close()
    gc.collect()
    assert caplog.messages == []  # no "exception was never retrieved"


@pytest.mark.parametrize("seed", range(4))
def test_all_ways_to_let_time_pass(seed: int, interrupts: Callable[[int], Interrupts]) -> None:
    """run_until, step, go_to, wait_until, clicks: an interrupt changes nothing, and forgets no click."""
    lab, ctrl_c = Lab(BUSY), interrupts(seed)
    ctrl_c.until_done(lambda: lab.go_to(6.0))
    assert lab.now == 6.0
    lab.kill("C3")
    ctrl_c.until_done(lambda: lab.run_until(7.0))
    lab.restart("C3")
    ctrl_c.until_done(lambda: lab.wait_until(lambda now: now.at > 10.0))
    ctrl_c.until_done(lab.step)
    run = ctrl_c.until_done(lab.run)
    assert [event.to_json() for event in run.events] == events(BUSY, clicked=True)  # type: ignore[attr-defined]


def test_time_stands_where_it_was_interrupted(interrupts: Callable[[int], Interrupts]) -> None:
    """What is seen after an interrupt is the moment in which it came, not the beginning."""
    lab = Lab(BUSY)
    lab.run_until(3.0)
    with pytest.raises(KeyboardInterrupt):
        interrupts(1).after(0.05, lab.run)
    assert lab.now > 3.0
    assert lab.snapshot().at == lab.now
    lab.close()


# ---- live --------------------------------------------------------------------------------------------


def children() -> set[int]:
    """Return the processes that this one has started and that have not ended."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.add(int(stat.parent.name))
    return found


def until_gone(before: set[int], threads: int) -> None:
    """Wait until there are no more processes and threads than before; not for long."""
    deadline = time.monotonic() + 5
    while children() - before or threading.active_count() > threads:
        assert time.monotonic() < deadline, (children() - before, threading.enumerate())
        time.sleep(0.01)


@pytest.mark.redis
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("after", [0.005, 0.02, 0.1, 0.4, 0.9])
@pytest.mark.parametrize("way", ["play", "run"])
def test_a_live_lab_interrupted_at_its_start_is_closed(
    way: str, after: float, interrupts: Callable[[int], Interrupts]
) -> None:
    """Wherever the interrupt comes, ``close()`` ends every process, thread and server."""
    before, threads = children(), threading.active_count()
    lab = Lab("kill-and-recover", engine="live")
    with contextlib.suppress(KeyboardInterrupt):
        interrupts(1).after(after, lab.play if way == "play" else lab.run)
    lab.close()
    until_gone(before, threads)


@pytest.mark.redis
@pytest.mark.usefixtures("default_server_binary")
def test_a_live_lab_interrupted_just_as_it_has_begun_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt comes when the thread is there, and before anybody has been given what holds it."""
    start = LiveDriver.start

    def interrupted(driver: LiveDriver, hold: Callable[[LiveDriver | None], object]) -> LiveDriver:
        start(driver, hold)
        raise KeyboardInterrupt

    before, threads = children(), threading.active_count()
    monkeypatch.setattr(LiveDriver, "start", interrupted)
    lab = Lab("kill-and-recover", engine="live")
    with pytest.raises(KeyboardInterrupt):
        lab.play()
    assert threading.active_count() > threads
    lab.close()
    until_gone(before, threads)


@pytest.mark.redis
@pytest.mark.usefixtures("default_server_binary")
def test_a_cancellation_that_gets_lost_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's own time-outs swallow a cancellation that comes with them, and then the run would go on to its end."""

    async def swallow_one(self: LiveEngine, progress: object = None) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(20)
        await asyncio.sleep(20)

    monkeypatch.setattr(LiveEngine, "run", swallow_one)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Lab("kill-and-recover", engine="live").run()
    assert time.monotonic() - began < 15
