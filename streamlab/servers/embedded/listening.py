"""A socket at which other processes reach an embedded server, served by a thread of this one."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import threading
import weakref
from collections import deque
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from redis import ConnectionError as RedisConnectionError

from streamlab.servers.client import ServerUnusable
from streamlab.servers.in_browser import IN_BROWSER, why_not
from streamlab.servers.private import private_folder
from streamlab.servers.processes import GuardedFolder
from streamlab.servers.programs import ServerStartError

from .fake.remote import RemoteSocket

if TYPE_CHECKING:
    from .fake import StreamServer

_SOCKET = "redis.sock"
_PIECE = 1 << 16  # bytes taken from one client before the next has its turn
_PUBSUB_LIMIT = 32 << 20  # bytes that a subscriber may leave unread, as in Redis
_BREATH = 0.1  # seconds without accepting, when this process may open no more files


class Listener:
    """Listens until it is closed, or until the process that made it ends, however it ends.

    On a unix socket of its own, or on a TCP port of `host` (0: any that is free). Everything but `close` and `url`
    happens in its thread, in an event loop.
    """

    def __init__(self, server: StreamServer, host: str | None = None, port: int = 0) -> None:
        if IN_BROWSER:
            raise ServerUnusable(why_not("an address of the embedded server", "sockets", "use its clients"))
        if os.name != "posix":
            raise ServerUnusable(
                "other processes reach the embedded server by a unix socket, which this platform does not have: "
                "give them a real server (connect by URL), or use Linux, macOS or WSL"
            )
        self.server = server
        self.peers: set[_Peer] = set()
        self._owner = os.getpid()
        self._folder: GuardedFolder | None = None
        self._host, self._port = host, port
        with ExitStack() as if_it_fails:
            try:
                self._open(if_it_fails)
            except (ServerStartError, OSError, RuntimeError) as error:
                where = "" if host is None else f" at {host}:{port}"
                text = f"the embedded server cannot be opened to other processes{where}: {error}"
                raise ServerUnusable(text) from error
            if_it_fails.pop_all()
        _listeners.add(self)

    def _open(self, if_it_fails: ExitStack) -> None:
        self._selector = selectors.DefaultSelector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        if_it_fails.callback(self.loop.close)
        self._socket = self._open_unix(if_it_fails) if self._host is None else self._open_tcp(if_it_fails, self._host)
        self._socket.listen(512)
        self._socket.setblocking(False)
        self._thread = threading.Thread(target=self._serve, daemon=True, name="streamlab embedded")
        self._thread.start()

    def _open_unix(self, if_it_fails: ExitStack) -> socket.socket:
        folder = self._folder = private_folder(_SOCKET)
        if_it_fails.callback(folder.close)
        #: Where it listens, as its clients' addresses begin.
        self.name = str(folder.path / _SOCKET)
        listening = socket.socket(socket.AF_UNIX)
        if_it_fails.callback(listening.close)
        listening.bind(self.name)
        os.chmod(self.name, 0o700)
        self.url = f"unix://{quote(self.name)}"
        return listening

    def _open_tcp(self, if_it_fails: ExitStack, host: str) -> socket.socket:
        family, _, _, _, address = socket.getaddrinfo(host, self._port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        if_it_fails.callback(listening.close)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        self.name = f"[{host}]" if ":" in host else host
        #: The URL for clients.
        self.url = f"redis://{self.name}:{listening.getsockname()[1]}"
        return listening

    def close(self, *, wait: bool = True) -> None:
        """Close all connections and remove the socket; closing twice is allowed, and a fork closes nothing."""
        if os.getpid() != self._owner:
            return
        with suppress(RuntimeError):  # its loop is closed already
            self.loop.call_soon_threadsafe(self.loop.stop)
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()
        if self._folder is not None:
            with suppress(OSError):
                self._folder.close()

    def _serve(self) -> None:
        self.loop.add_reader(self._socket, self._accept)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._finish())
        finally:
            self.loop.close()

    async def _finish(self) -> None:
        self.loop.remove_reader(self._socket)
        self._socket.close()
        for peer in [*self.peers]:
            peer.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no more files: go on when some may have been closed
                self.loop.remove_reader(self._socket)
                self.loop.call_later(_BREATH, self.loop.add_reader, self._socket, self._accept)
                return
            connection.setblocking(False)
            if self._folder is None:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers.add(_Peer(self, connection))

    def abandon(self) -> None:
        """Drop everything in a forked child, whose parent goes on with it; with the server's lock held.

        The descriptors are only closed: what the event loop waits for is shared with the parent.
        """
        self._selector.close()
        self._socket.close()
        for peer in [*self.peers]:
            peer.socket.close()
            peer.end.forget()


class _Peer:
    """A process at the other end of a connection."""

    def __init__(self, listener: Listener, connection: socket.socket) -> None:
        self.socket = connection
        self._number = connection.fileno()
        self._listener = listener
        self._loop = listener.loop
        self._written: deque[bytes] = deque()
        self._unsent = bytearray()
        self._is_flush_due = False
        self._is_leaving = False
        self._is_closed = False
        self.end = RemoteSocket(listener.server, self, *_addresses(connection, listener.name))
        self._loop.add_reader(self._number, self._read)

    def fileno(self) -> int:
        return self._number

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._flush_soon()

    def hang_up(self) -> None:
        self._is_leaving = True
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            with suppress(RuntimeError):  # the loop is closed, and this connection with it
                self._loop.call_soon_threadsafe(self._flush)

    def _read(self) -> None:
        try:
            data = self.socket.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._is_flush_due = True  # below, once
        try:
            self.end.sendall(data)
        except RedisConnectionError:  # killed, or the server has been closed
            self.hang_up()
        finally:
            self._flush()

    def _flush(self) -> None:
        self._is_flush_due = False  # before looking: who writes from now on asks for another
        if self._is_closed:
            return
        has_waited = bool(self._unsent)
        while self._written:
            self._unsent += self._written.popleft()
        if not has_waited:
            self._send()
        elif self.end._pubsub and len(self._unsent) > _PUBSUB_LIMIT:
            self.close()

    def _send(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self.socket.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._number, self._send)
            return
        except OSError:
            self.close()
            return
        self._loop.remove_writer(self._number)
        if self._is_leaving:
            self.close()

    def close(self) -> None:
        """Close at once; in the loop's thread."""
        if self._is_closed:
            return
        self._is_closed = True
        self.end.leave()  # before its number can be another's
        self._listener.server.unwatch(self._number)
        self._loop.remove_reader(self._number)
        self._loop.remove_writer(self._number)
        self.socket.close()
        self._listener.peers.discard(self)


def _addresses(connection: socket.socket, path: str) -> tuple[str, str]:
    """Return the addresses of a connection's client and of the server, as ``CLIENT LIST`` shows them."""
    if connection.family == socket.AF_UNIX:
        return f"{path}:0", f"{path}:0"
    try:
        here, there = connection.getsockname(), connection.getpeername()
    except OSError:  # it has gone already
        return f"{path}:0", f"{path}:0"
    return f"{there[0]}:{there[1]}", f"{here[0]}:{here[1]}"


_listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
_held: list[Listener] = []


def _hold() -> None:
    """Let no command be half executed in the copy that a forked child gets."""
    _held[:] = _listeners
    for listener in _held:
        listener.server.lock.acquire()


def _release() -> None:
    for listener in _held:
        listener.server.lock.release()
    _held.clear()


def _abandon() -> None:
    for listener in _held:
        listener.abandon()
    _listeners.clear()
    _release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_abandon)
