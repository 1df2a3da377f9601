"""The server's end of a connection: fakeredis answers the commands on keys, the model those on streams."""

from __future__ import annotations

import asyncio
import hashlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from fakeredis._helpers import NoResponse, SimpleError
from fakeredis._msgs import FLAG_SKIP_CONVERT_TO_RESP2, UNBLOCKED_MSG
from fakeredis._socket import AsyncFakeSocket
from fakeredis._socket._resp import convert_to_resp2

from streamlab.actors import scripts
from streamlab.model.commands import BlockedCommand, CommandError, Reply
from streamlab.servers import in_browser
from streamlab.servers.embedded import refusals
from streamlab.servers.embedded.blocked import Blocked, BlockedRead
from streamlab.servers.embedded.information import information
from streamlab.servers.embedded.replies import Carried, as_resp3, decoded, encoded
from streamlab.servers.embedded.resp import CommandReader

from . import locks
from .corrections import SIGNATURES, Corrections
from .databases import StreamDatabase, StreamServer
from .pops import BlockedPop

try:
    import hiredis
except ModuleNotFoundError:  # a browser has none
    hiredis = None  # type: ignore[assignment]

_EVALS = (b"EVAL", b"EVALSHA")
_NOT_TEXT = "ERR what has to be text here cannot contain special characters"
_KNOWN_SCRIPTS = {
    *(hashlib.sha1(text.encode()).hexdigest().encode() for text in scripts.ALL),
    *(digest.encode() for digest in scripts.LOCKS),
}


def _of_known_scripts(words: Sequence[bytes]) -> bytes | list[int] | None:
    """Answer SCRIPT LOAD of a script that is known, and SCRIPT EXISTS; None to anything else."""
    match [words[0].upper() if words else b"", *words[1:]]:
        case [b"LOAD", text]:
            digest = hashlib.sha1(text).hexdigest().encode()
            return digest if digest in _KNOWN_SCRIPTS else None
        case [b"EXISTS", _, *_]:
            return [int(word.lower() in _KNOWN_SCRIPTS) for word in words[1:]]
    return None


def _command_reader() -> tuple[Callable[[bytes], object], Callable[[], list[bytes] | None]]:
    """Return what takes bytes, and what gives the next command of theirs: None until all of it has come."""
    if hiredis is None:
        plain = CommandReader()
        return plain.feed, plain.next
    reader = hiredis.Reader(notEnoughData=None)
    return reader.feed, reader.gets


class _Line:
    """A line of the command table, in the place of a fakeredis `Signature`."""

    flags = frozenset({FLAG_SKIP_CONVERT_TO_RESP2})

    def __init__(self, name: str, check: Callable[[], object]) -> None:
        self.name = name
        self._check = check

    def check_arity(self, args: Sequence[Any], version: Any) -> None:
        try:
            self._check()
        except CommandError as error:
            raise SimpleError(str(error)) from None

    def apply(self, args: Sequence[Any], db: Any, version: Any) -> tuple[list[Any], list[Any]]:
        return [], []  # no arguments to convert, no keys to write back


class StreamSocket(Corrections):
    """A connection's end at the server: parses commands, and answers those on streams from the model."""

    _server: StreamServer
    _db: StreamDatabase
    _words: list[bytes]
    read: Blocked | None = None
    """The command in which the connection is blocked."""

    def __init__(self, server: StreamServer, *args: Any, **kwargs: Any) -> None:
        self.stream_server = server  # fakeredis forgets it when the connection is closed
        super().__init__(server, *args, **kwargs)

    def _parse_commands(self) -> Generator[None, bytes, None]:
        feed, take = _command_reader()
        while True:
            feed((yield))
            while not (self._paused or self._killed) and (fields := take()) is not None:
                self._process_command(fields)

    def _process_command(self, fields: list[bytes]) -> None:
        self._words = fields
        name = fields[0].upper() if fields else b""
        if (
            self._is_usual
            and self._db.streams.knows(name.decode("latin-1"))
            and not (name in _EVALS and locks.digest(fields))
        ):
            self._answer(fields)
            return
        if name == b"QUIT":
            with self._server.lock:
                self.kill()
            self.put_response(b"OK")
            return
        if name == b"ACL":
            self._server.has_rules = True
        try:
            super()._process_command(fields)
        except UnicodeDecodeError:  # of a name; Redis refuses many more of them
            self.put_response(self._decode_error(SimpleError(_NOT_TEXT)))

    @property
    def _is_usual(self) -> bool:
        """Whether fakeredis would do nothing with a command on streams but execute it."""
        return not (
            self._transaction is not None
            or self._pubsub
            or self._reply_off
            or self._reply_skip
            or self._server.has_rules
            or self._server.closed_sockets
        )

    def _answer(self, fields: list[bytes]) -> None:
        """Execute a command on streams: what remains of fakeredis' `_process_command` and `_run_command`."""
        server, database = self._server, self._db
        with server.lock:
            server.forget_the_parted()
            database.time = server.seconds()
            try:
                reply = self._stream_command(server.words(fields))
            except SimpleError as error:
                reply = self._decode_error(error)
            finally:
                if database.streams.has_ready:  # a key has expired, whatever became of the command
                    with database.streams.transaction(server.now_ms()):
                        pass
        if type(reply) is not NoResponse:
            self.put_response(reply)

    def _name_to_func(self, cmd_name: str) -> tuple[Any, Any]:
        name = cmd_name.split(" ")[0].upper()
        streams = self._db.streams
        lock = locks.digest(self._words)
        if lock is not None:
            return locks.command(self, self._words, lock)
        if streams.knows(name) or name.startswith("X"):
            words = self._server.words(self._words)
            check = partial(streams.check, words)
            return partial(self._stream_command, words), _Line(name.lower(), check)
        if name == "SCRIPT" and (script_reply := _of_known_scripts(self._words[1:])) is not None:
            return lambda: script_reply, _Line("script", lambda: None)
        refusal = refusals.of(name)
        if refusal is not None:
            raise SimpleError(refusal)
        if name == "INFO":
            sections = [*map(decoded, self._words[1:])]
            return partial(self._info, sections), _Line("info", lambda: None)
        corrected = SIGNATURES.get(name)
        if corrected is not None:
            return getattr(self, corrected.func_name), corrected
        try:
            return super()._name_to_func(cmd_name)
        except SimpleError:
            words = [*map(decoded, self._words)]
            raise SimpleError(str(streams.unknown_command(words))) from None

    def _run_command(self, func: Any, sig: Any, args: Any, from_script: bool) -> Any:
        if self._in_transaction:
            return super()._run_command(func, sig, args, from_script)
        server = self._server
        server.forget_the_parted()
        # Readers are served when the command, or all of EXEC, is over.
        with ExitStack() as held_back:
            for database in [*server.dbs.values()]:
                held_back.enter_context(database.streams.transaction(server.now_ms()))
                held_back.callback(database.settle)
                held_back.callback(database.pops.serve)
            return super()._run_command(func, sig, args, from_script)

    def _decode_error(self, error: SimpleError) -> Any:
        # As redis-py reads an error: bytes that are no text are replaced, whatever the client's encoding.
        text = encoded(error.value).decode("utf-8", "replace")
        return super()._decode_error(SimpleError(text))

    def _stream_command(self, words: list[str]) -> Any:
        database, may_block = self._db, not self._in_transaction
        try:
            reply = database.execute(words, self._server.now_ms(), may_block)
        except CommandError as error:
            raise SimpleError(str(error)) from None
        if isinstance(reply, BlockedCommand):
            self._block(BlockedRead(reply, database.streams, words[0]))
            return NoResponse()
        return self._shaped(words, reply)

    def _shaped(self, words: Sequence[str], reply: Reply) -> Any:
        carried = Carried()
        carried.reply = as_resp3(words, reply) if self._resp_version == 3 else reply
        carried.is_text = self._server.is_all_text
        return carried

    def _info(self, sections: list[str]) -> bytes:
        server = self._server
        sizes = {number: len(database) for number, database in sorted(server.dbs.items())}
        return information(
            sections,
            version=server.stream_version,
            n_clients=len(server.sockets),
            n_blocked=server.n_blocked,
            uptime=server.seconds() - server.started,
            sizes=sizes,
        )

    # ---- blocked commands -------------------------------------------------------------------------

    def _blocking(
        self, timeout: float | None, func: Callable[[bool], Any], shape: Callable[[Any], Any] | None = None
    ) -> Any:
        """Do what BLPOP and its like do: ``func`` looks whether there is something, and takes it."""
        found = func(True)
        if found is not None or self._in_transaction:
            return found

        def attempt() -> Any:
            found = func(False)
            return convert_to_resp2(found) if self._resp_version == 2 else found

        command = self._words[0].decode("latin-1")
        self._block(BlockedPop(self._db.pops, attempt, timeout, command))
        return NoResponse()

    def _popped(self, found: Any) -> Any:
        """Return the reply of a BLPOP or the like that has waited; None: nothing came."""
        return found

    def _block(self, read: Blocked) -> None:
        self.read = read
        self._blocked = True
        self.pause()  # what comes behind it on this connection waits

    def look(self) -> float:
        """Look whether the blocked read is over, with the lock held; return in how many seconds to look again."""
        self._server.look_at_keys()
        return 0.0 if self.read is None else self.read.look(self._server.now_ms())

    def finish(self) -> None:
        """Give the blocked read's reply to the client, and go on with what came behind it; without the lock."""
        read, self.read = self.read, None
        if read is None:
            return
        self._blocked = False
        result = read.result
        if isinstance(result, CommandError):
            answer: Any = self._decode_error(SimpleError(str(result)))
        elif isinstance(result, Exception):
            answer = result
        elif isinstance(read, BlockedPop):
            answer = self._decode_result(self._popped(result))
        else:
            answer = self._shaped([read.command], result)
        self.put_response(answer)
        self.resume()

    def part(self) -> None:
        """Forget this connection: its client has gone, and is to be given no entry any more."""
        self.stream_server.part(self)

    def close(self) -> None:
        database = self._db
        super().close()
        self._db = database  # the garbage collector may do this while it is looked at what there is to pop

    def forget(self) -> None:
        """Forget this connection; with the lock held."""
        read, self.read = self.read, None
        if read is not None:
            read.give_up()
        self._blocked = False
        self._cleanup(self.stream_server)
        with suppress(ValueError):  # closed or killed already
            self.stream_server.sockets.remove(self)

    def _cleanup(self, server: Any) -> None:
        if self.read is not None:
            self.read.cancel()
        for subscribers in server.ssubscribers.values():
            subscribers.discard(self)
        super()._cleanup(server)

    def kill(self) -> None:
        super().kill()
        if self.read is not None:
            self.read.end(self._connection_error_class("the connection was killed (CLIENT KILL)"))

    def client_unblock(self, client_id: int, *args: bytes) -> int:
        n_unblocked: int = super().client_unblock(client_id, *args)
        for socket in self._server.sockets:
            reason, read = socket._unblock_reason, socket.read
            if reason is not None and read is not None:
                socket._unblock_reason = None
                read.cancel()
                read.end(CommandError(UNBLOCKED_MSG) if reason == b"error" else None)
        return n_unblocked


class SyncStreamSocket(StreamSocket):
    """The end of a connection whose client waits in a thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.responses = queue.SimpleQueue()  # type: ignore[assignment]  # C, where `Queue` is Python

    def put_response(self, msg: Any) -> None:
        responses = self.responses
        if responses is not None:
            responses.put(msg)
            if not self.response_ready.is_set():  # which costs a tenth of setting it
                self.response_ready.set()

    def wait(self, timeout: float | None) -> None:
        """Wait until the blocked read is over; raise `TimeoutError` after so many seconds."""
        server, read = self._server, self.read
        if read is None:
            return
        over = threading.Event()
        with server.lock:
            read.when_over = over.set
        deadline = None if timeout is None else time.monotonic() + timeout
        while not read.is_over:
            with server.lock:
                pause = self.look()
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
                if pause <= 0 and not read.is_over:
                    raise TimeoutError
            in_browser.wait(over, pause)
        self.finish()


class AsyncStreamSocket(StreamSocket, AsyncFakeSocket):
    """The end of a connection whose client waits in an event loop."""

    def _block(self, read: Blocked) -> None:
        super()._block(read)
        loop = asyncio.get_running_loop()

        def wake() -> None:  # by whoever ends the wait, maybe in another thread
            with suppress(RuntimeError):  # the loop is closed, and the reader gone with it
                loop.call_soon_threadsafe(self.finish)

        read.when_over = wake
        loop.call_soon(self._keep_looking, read)  # not now: the lock is held

    def _keep_looking(self, read: Blocked) -> None:
        if self.read is read and not read.is_over:
            with self._server.lock:
                pause = self.look()
            asyncio.get_running_loop().call_later(pause, self._keep_looking, read)
