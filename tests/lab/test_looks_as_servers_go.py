"""What somebody who looks at a live run is shown and told in the very moment in which its server goes."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streamlab.lab.lab import Lab, LabError
from streamlab.lab.live import LiveEngine, LiveStage
from streamlab.lab.looker import Looker
from streamlab.lab.running import OwnThread
from streamlab.results.snapshot import Snapshot
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers
from streamlab.scenario.action_texts import parse_action
from streamlab.servers.private import PrivateServer

pytestmark = [pytest.mark.real_time("kills a live run's server"), pytest.mark.redis]

#: Its consumers always have something that is pending, and others wait.
SLOW = Scenario(
    name="slow",
    producers=producers(1, Arrivals("constant", rate=20)),
    consumers=consumers(2, Service("constant", mean=0.3), count=3),
    duration=60.0,
)


def engine_of(lab: Lab) -> LiveEngine:
    engine = lab._driver().engine  # type: ignore[union-attr]
    assert isinstance(engine, LiveEngine)
    return engine


class Struck:
    """Does something once, as soon as a look has learnt what is pending and is about to ask on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, strike: Callable[[], Any]) -> None:
        self.has_struck = False
        read = Looker._read_fields

        async def strike_first(looker: Looker, client: Any, ids: Sequence[str]) -> None:
            if ids and not self.has_struck:
                self.has_struck = True
                await strike()
            await read(looker, client, ids)

        monkeypatch.setattr(Looker, "_read_fields", strike_first)


def has_fields(now: Snapshot) -> bool:
    return bool(now.pending) and all(each.fields for each in now.pending)


def test_an_outage_that_begins_meanwhile_is_one_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown is what the server said last, for as long as it is down, and then again what it says."""
    with Lab(SLOW, engine="live") as lab:
        outage = parse_action("server-down for 700ms")
        struck = Struck(monkeypatch, lambda: engine_of(lab).course.do_by_hand(outage))
        found = lab.wait_until(lambda now: now.pending)
        assert struck.has_struck
        assert not has_fields(found)  # nobody could be asked for them
        while engine_of(lab).course.is_down:
            assert [each.id for each in lab.snapshot().pending] == [each.id for each in found.pending]
        lab.wait_until(has_fields)


def test_a_server_that_is_killed_meanwhile_is_told_of_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the client's own error, but with the server's last words, as whoever asks later is told."""
    with Lab(SLOW, engine="live") as lab:

        async def kill() -> None:
            server = engine_of(lab).stage._private
            assert isinstance(server, PrivateServer)
            server.kill()

        Struck(monkeypatch, kill)
        for ask in (lambda: lab.wait_until(lambda now: now.pending), lab.snapshot, lab.run):
            with pytest.raises(LabError, match=r"went away in the middle of the run; its last words: .*\w"):
                ask()


@pytest.mark.parametrize("why", ["its server died", "it was closed"])
def test_who_asks_while_it_is_tidied_up_is_told_why_it_ended(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """And waits for that: there is no client any more, and the loop that is asked may never come to it."""
    with Lab(SLOW, engine="live") as lab:
        lab.wait_until(lambda now: now.pending)
        engine, close, is_closed = engine_of(lab), LiveStage.close, threading.Event()

        async def close_slowly(stage: LiveStage) -> None:
            await close(stage)
            is_closed.set()
            await asyncio.sleep(0.3)

        monkeypatch.setattr(LiveStage, "close", close_slowly)
        if why == "it was closed":
            closing = threading.Thread(target=lab._live.close)  # type: ignore[union-attr]
            closing.start()
        else:
            assert isinstance(engine.stage._private, PrivateServer)
            engine.stage._private.kill()
        assert is_closed.wait(10.0)
        with pytest.raises(LabError, match="closed: take a new Lab" if why == "it was closed" else "its last words: "):
            lab.snapshot()
        assert not lab._driver()._thread.is_at_work  # type: ignore[union-attr]
        if why == "it was closed":
            closing.join()


def test_a_question_that_comes_too_late_is_no_coroutine_that_nobody_awaits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's loop has been closed between who asked whether it is there and the question. (Warnings are errors.)"""
    with Lab(SLOW, engine="live") as lab:
        driver = lab._driver()
        lab.snapshot()
    monkeypatch.setattr(OwnThread, "is_at_work", True)
    with pytest.raises(LabError, match="has been closed"):
        driver.ask(lambda lookout: lookout)
    gc.collect()
