"""Programs of somebody's own, in any language, as the consumers of a live run: each behind a proxy of its own.

They are told a URL, the stream, the group and their name, and nothing is asked of them: what they do is seen by
the proxy (`LifeWitness`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamlab.actors.events import STARTED, STOPPED
from streamlab.lab.errors import LabError
from streamlab.lab.live import LiveStage
from streamlab.lab.machine_process import MachineProcess
from streamlab.lab.play import Part
from streamlab.lab.stage import Host, Process
from streamlab.lab.witness import Books, LifeWitness
from streamlab.results.events import Event, EventLog
from streamlab.scenario import Consumer, Scenario, ScenarioError
from streamlab.scenario.action import CountedAction
from streamlab.scenario.actions import AddConsumer, LostReply
from streamlab.servers.processes import GuardedProcess, guarded_popen
from streamlab.servers.proxy import Proxy, Watcher
from streamlab.servers.proxy_events import ENTRY_ID, GroupWatcher

#: Seconds within which a program has to ask for an entry, the first time.
_START_LIMIT: Final = 30.0
#: A life that ends by itself within so many seconds, without having done anything, is short …
_SHORT: Final = 2.0
#: … and after so many of them, one after the other, the run is given up.
_MANY: Final = 5
#: Lines of a program's last words that are shown.
_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Program:
    """A program, and what it is told.

    Attributes
    ----------
    command
        As it would be typed; in it, {url}, {stream}, {group} and {consumer} stand for what each is told. No shell
        reads it.
    effects
        Where its effects are told: the key of a hash or a stream, "stdout", or "" for nowhere.
    restarts
        Whether it is started again when it has ended.
    """

    command: str
    effects: str = ""
    restarts: bool = True

    @property
    def effects_key(self) -> str | None:
        """The key to which effects are written, if they are."""
        return self.effects if self.effects not in ("", "stdout") else None

    def words(self, told: dict[str, str]) -> list[str]:
        """Return the command's words; raise `ScenarioError` if there are none."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ScenarioError(f"--worker {self.command!r}: {error}") from None
        if not words:
            raise ScenarioError("--worker is empty: give the command that starts your consumer")
        for name, value in told.items():
            words = [word.replace(f"{{{name.lower()}}}", value) for word in words]
        return words


class ForeignProcess(MachineProcess):
    """One life of a program. It is started when it begins, and not before."""

    process: GuardedProcess | None

    def __init__(
        self,
        part: Part,
        lab: Host,
        start: Callable[[], GuardedProcess],
        make_witness: Callable[[ForeignProcess], LifeWitness],
        stage: ForeignStage,
    ) -> None:
        super().__init__(part, lab)
        self._start_process = start
        self._stage = stage
        self.ready = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._is_asked = False
        self._error: LabError | None = None
        self._output = b""
        self.witness = make_witness(self)
        for action in part.counted:
            self.witness.count(action)

    @property
    def died_at(self) -> float | None:
        """When it died, by the loop's clock; None if it has not, or stopped."""
        return self._died_at

    def has_begun(self, now: float) -> bool:
        return self.process is not None and self.begins_at <= now

    # ---- what can be done to it ----------------------------------------------------------------

    def begin(self, at: float) -> None:
        self.begins_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._start)

    def _start(self) -> None:
        if self.has_ended or self.process is not None:
            return
        try:
            self.process = self._start_process()
        except LabError as error:
            self._error = error  # for whoever reads next, since no one hears a callback
            return
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._lab.heard(Event(time.monotonic(), STARTED, self.name))

    def stop(self, *, at_end: bool = False) -> None:
        self._is_asked = True
        if self.process is not None:
            self.process.terminate()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._lab.ended(self)

    def cut(self) -> Coroutine[Any, Any, None] | None:
        self._stage.proxies[self.name].cut()
        return None

    def order(self, **order: object) -> None:
        pass  # a program can be told nothing

    def count(self, action: CountedAction) -> None:
        counted = action.counted_from(self.n_begun)
        self.witness.count(counted)
        self._lab.counted(counted)

    def stand_still_soon(self, after: float, duration: float) -> None:
        """Let it stand still in a moment, for so many seconds."""
        asyncio.get_running_loop().call_later(after, self._stand_still, duration)

    def _stand_still(self, duration: float) -> None:
        if not self.has_ended:
            self.hold()
            self._lab.is_paused(self, time.monotonic(), duration)

    # ---- what it says --------------------------------------------------------------------------

    def _hear(self) -> None:
        assert self.process is not None
        self._listen_to(self.process.stderr)

    def read(self) -> None:
        if self._error is not None:
            raise self._error
        if self.has_ended or self.process is None:
            return
        has_gone = not self.process.alive  # before looking at what it has written: all of it is there then
        self.hear()
        if has_gone and not self.has_ended:
            self._note_end()

    def hear(self) -> None:
        """Take in what it has written."""
        if self.process is None or self.has_ended:
            return
        self._hear()
        assert self.process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.process.stdout.fileno(), 1 << 16):
                *lines, self._output = (self._output + data).split(b"\n")
                self._take(lines)

    def _take(self, lines: Sequence[bytes]) -> None:
        if self._stage.program.effects == "stdout":
            for line in lines:
                self.witness.told(ENTRY_ID.findall(line.decode(errors="replace")))
        else:
            self._said = (self._said + b"".join(line + b"\n" for line in lines))[-10_000:]

    def _note_end(self) -> None:
        status = self._running.returncode
        lived = time.monotonic() - self.begins_at
        self._running.close()
        self.ready.set()
        by_itself = self._died_at is None and not self._is_asked
        if by_itself:
            self._died_at = time.monotonic()
            if not self._stage.program.restarts:
                self._why = "" if status == 0 else self.last_words(1)
                self._died_at = None if status == 0 else self._died_at
        if self._died_at is None:
            self._lab.heard(Event(time.monotonic(), STOPPED, self.name))
        self._lab.ended(self, died_at=self._died_at, why=self._why)
        is_short = by_itself and lived < _SHORT and not self.witness.has_done and not self._lab.is_down
        self._stage.note_life(self, is_short)

    def last_words(self, lines: int = _LINES) -> str:
        """Return the last lines of what it said."""
        said = self._said.decode(errors="replace").strip().splitlines()[-lines:]
        return "\n".join(said) or f"exit status {self._running.returncode}, and not a word on its error output"


class ForeignStage(LiveStage):
    """A real server, and behind a proxy each the processes of a program that knows nothing of its lab."""

    last_call = 5.0
    may_claim = True

    def __init__(self, scenario: Scenario, redis_url: str | None, program: Program, log: EventLog) -> None:
        super().__init__(scenario, redis_url, keeps=scenario.needs_persistence)
        self.program = program
        self.books = Books(log)
        self.proxies: dict[str, Proxy] = {}
        self._alive: dict[str, ForeignProcess] = {}
        self._short_lives: dict[str, int] = {}
        # Through the proxies' ports every user of this machine could reach it.
        self.password = secrets.token_hex(12)

    async def open(self, course: Host) -> None:
        await super().open(course)
        names = [consumer.name for consumer in self._scenario.consumers]
        names += [
            action.target for action in self._scenario.actions if isinstance(action, AddConsumer) and action.target
        ]
        for name in dict.fromkeys(names):
            self.proxies[name] = self._proxies[name] = await self._proxy(name).start()

    def _proxy(self, name: str) -> Proxy:
        def watch() -> Watcher | None:
            process = self._alive.get(name)
            if process is None:
                return None
            scenario, effects = self._scenario, self.program.effects_key
            return GroupWatcher(scenario.stream, scenario.group, effects, process.witness)

        try:
            return Proxy(self.url, tcp=True, watch=watch)
        except ValueError as error:
            raise LabError(f"{error}: torture needs one server, without TLS") from None

    def spawn(self, part: Part) -> MachineProcess:
        if not isinstance(part.actor, Consumer):
            return super().spawn(part)
        course = self._course
        assert course is not None
        process = self._alive[part.name] = ForeignProcess(
            part, course, lambda: self._popen(part.name), self._witness, self
        )
        self.lives.append(process)
        return process

    def _witness(self, process: ForeignProcess) -> LifeWitness:
        program = self.program
        return LifeWitness(
            process,
            self.books,
            effects_are_told=bool(program.effects),
            effects_are_seen=program.effects_key is not None,
            now=time.monotonic,
        )

    def _popen(self, name: str) -> GuardedProcess:
        told = {
            "URL": self.proxies[name].url,
            "STREAM": self._scenario.stream,
            "GROUP": self._scenario.group,
            "CONSUMER": name,
        }
        words = self.program.words(told)
        told["REDIS_URL"] = told.pop("URL")
        try:
            return guarded_popen(
                words,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **told},
            )
        except OSError as error:
            raise LabError(f"{name} cannot be started: {words[0]}: {error.strerror or error}") from None

    async def until_ready(self, processes: Iterable[Process]) -> None:
        consumers = [process for process in processes if isinstance(process, ForeignProcess)]
        await super().until_ready(process for process in processes if process not in consumers)
        for process in consumers:
            process.begin(time.monotonic())
        for process in consumers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.ready.wait(), _START_LIMIT)
            if process.has_ended:
                raise LabError(
                    f"{process.name} ended before it had asked for an entry; it said:\n{process.last_words()}"
                )
            if not process.ready.is_set():
                raise LabError(
                    f"{process.name} has not asked for an entry within {_START_LIMIT:g} s (XREADGROUP GROUP "
                    f"{self._scenario.group} … STREAMS {self._scenario.stream} …): does it connect to REDIS_URL?"
                )

    async def let_wait(self, consumer: Process) -> None:
        pass  # `until_ready` has seen it ask

    def note_life(self, process: ForeignProcess, is_short: bool) -> None:
        """Count lives that end at once; raise `LabError` when there are too many."""
        n = self._short_lives[process.name] = self._short_lives.get(process.name, 0) + 1 if is_short else 0
        if n >= _MANY and self.program.restarts:
            raise LabError(
                f"{process.name} has ended by itself {n} times, each time within {_SHORT:g} s and without having done "
                f"anything; the last time it said:\n{process.last_words()}"
            )

    async def lose_reply(self, action: LostReply) -> None:
        if action.target in self.proxies:
            self.proxies[action.target].lose_reply(action.command, action.nth)
        else:
            await super().lose_reply(action)

    def end_last(self, process: Process) -> str:
        process.kill()
        return ""  # a program need not know of SIGTERM
