"""A private server, and connections to it that show replies exactly as they came."""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import hiredis

from streamlab.stream_commands import CommandError, Reply

Version = tuple[int, int, int]
_PATIENCE_S = 10
VALKEY_AS_REDIS = (7, 2, 4)
Answer = Reply | CommandError


class Connection:
    """A blocking RESP2 connection over a unix socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_PATIENCE_S)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._reader = hiredis.Reader(
            replyError=CommandError, encoding="utf-8", errors="surrogateescape"
        )

    def send(self, *commands: Sequence[str]) -> None:
        """Send commands in one write."""
        self._socket.sendall(b"".join(map(_encode, commands)))

    def receive(self) -> Answer:
        """Wait for the next reply."""
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
        return _plain(reply)

    def poll(self) -> Answer | bool:
        """Return a reply if one has come, else False."""
        if not select.select([self._socket], [], [], 0)[0]:
            return False
        return self.receive()  # if it has begun to come, all of it will

    def ask(self, *args: str) -> Answer:
        """Send a command and wait for its reply."""
        self.send(args)
        return self.receive()

    def ask_timed(self, args: Sequence[str]) -> tuple[int, Answer, int]:
        """Send a command; return its reply and the server's time in ms before and after it."""
        self.send(("TIME",), args, ("TIME",))
        before, reply, after = self.receive(), self.receive(), self.receive()
        return _as_ms(before), reply, _as_ms(after)

    def close(self) -> None:
        self._socket.close()


def _encode(args: Sequence[str]) -> bytes:
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg.encode("utf-8", "surrogateescape")
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


def _plain(reply: object) -> Answer:
    """Check that a reply has only the types that RESP2 knows."""
    if isinstance(reply, list):
        return [_plain(item) for item in reply]  # type: ignore[misc]
    assert reply is None or isinstance(reply, int | str | CommandError), reply
    return reply


def _as_ms(reply: Answer) -> int:
    assert isinstance(reply, list)
    seconds, microseconds = reply
    return int(str(seconds)) * 1000 + int(str(microseconds)) // 1000


class PrivateServer:
    """A server of our own, without a port and without persistence, gone when the test is."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.kind, self.version = identify(program)
        # Valkey left Redis at 7.2.4, and counts on its own since.
        self.as_redis = self.version if self.kind == "redis" else VALKEY_AS_REDIS
        self._folder = tempfile.mkdtemp(prefix="sl-")
        self.path = f"{self._folder}/s"
        self._process = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no"],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                self.connect().close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.close()
                    raise
                time.sleep(0.01)

    def connect(self) -> Connection:
        return Connection(self.path)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def identify(program: str) -> tuple[str, Version]:
    """Return what kind of server a program is, and its version."""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)", text)
    assert match, text
    return match[1].lower(), (int(match[2]), int(match[3]), int(match[4]))


def programs() -> list[str]:
    """Return the servers on the PATH: ``redis-server``, and others named like ``redis-server-8``."""
    found: dict[str, str] = {}
    for folder in os.get_exec_path():
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            path = os.path.join(folder, name)
            if re.fullmatch(r"(redis|valkey)-server(-[0-9.]+)?", name) and os.access(path, os.X_OK):
                found.setdefault(os.path.realpath(path), path)
    return [*found.values()]
