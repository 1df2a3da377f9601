"""Several private servers that belong together: started as one, reached by one URL, gone with their owner."""

from __future__ import annotations

import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from streamlab.servers.client import sync_stream_client
from streamlab.servers.private import Persistence, PrivateServer
from streamlab.servers.programs import ServerBinary, ServerStartError

#: Seconds that a server is given for an answer: it may be paused.
_ANSWERED_WITHIN = 1.0
#: How often other ports are tried if a program has taken one between our choice and the server's start.
_PORT_TRIES = 5


class PrivateServers(ABC):
    """Several real servers of one's own that know each other: a context manager, or `start` and `stop` them.

    They find each other by TCP, on ports of 127.0.0.1, so they have a random password. Each is a `PrivateServer`,
    to be killed, paused and restarted by itself.
    """

    def __init__(self, binary: str | os.PathLike[str] | ServerBinary | None, persistence: Persistence) -> None:
        self._wanted = binary
        self._persistence: Persistence = persistence
        self._password = secrets.token_hex(16)
        self._binary: ServerBinary | None = None
        #: Those that hold data.
        self.servers: list[PrivateServer] = []

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for `connect`, with the password."""

    @abstractmethod
    def _launch(self, timeout: float) -> None:
        """Start all of them, and wait until they are of use."""

    def start(self, timeout: float = 20.0) -> Self:
        """Start all servers and wait until they have found each other, at most ``timeout`` seconds.

        Raises `ServerStartError` if they have not.
        """
        if self.servers:
            raise RuntimeError(f"{self!r} runs already")
        for left in reversed(range(_PORT_TRIES)):
            try:
                self._launch(timeout)
            except BaseException as error:
                self.stop()
                if not left or not isinstance(error, ServerStartError) or "in use" not in str(error):
                    raise
            else:
                break
        return self

    def stop(self) -> None:
        """End all servers and remove their folders. Stopping twice is allowed."""
        with ExitStack() as stack:
            for server in self._all():
                stack.callback(server.stop)
        self.servers.clear()

    def _all(self) -> list[PrivateServer]:
        """Return every server, those that hold no data as well."""
        return self.servers

    @property
    def binary(self) -> ServerBinary:
        """The program that they run."""
        if self._binary is None:
            self._binary = PrivateServer(self._wanted).binary
        return self._binary

    def _server(self, port: int, **options: str | int) -> PrivateServer:
        """Make a server that holds data; options are lines of redis.conf, with "_" for "-"."""
        named = {name.replace("_", "-"): value for name, value in options.items()}
        return PrivateServer(
            self.binary,
            persistence=self._persistence,
            password=self._password,
            port=port,
            options={
                "masterauth": self._password,
                # By way of a file, a replica's first copy is made at once, and what is written then follows at once.
                # Without one, the primary waits 5 s for other replicas; and the replica, which counts as online by
                # then, is sent nothing more until it has told, in the next second, that it has the copy.
                "repl-diskless-sync": "no",
                **named,
            },
        )

    def __enter__(self) -> Self:
        return self if self.servers else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        n_alive = sum(server.alive for server in self.servers)
        return f"<{type(self).__name__}: {n_alive} of {len(self.servers)} servers alive>"


def free_ports(n: int) -> list[int]:
    """Return so many TCP ports of 127.0.0.1 on which nothing listens."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]


def ask(server: PrivateServer, *command: str | int) -> Any:
    """Return a server's reply to a command, sent to its unix socket."""
    with sync_stream_client(server.url, read_timeout=_ANSWERED_WITHIN) as client:
        return client.execute_command(*command)


def wait_until(condition: Callable[[], bool], what: str, timeout: float) -> None:
    """Ask again and again until it is so; raise `ServerStartError` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ServerStartError(f"within {timeout:g} s, {what}: it did not happen")
        time.sleep(0.02)
