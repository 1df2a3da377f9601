"""The embedded server in the model's place: asked through redis-py, or over its socket, in each way one can ask."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import redis
from redis._parsers.base import BaseParser

from streamlab.model.commands import CommandError, Reply, Waiter
from streamlab.servers.embedded import EmbeddedServer

from .compare import N_READERS, Pair, Waiting
from .wire import Answer, Connection, Server, kinds, plain

_PATIENCE_S = 10


@dataclass(frozen=True)
class Way:
    """How the embedded server is asked."""

    by: Literal["sync", "async", "socket"]
    """By redis-py with threads or asyncio, or as another process does: then replies are compared byte for byte."""
    protocol: int
    is_pipelined: bool

    def __str__(self) -> str:
        return "-".join((self.by, f"resp{self.protocol}", "pipelined" if self.is_pipelined else "single"))


_HOW: tuple[Literal["sync", "async", "socket"], ...] = ("sync", "async", "socket")
WAYS = [Way(*each) for each in product(_HOW, (2, 3), (False, True))]


class EmbeddedPair(Pair):
    """A real server and an embedded one that are given the same commands."""

    def __init__(self, server: Server, way: Way) -> None:
        self.way = way
        self._now_ms = 0
        self._times: deque[tuple[list[str], int]] = deque()
        self.embedded = EmbeddedServer(version=server.as_redis, now_ms=lambda: self._now_ms)
        askers = {"sync": _SyncAsker, "async": _AsyncAsker, "socket": _SocketAsker}
        self._asker: _Asker = askers[way.by](self.embedded, way.protocol)
        self._reads: list[Future[Answer] | None] = [None] * N_READERS
        self._give_each_command_its_time()
        super().__init__(server, way.protocol, exact=way.by == "socket")

    def close(self) -> None:
        self.reset_model()
        self._asker.close()
        self.embedded.close()
        super().close()

    def _give_each_command_its_time(self) -> None:
        """Let commands that are sent together be executed at the times at which the real server did it."""
        streams = self.embedded._server.dbs[0].streams
        execute = streams.execute

        def at_its_time(args: Sequence[str], now_ms: int, *, may_block: bool = True) -> Reply | Waiter:
            while self._times:
                expected, time_ms = self._times.popleft()
                if expected == args:
                    now_ms = time_ms
                    break
            return execute(args, now_ms, may_block=may_block)

        streams.execute = at_its_time  # type: ignore[assignment, method-assign]

    # --- the model's side ---------------------------------------------------------------------

    def reset_model(self) -> None:
        for number, reading in enumerate(self._reads):
            if reading is not None:
                if not reading.done() and not self._is_over(number):
                    reader_id = str(self._asker.sockets[number]._client_info["id"])
                    assert self._asker.ask(["CLIENT", "UNBLOCK", reader_id]) == 1
                reading.result(_PATIENCE_S)
                self._reads[number] = None
        assert self._asker.ask(["FLUSHALL"]) == "OK"

    def ask_model(self, args: Sequence[str], now_ms: int) -> Answer:
        self._now_ms = now_ms
        return self._asker.ask(args)

    def ask_model_together(
        self, commands: Sequence[Sequence[str]], times: Sequence[int], *, is_transaction: bool
    ) -> list[Answer]:
        self._now_ms = times[-1]
        self._times = deque(zip(map(list, commands), times, strict=True))
        replies = self._asker.ask_together(commands, is_transaction)
        assert isinstance(replies, list), replies
        self._times.clear()
        return replies

    def read_from_model(self, number: int, args: Sequence[str], now_ms: int) -> Answer | Waiting:
        self._now_ms = now_ms
        reading = self._asker.read(number, args)
        deadline = time.monotonic() + _PATIENCE_S
        while not reading.done():
            if self._asker.sockets[number].read is not None:
                self._reads[number] = reading
                return Waiting(())
            assert time.monotonic() < deadline, "the embedded server neither blocks nor answers"
            time.sleep(0)
        return reading.result()

    def _is_over(self, number: int) -> bool:
        read = self._asker.sockets[number].read
        return read is None or read.is_over

    def collect_answers(self) -> None:
        for number, reading in enumerate(self._reads):
            if reading is not None and self._is_over(number):
                self.answers[number] = reading.result(_PATIENCE_S)
                self._reads[number] = None

    def compare_refusal(self, commands: Sequence[Sequence[str]], replies: Sequence[Answer]) -> None:
        refused, expected = self._asker.refusal_of(commands, replies)
        if refused != expected:
            raise self._divergence(("MULTI",), expected, refused)

    def _compare(self, args: Sequence[str], reply: Answer, expected: Answer) -> None:
        if kinds(reply) != kinds(expected):
            raise self._divergence(args, reply, expected)
        super()._compare(args, self._asker.as_told(reply), expected)


def _told(error: Exception) -> CommandError:
    return CommandError(f"{type(error).__name__} {getattr(error, 'status_code', '')}: {error}")


def _words(args: Sequence[str]) -> list[str | bytes]:
    words: list[str | bytes] = [arg.encode("utf-8", "surrogateescape") for arg in args]
    if args[0].isascii() and args[0].isprintable():
        words[0] = args[0]  # as programs do; others redis-py would split or refuse
    return words


class _Asker:
    """Clients of an embedded server: the main one, and one for each reader."""

    def __init__(self, embedded: EmbeddedServer) -> None:
        ids = [self.client_id(number) for number in range(N_READERS + 1)]
        by_id = {socket._client_info["id"]: socket for socket in embedded._server.sockets}
        #: The server's ends of the readers' connections.
        self.sockets = [by_id[client_id] for client_id in ids[1:]]

    def client_id(self, number: int) -> Answer:
        raise NotImplementedError

    def ask(self, args: Sequence[str]) -> Answer:
        raise NotImplementedError

    def ask_together(self, commands: Sequence[Sequence[str]], is_transaction: bool) -> Any:
        """Return the replies."""
        raise NotImplementedError

    def read(self, number: int, args: Sequence[str]) -> Future[Answer]:
        raise NotImplementedError

    def as_told(self, reply: Answer) -> Answer:
        """Return a server's error as a client would tell it."""
        raise NotImplementedError

    def refusal_of(self, commands: Sequence[Sequence[str]], replies: Sequence[Answer]) -> tuple[object, object]:
        """Return how a transaction is refused, and how it should be by what a server said to its commands."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class _SocketAsker(_Asker):
    """Speaks to the server's socket, as other processes do."""

    def __init__(self, embedded: EmbeddedServer, protocol: int) -> None:
        path = embedded.url.removeprefix("unix://")
        self._connections = [Connection(path, protocol, exact=True) for _ in range(N_READERS + 1)]
        super().__init__(embedded)

    def client_id(self, number: int) -> Answer:
        return self._connections[number].ask("CLIENT", "ID")

    def ask(self, args: Sequence[str]) -> Answer:
        return self._connections[0].ask(*args)

    def ask_together(self, commands: Sequence[Sequence[str]], is_transaction: bool) -> Any:
        main = self._connections[0]
        if not is_transaction:
            main.send(*commands)
            return [main.receive() for _ in commands]
        main.send(("MULTI",), *commands, ("EXEC",))
        assert main.receive() == "OK"
        self._queued = [main.receive() for _ in commands]
        return main.receive()

    def read(self, number: int, args: Sequence[str]) -> Future[Answer]:
        connection = self._connections[number + 1]
        connection.send(args)
        return _Coming(connection)

    def as_told(self, reply: Answer) -> Answer:
        return reply

    def refusal_of(self, commands: Sequence[Sequence[str]], replies: Sequence[Answer]) -> tuple[object, object]:
        exec_reply = self.ask_together(commands, is_transaction=True)
        aborted = "EXECABORT Transaction discarded because of previous errors."
        return (
            [repr(reply) for reply in (*self._queued, exec_reply)],
            [repr(reply) for reply in (*replies, CommandError(aborted))],
        )

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class _Coming(Future[Answer]):
    """A reply that is taken from a connection when somebody looks."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def done(self) -> bool:
        if not super().done():
            reply = self._connection.poll()
            if reply is not False:
                self.set_result(reply)
        return super().done()

    def result(self, timeout: float | None = None) -> Answer:
        if not super().done():
            self.set_result(self._connection.receive())
        return super().result(0)


class _RedisPyAsker(_Asker):
    """redis-py's clients."""

    def __init__(self, embedded: EmbeddedServer, protocol: int) -> None:
        settings = {"protocol": protocol, "encoding_errors": "surrogateescape"}
        self.clients = [self.make_client(embedded, **settings) for _ in range(N_READERS + 1)]
        for client in self.clients:
            client.response_callbacks.clear()
        super().__init__(embedded)

    def client_id(self, number: int) -> Answer:
        return self._result(self.call(self.clients[number], ["CLIENT", "ID"]))

    def as_told(self, reply: Answer) -> Answer:
        if not isinstance(reply, CommandError):
            return reply
        return _told(BaseParser.parse_error(str(reply)))

    def refusal_of(self, commands: Sequence[Sequence[str]], replies: Sequence[Answer]) -> tuple[object, object]:
        first = next(reply for reply in replies if isinstance(reply, CommandError))
        refused = self.ask_together(commands, is_transaction=True)
        expected = BaseParser.parse_error(str(first))
        # redis-py adds which command it was; with asyncio it puts the text into a tuple.
        said = str(refused).rpartition(" of pipeline caused error: ")[2]
        if said == str(expected.args):
            said = str(expected)
        return (type(refused), said), (type(expected), str(expected))

    def ask(self, args: Sequence[str]) -> Answer:
        return self._result(self.call(self.clients[0], args))

    def ask_together(
        self, commands: Sequence[Sequence[str]], is_transaction: bool
    ) -> list[Answer] | redis.ResponseError:
        """Return the replies, or the error if the transaction is refused."""
        try:
            replies = self.call_together(commands, is_transaction).result(_PATIENCE_S)
        except redis.ResponseError as error:
            return error
        return [_told(r) if isinstance(r, Exception) else plain(r) for r in replies]

    def read(self, number: int, args: Sequence[str]) -> Future[Answer]:
        answer: Future[Answer] = Future()
        asked = self.call(self.clients[number + 1], args)
        asked.add_done_callback(lambda done: answer.set_result(self._result(done)))
        return answer

    def _result(self, asked: Future[Any]) -> Answer:
        try:
            return plain(asked.result(_PATIENCE_S))
        except redis.RedisError as error:
            return _told(error)

    def make_client(self, embedded: EmbeddedServer, **settings: Any) -> Any:
        raise NotImplementedError

    def call(self, client: Any, args: Sequence[str]) -> Future[Any]:
        raise NotImplementedError

    def call_together(self, commands: Sequence[Sequence[str]], is_transaction: bool) -> Future[list[Any]]:
        raise NotImplementedError


class _SyncAsker(_RedisPyAsker):
    """Readers wait in threads."""

    def __init__(self, embedded: EmbeddedServer, protocol: int) -> None:
        self._threads = ThreadPoolExecutor(N_READERS)
        super().__init__(embedded, protocol)

    def make_client(self, embedded: EmbeddedServer, **settings: Any) -> Any:
        return embedded.client(**settings)

    def call(self, client: Any, args: Sequence[str]) -> Future[Any]:
        if client is self.clients[0]:
            return _done(lambda: client.execute_command(*_words(args)))
        return self._threads.submit(client.execute_command, *_words(args))

    def call_together(self, commands: Sequence[Sequence[str]], is_transaction: bool) -> Future[list[Any]]:
        pipeline = self.clients[0].pipeline(transaction=is_transaction)
        for args in commands:
            pipeline.execute_command(*_words(args))
        return _done(lambda: pipeline.execute(raise_on_error=False))

    def close(self) -> None:
        self._threads.shutdown()
        for client in self.clients:
            client.close()


def _done(call: Callable[[], Any]) -> Future[Any]:
    """Call at once."""
    done: Future[Any] = Future()
    try:
        done.set_result(call())
    except redis.RedisError as error:
        done.set_exception(error)
    return done


class _AsyncAsker(_RedisPyAsker):
    """Readers wait in an event loop."""

    def __init__(self, embedded: EmbeddedServer, protocol: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        super().__init__(embedded, protocol)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def make_client(self, embedded: EmbeddedServer, **settings: Any) -> Any:
        return embedded.async_client(**settings)

    def call(self, client: Any, args: Sequence[str]) -> Future[Any]:
        return self._run(client.execute_command(*_words(args)))

    def call_together(self, commands: Sequence[Sequence[str]], is_transaction: bool) -> Future[list[Any]]:
        pipeline = self.clients[0].pipeline(transaction=is_transaction)
        for args in commands:
            pipeline.execute_command(*_words(args))
        return self._run(pipeline.execute(raise_on_error=False))

    def close(self) -> None:
        for client in self.clients:
            self._run(client.aclose()).result(_PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
