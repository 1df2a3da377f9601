"""Workers that joined a live run from other machines, as its lab sees them: told and heard by way of Redis."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

import redis

from streamlab.actors.events import (
    ACKED,
    ADDED,
    CLAIMED,
    CRASHED,
    DEAD_LETTERED,
    DELIVERED,
    GROUP_DESTROYED,
    PROCESSED,
    RECREATED,
    STREAM_DELETED,
    TRIMMED,
    VOID,
)
from streamlab.lab.course import Course
from streamlab.lab.letterbox import SIGN_EVERY, SILENCE_MS, Letterbox, clock_against, offer, post, take
from streamlab.lab.live_process import WorkerProcess
from streamlab.lab.play import Part
from streamlab.lab.stage import Host
from streamlab.results.events import Event
from streamlab.results.final_state import FinalState
from streamlab.scenario import Scenario, ScenarioError, to_dict
from streamlab.scenario.action import LAB
from streamlab.scenario.actions import AddConsumer
from streamlab.scenario.groups import Groups
from streamlab.servers.client import sync_stream_client

#: Seconds within which a killed worker has to be gone.
_KILL_LIMIT: Final = 5.0
#: What a worker did that died without a word, it did just before.
_JUST_BEFORE: Final = 1e-6
_SETTLES: Final = (ACKED, VOID, DEAD_LETTERED, TRIMMED)
_RESETS: Final = (GROUP_DESTROYED, STREAM_DELETED, RECREATED)


class Guest:
    """Somebody who joined: a machine that runs one life of a consumer after the other."""

    def __init__(self, client: redis.Redis, box: Letterbox, guest: str, clock: float) -> None:
        self.client, self.clock = client, clock
        self._to, self._back, self.sign = box.to(guest), box.back(guest), box.sign(guest)
        self._lives: dict[int, _Distant] = {}
        #: Whether it went without a word: what it did last has not been heard of.
        self.is_lost = False
        self._look_at = 0.0

    def write(self, **letter: Any) -> None:
        """Tell it something."""
        post(self.client, self._to, letter)

    def start(self, scenario: Scenario, part: Part, patience: float) -> _Distant:
        """Have it start a life of an actor."""
        told = {
            "actor": part.name,
            "n_begun": part.n_begun,
            "slowness": part.slowness,
            "pace": part.pace,
            "counted": [str(action) for action in part.counted],
            "since": part.since,
        }
        life = self._lives[part.life] = _Distant(self, part.life)
        self.write(life=part.life, start=told, scenario=to_dict(scenario), patience=patience, clock=self.clock)
        return life

    def read(self) -> None:
        """Take in what it has written; or that it has gone, if it gives no sign of life."""
        letters = take(self.client, self._back)
        for letter in letters:
            life = self._lives[letter["life"]]
            life.out += letter.get("out", "").encode()
            life.said += letter.get("said", "").encode()
            if "ended" in letter:
                life.returncode = letter["ended"]
        if not letters and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + SIGN_EVERY
            if not self.client.exists(self.sign):
                for life in self._lives.values():
                    life.lose()

    def say_goodbye(self) -> None:
        """Tell it that the run is over; if it has left, tidy up after it."""
        if self.client.exists(self.sign):
            self.write(bye=True)
        else:
            self.client.delete(self._to, self._back)


class _Distant:
    """One life on another machine, in place of a `GuardedProcess`."""

    pid = None

    def __init__(self, guest: Guest, life: int) -> None:
        self._guest, self._life = guest, life
        self.out = self.said = b""
        self.returncode: int | None = None

    @property
    def alive(self) -> bool:
        return self.returncode is None

    def send(self, data: bytes) -> int:
        self._guest.write(life=self._life, tell=data.decode())
        return len(data)

    def receive(self) -> bytes | None:
        """Return what it has written; None for nothing yet, b"" once it has ended."""
        self._guest.read()
        out, self.out = self.out, b""
        return out or (None if self.alive else b"")

    def hear(self) -> bytes:
        said, self.said = self.said, b""
        return said

    def lose(self) -> None:
        """Take it for dead: its machine gives no sign of life."""
        if self.alive:
            self._guest.is_lost = True
            self.said += f"its machine has not been heard of for {SILENCE_MS / 1000:g} s\n".encode()
            self.returncode = 1

    def _signal(self, name: str) -> None:
        if self.alive:
            self._guest.write(life=self._life, signal=name)

    def terminate(self) -> None:
        self._signal("SIGTERM")

    def pause(self) -> None:
        self._signal("SIGSTOP")

    def resume(self) -> None:
        self._signal("SIGCONT")

    def kill(self) -> None:
        self._signal("SIGKILL")
        deadline = time.monotonic() + _KILL_LIMIT
        while self.alive and time.monotonic() < deadline:
            self._guest.read()
            time.sleep(0.001)

    def close(self) -> None:
        """There is nothing to let go of."""


class JoinedProcess(WorkerProcess):
    """A life of a consumer on a machine that joined."""

    process: _Distant

    def __init__(
        self, guest: Guest, scenario: Scenario, part: Part, lab: Host, cut: Callable[[str], Coroutine[Any, Any, None]],
        patience: float,
    ) -> None:  # fmt: skip
        super().__init__(part, lab, cut)
        self.process = guest.start(scenario, part, patience)

    def _send(self, data: bytes) -> int:
        return self.process.send(data)

    def _receive(self) -> bytes | None:
        return self.process.receive()

    def _hear(self) -> None:
        self._note_said(self.process.hear())

    def close(self) -> None:
        with contextlib.suppress(redis.RedisError):  # without its server, it ends by itself
            super().close()


class Reception:
    """Lets workers from elsewhere join a run, under a name, as long as it lasts; close it at the end."""

    def __init__(self, url: str, name: str) -> None:
        self._box = Letterbox(name)
        self._client = sync_stream_client(url, name="streamlab-lab")
        self._clock = 0.0
        self._is_open = False
        #: Who joined, by the name of the consumer that each is.
        self.guests: dict[str, Guest] = {}

    def open(self) -> None:
        """Take the name. Raises `ScenarioError` if another run has it."""
        if not self._client.set(self._box.offer, offer(), nx=True, px=SILENCE_MS):
            raise ScenarioError(f"another run is open under the name {self._box.run!r} there: take another name")
        self._is_open = True
        self._clock = clock_against(self._client)

    async def receive(self, course: Course) -> None:
        """Let each who asks be one more consumer, from the beginning of the run on."""
        due = 0.0
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + SIGN_EVERY
                self._client.set(self._box.offer, offer(), px=SILENCE_MS)
            for letter in take(self._client, self._box.joins) if course.now >= 0 and not course.is_ending else ():
                await self._admit(letter, course)
            await asyncio.sleep(0.05)

    async def _admit(self, letter: dict[str, Any], course: Course) -> None:
        guest = Guest(self._client, self._box, letter["guest"], self._clock)
        action = course.named(AddConsumer(letter["consumer"], group=letter["group"]))
        assert isinstance(action, AddConsumer)
        assert action.target is not None
        if action.target in course.processes:
            guest.write(refused=f"there is a consumer {action.target!r} already: take another name, or none")
            return
        self.guests[action.target] = guest
        try:
            await course.do_by_hand(action)
        except ScenarioError as error:
            del self.guests[action.target]
            guest.write(refused=str(error))

    def unheard(self, events: Sequence[Event], groups: Groups, finals: Sequence[FinalState]) -> Iterator[Event]:
        """Yield what those must have done who went without a word: it is acknowledged, and nobody tells of it."""
        if any(event.kind in _RESETS for event in events):
            return  # what is not pending need not have been acknowledged
        crashes = {event.actor: event.at for event in events if event.kind == CRASHED}
        added = [event.id for event in events if event.kind == ADDED]
        for (_, names), final in zip(groups.items(), finals, strict=True):
            lost = [name for name in names if name in self.guests and self.guests[name].is_lost]
            if not lost:
                continue
            settled = {event.id for event in events if event.kind in _SETTLES and event.actor in (*names, LAB)}
            left = settled.union(final.pending, final.undelivered)
            processed = {event.id for event in events if event.kind == PROCESSED and event.actor in names}
            given = {event.id: event.actor for event in events if event.kind in (DELIVERED, CLAIMED)}
            for entry_id in added:
                if entry_id not in left:
                    who = given.get(entry_id, "")
                    who = who if who in lost else lost[0]
                    kinds = [] if entry_id in given else [DELIVERED]
                    kinds += [ACKED] if entry_id in processed else [PROCESSED, ACKED]
                    for before, kind in zip(range(len(kinds), 0, -1), kinds, strict=True):
                        at = crashes[who] - before * _JUST_BEFORE
                        yield Event(at, kind, who, entry_id, 1 if kind == DELIVERED else 0)

    def close(self) -> None:
        """Say goodbye, and give the name back."""
        with contextlib.suppress(redis.RedisError):  # then what there is ends by itself
            if self._is_open:
                self._client.delete(self._box.offer, self._box.joins)
            for guest in self.guests.values():
                guest.say_goodbye()
        self._client.close()
