"""The embedded server in the model's place: asked through redis-py, in each way in which one can ask."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import redis
from redis._parsers.base import BaseParser

from streamlab.embedded import EmbeddedServer
from streamlab.stream_commands import CommandError, Reply, Waiter

from .compare import N_READERS, Pair, Waiting
from .wire import Answer, Server, kinds, plain

_PATIENCE_S = 10


@dataclass(frozen=True)
class Way:
    """How the embedded server is asked."""

    is_async: bool
    protocol: int
    is_pipelined: bool

    def __str__(self) -> str:
        return "-".join(
            (
                "async" if self.is_async else "sync",
                f"resp{self.protocol}",
                "pipelined" if self.is_pipelined else "single",
            )
        )


WAYS = [Way(*each) for each in product((False, True), (2, 3), (False, True))]


class EmbeddedPair(Pair):
    """A real server and an embedded one that are given the same commands."""

    def __init__(self, server: Server, way: Way) -> None:
        self.way = way
        self._now_ms = 0
        self._times: deque[tuple[list[str], int]] = deque()
        self.embedded = EmbeddedServer(version=server.as_redis, now_ms=lambda: self._now_ms)
        self._asker: _Asker = (_AsyncAsker if way.is_async else _SyncAsker)(
            self.embedded, way.protocol
        )
        self._reads: list[Future[Answer] | None] = [None] * N_READERS
        self._give_each_command_its_time()
        super().__init__(server, way.protocol)

    def close(self) -> None:
        self.reset_model()
        self._asker.close()
        super().close()

    def _give_each_command_its_time(self) -> None:
        """Let commands that are sent together be executed at the times at which the real server did it."""
        streams = self.embedded._server.dbs[0].streams
        execute = streams.execute

        def at_its_time(
            args: Sequence[str], now_ms: int, *, may_block: bool = True
        ) -> Reply | Waiter:
            while self._times:
                expected, time_ms = self._times.popleft()
                if expected == args:
                    now_ms = time_ms
                    break
            return execute(args, now_ms, may_block=may_block)

        streams.execute = at_its_time  # type: ignore[method-assign]

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
        assert isinstance(replies, list)
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
        first = next(reply for reply in replies if isinstance(reply, CommandError))
        refused = self._asker.ask_together(commands, is_transaction=True)
        expected = BaseParser.parse_error(str(first))
        # redis-py adds which command it was; with asyncio it puts the text into a tuple.
        said = str(refused).rpartition(" of pipeline caused error: ")[2]
        is_same = type(refused) is type(expected) and said in (str(expected), str(expected.args))
        if not is_same:
            raise self._divergence(("MULTI",), str(expected), str(refused))

    def _compare(self, args: Sequence[str], reply: Answer, expected: Answer) -> None:
        if kinds(reply) != kinds(expected):
            raise self._divergence(args, reply, expected)
        super()._compare(args, _as_raised(reply), expected)


def _as_raised(reply: Answer) -> Answer:
    """Return a server's error as redis-py would tell it."""
    return _told(BaseParser.parse_error(str(reply))) if isinstance(reply, CommandError) else reply


def _told(error: Exception) -> CommandError:
    return CommandError(f"{type(error).__name__} {getattr(error, 'status_code', '')}: {error}")


def _words(args: Sequence[str]) -> list[str | bytes]:
    name, *others = args
    return [name, *(arg.encode("utf-8", "surrogateescape") for arg in others)]


class _Asker:
    """redis-py clients of an embedded server: the main one, and one for each reader."""

    def __init__(self, embedded: EmbeddedServer, protocol: int) -> None:
        settings = {"protocol": protocol, "encoding_errors": "surrogateescape"}
        self.clients = [self.make_client(embedded, **settings) for _ in range(N_READERS + 1)]
        for client in self.clients:
            client.response_callbacks.clear()
        ids = [self._result(self.call(client, ["CLIENT", "ID"])) for client in self.clients]
        by_id = {socket._client_info["id"]: socket for socket in embedded._server.sockets}
        #: The server's ends of the readers' connections.
        self.sockets = [by_id[client_id] for client_id in ids[1:]]

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

    def call_together(
        self, commands: Sequence[Sequence[str]], is_transaction: bool
    ) -> Future[list[Any]]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class _SyncAsker(_Asker):
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

    def call_together(
        self, commands: Sequence[Sequence[str]], is_transaction: bool
    ) -> Future[list[Any]]:
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


class _AsyncAsker(_Asker):
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

    def call_together(
        self, commands: Sequence[Sequence[str]], is_transaction: bool
    ) -> Future[list[Any]]:
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
