"""A process of the soak: a producer, a consumer or a reclaimer, written as a service would be.

``python -m tests.soak.worker NAME LIFE``, with REDIS_URL, LEDGER (a folder), RATE (a producer's entries per second) and
MUTATIONS (usually none) in its environment. SIGTERM lets it finish what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

from streamlab.actors import consume, ensure_group, produce, reclaim
from streamlab.actors.trouble import Patience
from tests.soak import ledger
from tests.soak.ledger import Ledger
from tests.soak.plan import MIN_IDLE, SERVICE, STREAM, WORKERS, AnyWorker, Consumer, Producer, Reclaimer

#: Seconds for which a process goes on trying to reach a server.
PATIENCE = 60.0
#: Entries fetched at once when a producer looks for its own.
PAGE = 100


def client_of(worker: AnyWorker) -> Redis:
    """Return a client as the README makes it: nothing is sent twice, and a read may wait."""
    return Redis.from_url(
        os.environ["REDIS_URL"],
        client_name=worker.name,
        decode_responses=worker.text,
        protocol=worker.protocol,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )


def as_text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def key_of(fields: Mapping[Any, Any]) -> str:
    """Return whose entry this is, and its number."""
    by, number = (fields.get(name) or fields[name.encode()] for name in ("by", "n"))
    return f"{as_text(by)}:{as_text(number)}"


class Service:
    """The effect of an entry is a record in the ledger."""

    def __init__(self, worker: Consumer | Reclaimer, book: Ledger) -> None:
        self.worker, self.book = worker, book
        self.random = random.Random()

    async def handle(self, entry_id: Any, fields: Any) -> None:
        what = key_of(fields), as_text(entry_id)
        self.book.note(ledger.BEGUN, *what)
        await asyncio.sleep(self.random.expovariate(1 / SERVICE))
        if self.random.random() < self.worker.fails:
            self.book.note(ledger.FAILED, *what)
            raise ConnectionRefusedError("the payment service does not answer")
        self.book.note(ledger.DONE, *what)


def ignore(entry_id: str, error: Exception) -> None:
    """Let an entry wait whose handler failed: the ledger knows."""


async def run_consumer(worker: Consumer, book: Ledger, stop: asyncio.Event) -> None:
    name = f"{worker.name}-{book.life}" if worker.renames else worker.name
    async with client_of(worker) as client:
        await ensure_group(client, STREAM, worker.group, patience=PATIENCE)
        book.note(ledger.READY)
        await consume(
            client,
            STREAM,
            worker.group,
            name,
            Service(worker, book).handle,
            count=worker.count,
            block=0.5,
            ack=worker.ack,
            recovery=worker.recovery,
            patience=PATIENCE,
            stop=stop,
            on_error=ignore,
        )


async def run_reclaimer(worker: Reclaimer, book: Ledger, stop: asyncio.Event) -> None:
    async with client_of(worker) as client:
        await ensure_group(client, STREAM, worker.group, patience=PATIENCE)
        book.note(ledger.READY)
        while not stop.is_set():
            book.note(ledger.LOOKS)
            await reclaim(
                client,
                STREAM,
                worker.group,
                worker.name,
                Service(worker, book).handle,
                min_idle=worker.min_idle,
                count=worker.count,
                patience=PATIENCE,
                on_error=ignore,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), worker.min_idle / 2)


async def run_producer(worker: Producer, rate: float, book: Ledger, stop: asyncio.Event) -> None:
    async with client_of(worker) as client:
        # A killed life may have sent this one without having been told that it was added.
        number = book.last_added() + 1
        if await is_there(worker, number):
            book.note(ledger.ADDED, f"{worker.name}:{number}")
            number += 1
        book.note(ledger.READY)
        await produce(client, STREAM, arrivals(worker, number, rate, book), patience=PATIENCE, stop=stop)


def arrivals(worker: Producer, first: int, rate: float, book: Ledger) -> Iterator[tuple[float, Any]]:
    """Number the entries without end; when the next one is asked for, the one before has been added."""
    for number in itertools.count(first):
        book.note(ledger.SENDING, f"{worker.name}:{number}")
        yield (number - first) / rate, fields_of(worker, number)
        book.note(ledger.ADDED, f"{worker.name}:{number}")


def fields_of(worker: Producer, number: int) -> dict[Any, Any]:
    """Return an entry's fields: text and numbers, or bytes, which now and then are no text."""
    if worker.text:
        return {"by": worker.name, "n": number, "price": number / 8, "what": "tea für zwei"}
    what = b"\xff\xfe" if number % 50 == 0 else "café".encode()
    return {b"by": worker.name.encode(), b"n": b"%d" % number, b"what": what}


async def is_there(worker: Producer, number: int) -> bool:
    """Look, from the end of the stream, whether an entry of this producer is in it."""
    # As bytes: some entries are no text.
    async with client_of(dataclasses.replace(worker, text=False)) as client:
        end = "+"
        while True:
            page = await answered(partial(client.xrevrange, STREAM, end, "-", PAGE))
            for _, fields in page:
                by, _, found = key_of(fields).partition(":")
                if by == worker.name and int(found) <= number:
                    return int(found) == number
            if len(page) < PAGE:
                return False
            end = f"({page[-1][0].decode()}"


async def answered(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return what a server answers, once it does."""
    tries = Patience(PATIENCE)
    while True:
        try:
            return await ask()
        except ConnectionError as error:
            await tries.wait(error)


async def notice_standstills(book: Ledger) -> None:
    """Note when this process got no time for long: then others may take over what it holds, without a fault."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + 0.1
        await asyncio.sleep(0.1)
        late = clock() - due
        if late > MIN_IDLE / 4:
            book.note(ledger.LATE, f"{late:.3f}")


async def work(worker: AnyWorker, book: Ledger) -> None:
    stop = asyncio.Event()
    watch = asyncio.create_task(notice_standstills(book))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if isinstance(worker, Producer):
        await run_producer(worker, float(os.environ["RATE"]), book, stop)
    elif isinstance(worker, Consumer):
        await run_consumer(worker, book, stop)
    else:
        await run_reclaimer(worker, book, stop)
    watch.cancel()


def main() -> None:
    name, life = sys.argv[1:]
    worker = WORKERS[name]
    for mutation in os.environ["MUTATIONS"].split():
        from tests.soak.mutations import MUTATIONS  # pytest, and the whole simulation

        worker = MUTATIONS[mutation].spoil(worker)
    asyncio.run(work(worker, Ledger(Path(os.environ["LEDGER"]) / name, int(life))))


if __name__ == "__main__":
    main()
