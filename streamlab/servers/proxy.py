"""`Proxy`: a network that fails on demand, between clients and a Redis server.

What hurts in practice is not a server that is down but a reply that is lost: the command was executed, and the
client cannot know. The proxy passes everything on, and loses just the reply that it is told to lose.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Protocol, Self
from urllib.parse import quote, urlencode

from redis.connection import parse_url

from streamlab.servers.client import check_url, redact
from streamlab.servers.private import private_folder
from streamlab.servers.processes import GuardedFolder
from streamlab.servers.resp_frames import Commands, Frames
from streamlab.servers.resp_values import Values
from streamlab.servers.several import parse_several

_PIECE = 1 << 16  # bytes passed on at a time
_TURNS_TO_ACCEPT = 5  # two until it is handed over (seen with Python 3.11 to 3.13), one until what is aborted is closed
_NO_REPLIES = (b">", b"|")  # RESP3: messages that nobody asked for, and remarks on the reply that follows
_MANY_REPLIES = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR"})


class Watcher(Protocol):
    """What looks on at one client's connection."""

    def sent(self, command: list[bytes]) -> bool:
        """Take note of a command; return whether it may be passed on: if not, the connection is closed."""

    def answered(self, reply: object) -> None:
        """Take note of the reply to the oldest command that has none yet; it may be on its way to be lost."""

    def closed(self, *, by_client: bool) -> None:
        """Take note of the connection's end; what has not been answered will not be."""


class Proxy:
    """A proxy before a Redis server, on a private unix socket; ``async with``, or `start` and `close` it.

    ``url`` is that of the server: ``unix://`` or ``redis://``. Clients connect to `url`; those that know no unix
    sockets on a port of 127.0.0.1, if it is ``tcp``. ``watch`` makes what looks on at a new connection. Nothing but
    what it is told to lose is lost; commands behind a lost reply on the same connection have been passed on as
    far as they had come. It cannot lose replies on a connection that subscribes or monitors.
    """

    def __init__(self, url: str, *, tcp: bool = False, watch: Callable[[], Watcher | None] = lambda: None) -> None:
        check_url(url)
        if parse_several(url) is not None:
            raise ValueError(f"a proxy stands before one server: {redact(url)} names several")
        target = parse_url(url)  # type: ignore[no-untyped-call]
        if not url.startswith(("unix://", "redis://")):
            raise ValueError(f"a proxy cannot read what passes over TLS: {redact(url)} is no redis:// or unix://")
        self._server_url = url
        self._target = target
        self._tcp = tcp
        self._watch = watch
        self._folder: GuardedFolder | None = None
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_lose: list[list[bytes | int]] = []  # [name, how many more of it]
        self._refuses = False
        #: Replies lost so far.
        self.n_lost = 0

    @property
    def url(self) -> str:
        """The URL for clients: user, password and database are those of the server's URL."""
        if self._listener is None:
            raise RuntimeError("the proxy has not been started: await start()")
        target = self._target
        secret = ""
        if target.get("password"):
            user, password = target.get("username") or "", target["password"]
            secret = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        database = f"?{urlencode({'db': target['db']})}" if target.get("db") else ""
        if self._folder is None:
            return f"redis://{secret}127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/{target.get('db') or 0}"
        return f"unix://{secret}{quote(str(self._folder.path / 'proxy.sock'))}{database}"

    @property
    def n_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._connections)

    def lose_reply(self, command: str, nth: int = 1) -> None:
        """Have the ``nth`` command of this name from now on executed, and its reply lost with its connection.

        In whatever way the name is written, on whichever connection, also within a pipeline or
        transaction. To lose the first and the third, ask twice.
        """
        if nth < 1:
            raise ValueError(f"nth is {nth}: the next command is number 1")
        self._to_lose.append([command.upper().encode(), nth])

    def cut(self) -> None:
        """Close all connections now, whatever is under way on them."""
        for connection in self._connections:
            connection.abort()

    def refuse(self, refuses: bool = True) -> None:
        """Cut all connections and accept no more; or, with False, accept them again."""
        self._refuses = refuses
        if refuses:
            self.cut()

    async def start(self) -> Self:
        """Listen on the socket."""
        if self._listener is not None:
            raise RuntimeError(f"{self!r} runs already")
        if self._tcp:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", limit=_PIECE)
            return self
        self._folder = private_folder("proxy.sock")
        path = self._folder.path / "proxy.sock"
        try:
            self._listener = await asyncio.start_unix_server(self._accept, path, limit=_PIECE)
            path.chmod(0o700)
        except BaseException:
            self._folder.close()
            self._folder = None
            raise
        return self

    async def close(self) -> None:
        """Close all connections and the socket, and remove its folder. Closing twice is allowed."""
        listener, self._listener = self._listener, None
        if listener is not None:
            await close_listener(listener)
        self.cut()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    async def __aenter__(self) -> Self:
        return await self.start() if self._listener is None else self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = f"{self.n_connections} connections" if self._listener else "not running"
        return f"<Proxy before {redact(self._server_url)}: {state}, {self.n_lost} replies lost>"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses or self._listener is None:
            writer.transport.abort()
            return
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: _Connection) -> None:
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    async def _reach_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if "path" in self._target:
            return await asyncio.open_unix_connection(self._target["path"], limit=_PIECE)
        return await asyncio.open_connection(
            self._target.get("host", "localhost"), self._target.get("port", 6379), limit=_PIECE
        )

    def _is_doomed(self, name: bytes) -> bool:
        """Count a command; tell whether its reply is to be lost."""
        for wish in self._to_lose:
            if wish[0] == name:
                wish[1] -= 1  # type: ignore[operator]
        if [name, 0] not in self._to_lose:
            return False
        self._to_lose = [wish for wish in self._to_lose if wish != [name, 0]]
        return True


async def close_listener(listener: asyncio.Server) -> None:
    """Stop listening, and see that what was accepted a moment ago comes to those who can close it.

    asyncio hands a connection over some turns of its loop after it has accepted it. If the loop ends in between, its
    socket stays open; so it does if the server is closed in between (``_attach`` fails, and nobody is told).
    """
    for socket in listener.sockets:
        asyncio.get_running_loop().remove_reader(socket.fileno())
    for _ in range(_TURNS_TO_ACCEPT):
        await asyncio.sleep(0)
    listener.close()


class _Connection:
    """One client's connection, and the one to the server that was opened for it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._reaching: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self._reaching = asyncio.ensure_future(proxy._reach_server())
        self._doomed: deque[bool] = deque()  # of each command that has no reply yet
        self._replies_are_counted = True
        self._is_cut = False
        self._watcher = proxy._watch()
        self._sent, self._answered = Values(), Values()

    def abort(self) -> None:
        self._is_cut = True
        self._reaching.cancel()  # a host that is gone may take minutes to be found gone
        for side in (self._client, self._server):
            if side is not None:
                side[1].transport.abort()

    async def run(self) -> None:
        """Pass everything on until one side closes."""
        writers = [self._client[1]]
        try:
            try:
                self._server = await self._reaching
            except (OSError, asyncio.CancelledError):  # there is no server, or `abort`
                return  # the client finds its connection closed
            writers.append(self._server[1])
            if self._is_cut:  # while the server was being reached
                return
            there = asyncio.ensure_future(self._pass_commands(self._client[0], self._server[1]))
            back = asyncio.ensure_future(self._pass_replies(self._server[0], self._client[1]))
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            for task in (there, back):
                task.cancel()
            ended = await asyncio.gather(there, back, return_exceptions=True)
            if True in ended:
                await self._let_server_finish(*self._server)
            if self._watcher is not None:
                is_cut = ended[0] is not False or not isinstance(ended[1], asyncio.CancelledError)
                self._watcher.closed(by_client=not is_cut and not self._is_aborted())
            for error in ended:
                if isinstance(error, Exception) and not isinstance(error, OSError):
                    raise error
        finally:
            for writer in writers:
                writer.close()
                with contextlib.suppress(OSError):  # broken by whoever was there
                    await writer.wait_closed()

    def _is_aborted(self) -> bool:
        return self._is_cut

    async def _pass_commands(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> bool:
        """Pass commands on until the client closes, or until one must not be passed on: then return True."""
        commands = Commands()
        while piece := await client.read(_PIECE):
            for name in commands.names(piece):
                self._doomed.append(self._proxy._is_doomed(name))
                if name in _MANY_REPLIES:
                    self._replies_are_counted = False
                    self._watcher = None
            refused = self._watch_commands(piece, commands.begins)
            server.write(piece[:refused])
            await server.drain()
            if refused is not None:
                self._client[1].transport.abort()
                return True
        return False

    def _watch_commands(self, piece: bytes, begins: list[int]) -> int | None:
        """Let the watcher see the commands in a piece; return where the one begins that must not be passed on."""
        for command, begin in zip(self._sent.read(piece) if self._watcher else (), begins, strict=False):
            if self._watcher is not None and isinstance(command, list) and not self._watcher.sent(command):
                return begin
        return None

    def _watch_replies(self, piece: bytes) -> None:
        for reply in self._answered.read(piece) if self._watcher else ():
            if self._watcher is not None:
                self._watcher.answered(reply)

    async def _pass_replies(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> bool:
        """Pass replies on until the server closes, or until one is lost: then return True."""
        replies = Frames()
        while piece := await server.read(_PIECE):
            self._watch_replies(piece)
            for at, kind in replies.begun(piece):
                is_reply = kind not in _NO_REPLIES and self._replies_are_counted
                if is_reply and self._doomed and self._doomed.popleft():
                    self._proxy.n_lost += 1
                    client.write(piece[:at])
                    client.close()  # after what has been written
                    return True
            client.write(piece)
            await client.drain()
        return False

    async def _let_server_finish(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See that the server executes what it has been sent behind the command whose reply is lost."""
        with contextlib.suppress(OSError):  # cut meanwhile
            writer.write_eof()
            while piece := await reader.read(_PIECE):
                self._watch_replies(piece)
