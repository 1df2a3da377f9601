"""`join`: take part in a live run that is led from elsewhere, as one of its consumers; ``streamlab worker --join``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from typing import IO, Any, Final

import redis

from streamlab.lab.letterbox import SIGN_EVERY, SILENCE_MS, Letterbox, clock_against, post, take
from streamlab.lab.live_process import start_worker
from streamlab.lab.play import Part
from streamlab.lab.worker import Task
from streamlab.scenario import ScenarioError, from_dict
from streamlab.scenario.action_texts import parse_counted
from streamlab.servers.client import check_server, redact, stream_client, sync_stream_client
from streamlab.servers.processes import GuardedProcess
from streamlab.servers.stopping import Stopped
from streamlab.version import __version__

#: Seconds between two looks at what the worker has written, or what the lab has.
_LOOK_EVERY: Final = 0.005
#: What is in the worker's lines that is a time.
_TIMES: Final = ("at", "died", "paused")


def join(url: str, run: str, *, consumer: str | None = None, group: str | None = None) -> int:
    """Be one more consumer of a run, until it ends or this process is interrupted; return the exit status.

    The lab decides what happens to it: it may be killed and started again. An interrupt lets it finish what it holds.

    Raises
    ------
    ScenarioError, ServerUnusable
        If there is no such run, or it has no place for this consumer; or there is no such server.
    """
    asyncio.run(_check(url))
    client = sync_stream_client(url, name="streamlab-joined")
    try:
        return _Joined(client, url, Letterbox(run)).take_part(consumer, group)
    except redis.RedisError as error:
        print(f"{type(error).__name__} from {redact(url)}: {error}", file=sys.stderr)
        return 1
    finally:
        client.close()


async def _check(url: str) -> None:
    async with stream_client(url) as client:
        await check_server(client)


class _Joined:
    def __init__(self, client: redis.Redis, url: str, box: Letterbox) -> None:
        self._client, self._url, self._box = client, url, box
        self._guest = secrets.token_hex(8)
        self._clock = clock_against(client)
        self._ahead = 0.0  # of the lab's clock
        self._worker: GuardedProcess | None = None
        self._life = 0
        self._rest = b""
        self._unsent = b""
        self._is_leaving = False
        self._sign_at = 0.0

    def take_part(self, consumer: str | None, group: str | None) -> int:
        self._see_that_it_is_open()
        self._give_sign()
        post(self._client, self._box.joins, {"guest": self._guest, "consumer": consumer, "group": group})
        print(f"streamlab: waiting to join {self._box.run} at {redact(self._url)}", file=sys.stderr, flush=True)
        while True:
            try:
                return self._go_on()
            except KeyboardInterrupt as interrupt:
                if isinstance(interrupt, Stopped):
                    interrupt.note()  # it has been heard, though this goes on for a while
                self._client.connection_pool.disconnect()  # a reply may have been under way
                if self._is_leaving or self._worker is None:
                    return self._leave(130)
                self._is_leaving = True
                self._worker.terminate()

    def _go_on(self) -> int:
        """Do what the lab says, until it says goodbye or this one is to leave; return the exit status."""
        while True:
            if time.monotonic() >= self._sign_at:
                self._give_sign()
                if not self._client.exists(self._box.offer):
                    print("streamlab: the run has ended, or its lab has gone", file=sys.stderr)
                    return self._leave(0, is_over=True)
            for letter in take(self._client, self._box.to(self._guest)):
                if "bye" in letter:
                    return self._leave(0, is_over=True)
                if "refused" in letter:
                    raise ScenarioError(letter["refused"])
                self._obey(letter)
            self._tell()
            if self._is_leaving and self._worker is None:
                return self._leave(0)
            time.sleep(_LOOK_EVERY)

    def _leave(self, status: int, *, is_over: bool = False) -> int:
        """End the worker, and leave no key: but, unless the run is over, what the lab has still to read."""
        if self._worker is not None:
            self._worker.kill()
            self._tell()
        box, guest = self._box, self._guest
        self._client.delete(box.to(guest), box.sign(guest), *([box.back(guest)] if is_over else []))
        return status

    def _see_that_it_is_open(self) -> None:
        found: Any = self._client.get(self._box.offer)
        if found is None:
            raise ScenarioError(
                f"no run is open under the name {self._box.run!r} at {redact(self._url)}: start one by "
                f"`streamlab run … --engine live --redis … --open {self._box.run}`"
            )
        version = json.loads(found)["version"]
        if version != __version__:
            raise ScenarioError(f"the run is led by streamlab {version}, and this is {__version__}: take the same")

    def _give_sign(self) -> None:
        self._sign_at = time.monotonic() + SIGN_EVERY
        self._client.set(self._box.sign(self._guest), "", px=SILENCE_MS)

    # ---- what the lab says ---------------------------------------------------------------------

    def _obey(self, letter: dict[str, Any]) -> None:
        if "start" in letter:
            self._start(letter)
        elif letter["life"] != self._life or self._worker is None:
            return  # it has ended
        elif "tell" in letter:
            self._unsent += "".join(f"{line}\n" for line in self._in_own_time(letter["tell"])).encode()
        elif letter["signal"] == "SIGKILL":
            self._worker.kill()
        else:
            os.kill(self._worker.pid, getattr(signal, letter["signal"]))

    def _start(self, letter: dict[str, Any]) -> None:
        self._ahead = self._clock - letter["clock"]
        scenario, told = from_dict(letter["scenario"]), letter["start"]
        counted = tuple(map(parse_counted, told.pop("counted")))
        actor = next(each for each in scenario.consumers if each.name == told["actor"])
        part = Part(**told | {"actor": actor, "life": letter["life"], "counted": counted})
        self._life, self._rest = letter["life"], b""
        self._worker = start_worker()
        self._unsent = Task(self._url, scenario, part, letter["patience"]).to_line().encode() + b"\n"
        print(f"streamlab: {part.name} plays in {scenario.name}, life {part.life}", file=sys.stderr, flush=True)

    def _in_own_time(self, lines: str) -> Iterator[str]:
        """Yield the lab's lines, in which a number by itself is a time."""
        for line in lines.splitlines():
            order = json.loads(line)
            yield json.dumps(order + self._ahead) if isinstance(order, (int, float)) else line

    # ---- what the worker says ------------------------------------------------------------------

    def _tell(self) -> None:
        """Tell the lab what the worker has written, and whether it has ended; and the worker what the lab has."""
        worker = self._worker
        if worker is None:
            return
        has_ended = not worker.alive  # before looking at what it has written: all of it is there then
        assert worker.stdin is not None
        if self._unsent and not has_ended:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):  # it is paused, or ends: the next look tells
                self._unsent = self._unsent[os.write(worker.stdin.fileno(), self._unsent) :]
        *lines, self._rest = (self._rest + _read(worker.stdout)).split(b"\n")
        letter: dict[str, Any] = {"out": "".join(f"{self._in_its_time(line.decode())}\n" for line in lines)}
        letter["said"] = _read(worker.stderr).decode(errors="replace")
        if has_ended:
            letter["ended"] = worker.returncode
            worker.close()
            self._worker = None
        if any(value != "" for value in letter.values()):
            post(self._client, self._box.back(self._guest), {"life": self._life, **letter})

    def _in_its_time(self, line: str) -> str:
        """Return a line of the worker's in the lab's time."""
        start = line.find("{")
        if start < 0:
            return line
        told = json.loads(line[start:])
        for name in _TIMES:
            if name in told:
                told[name] -= self._ahead
        return json.dumps(told)


def _read(pipe: IO[bytes] | None) -> bytes:
    """Return all that is in a pipe by now."""
    assert pipe is not None
    found = b""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(pipe.fileno(), 1 << 16):
            found += data
    return found
