"""The two programs of lesson 07, as they stand there, under random kills and restarts on a real server.

    python -m tests.soak.lesson --minutes 5 --rate 100 --server redis-server

Three consumers share what the producer adds. About once a second one of them is killed (SIGKILL) or stopped (SIGTERM),
and started again at once or only after others have taken over; now and then it is the producer, or the server itself,
which then comes back with its append-only file. In the end every entry must have had its effect exactly once, and
nothing may be pending. The exit status is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import redis

from streamlab.servers.client import sync_stream_client
from streamlab.servers.private import PrivateServer
from streamlab.servers.processes import GuardedProcess
from tests.redis_targets import KILLED_WITH_ALL
from tests.soak.crew import Crew

LESSON = Path(__file__).parents[2] / "notebooks" / "solutions" / "07_development.ipynb"
STREAM, GROUP = "departures", "handling"
CONSUMERS = ("C1", "C2", "C3")
_WRITES = re.compile(r"%%writefile (?:-a )?\{FOLDER\}/(?P<name>\w+\.py)\n(?P<piece>.*)", re.S)


def programs() -> dict[str, str]:
    """Return the programs of the lesson by name, put together as IPython does it."""
    files: dict[str, str] = {}
    for cell in nbformat.read(LESSON, as_version=4).cells:
        if match := _WRITES.match(cell.source):
            files[match["name"]] = files.get(match["name"], "") + match["piece"] + "\n"
    return files


class Service(Crew):
    """The two programs, in a folder of their own, with a ledger, as processes that end with this one.

    Parameters
    ----------
    change
        What to do to the text of a program before it is written, for instance to break it.
    """

    def __init__(self, folder: Path, url: str, *, change: Callable[[str], str] = lambda text: text) -> None:
        super().__init__(folder)
        self.url = url
        self.client = sync_stream_client(url)
        for name, text in programs().items():
            (folder / name).write_text(change(text))
        # As the lesson does it: or a reader waits for writers, and they for it.
        with closing(self._ledger()) as ledger:
            ledger.execute("PRAGMA journal_mode=WAL")

    def write_departures(self, n: int, rate: float) -> None:
        """Write the file that the producer reads: so many departures, so many a second."""
        with (self.folder / "departures.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("at", "carrier", "origin"))
            rows.writerows((i / rate, "AA", ("EWR", "JFK", "LGA")[i % 3]) for i in range(n))

    def start(self, name: str, *, url: str | None = None) -> GuardedProcess:
        """Start a consumer by its name; or the producer, as ``P``."""
        command = ["producer.py", "departures.csv", "1"] if name == "P" else ["consumer.py", name]
        env = os.environ | {"REDIS_URL": url or self.url, "STREAM": STREAM}
        return self.launch(name, [sys.executable, *command], env)

    # ---- what has become of the entries ------------------------------------------------------------

    def bookings(self) -> Counter[int]:
        """Return how often the effect of each departure has happened, by its number."""
        return Counter(int(number) for (number,) in self._rows("SELECT number FROM bookings"))

    def done(self) -> list[tuple[int, str, str, float]]:
        """Return number, entry id, consumer and time of what is booked, in the order of booking."""
        rows = self._rows("SELECT number, entry_id, consumer, at FROM done ORDER BY at")
        return [(int(number), entry_id, name, at) for number, entry_id, name, at in rows]

    def n_done(self) -> int:
        """Return how many departures are booked."""
        for (n,) in self._rows("SELECT count(*) FROM done"):
            return int(n)
        return 0

    def held_by(self, *name: Any) -> list[str]:
        """Return the ids that are pending for a consumer, or for all (``XPENDING``)."""
        try:
            rows: Any = self.client.xpending_range(STREAM, GROUP, "-", "+", 100_000, *name)
        except redis.ResponseError:  # there is no group yet
            return []
        return [row["message_id"] for row in rows]

    def _rows(self, query: str) -> Iterable[tuple[Any, ...]]:
        with closing(self._ledger()) as ledger:
            if not ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'done'").fetchone():
                return []
            return ledger.execute(query).fetchall()

    def _ledger(self) -> sqlite3.Connection:
        return sqlite3.connect(self.folder / "ledger.db", timeout=30)

    def close(self) -> None:
        """End the processes, and the connection."""
        super().close()
        self.client.close()


# ---- the command -----------------------------------------------------------------------------------


@dataclass
class Figures:
    """What came of it."""

    entries: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    twice: int = 0
    pending: int = 0
    longest: float = 0.0
    unexpected: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        yield f"entries            {self.entries:>8,}"
        for what, n in sorted(self.kills.items()):
            yield f"{what:<19}{n:>8,}"
        yield f"lost               {self.lost:>8,}"
        yield f"effects twice      {self.twice:>8,}"
        yield f"pending            {self.pending:>8,}"
        yield f"longest wait (s)   {self.longest:>8.1f}"
        yield from self.unexpected

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.twice or self.pending or self.unexpected)


def soak(
    server: PrivateServer, folder: Path, *, minutes: float, rate: float, seed: int, n_server_kills: int
) -> Figures:
    """Run the service for so long, with mishaps from a seed, then let it come to its end."""
    rng = random.Random(seed)
    figures = Figures(entries=round(minutes * 60 * rate))
    with Service(folder, server.url) as service:
        service.write_departures(figures.entries, rate)
        for name in (*CONSUMERS, "P"):
            service.start(name)
        began = time.monotonic()
        to_start: dict[str, float] = {}
        server_kills = [(i + rng.random()) * minutes * 60 / max(n_server_kills, 1) for i in range(n_server_kills)]
        next_mishap = rng.expovariate(1.0)
        while (now := time.monotonic() - began) < minutes * 60:
            for name in [name for name, at in to_start.items() if at <= now]:
                del to_start[name]
                service.start(name)
            if server_kills and now >= server_kills[0]:
                server_kills.pop(0)
                server.kill()
                figures.kills["kills of the server"] += 1
                server.restart()
            if now >= next_mishap:
                next_mishap = now + rng.expovariate(1.0)
                name = rng.choice([*CONSUMERS * 2, "P"])
                if name not in to_start:
                    _mishap(service, name, rng, figures.kills)
                    # At once, or so late that others have taken over.
                    to_start[name] = now + rng.choice((0.0, 0.2, 3.0))
            time.sleep(0.02)
        for name in to_start:
            service.start(name)
        _let_finish(service, figures.entries)
        for name in CONSUMERS:
            service.terminate(name)
        _count(service, figures)
    return figures


def _mishap(service: Service, name: str, rng: random.Random, kills: Counter[str]) -> None:
    if name == "P" or rng.random() < 0.8:
        service.kill(name)
        kills["kills of the producer" if name == "P" else "kills of consumers"] += 1
    else:
        service.terminate(name)
        kills["stops of consumers"] += 1


def _let_finish(service: Service, n: int, within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if service.n_done() >= n and not service.held_by():
            return
        time.sleep(0.2)


def _count(service: Service, figures: Figures) -> None:
    bookings = service.bookings()
    figures.lost = figures.entries - len(bookings)
    figures.twice = bookings.total() - len(bookings)
    figures.pending = len(service.held_by())
    waits = [at - int(entry_id.partition("-")[0]) / 1000 for _, entry_id, _, at in service.done()]
    figures.longest = max(waits, default=0.0)
    figures.unexpected = service.unexpected


def main() -> int:
    """Run the soak that the arguments ask for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.lesson", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=100.0, help="entries per second")
    parser.add_argument("--server", default="redis-server", help="a program on the PATH")
    parser.add_argument("--server-kills", type=int, default=4, help="SIGKILLs of the server")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        PrivateServer(options.server, persistence="aof", options=KILLED_WITH_ALL) as server,
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
    ):
        print(f"{server.binary}, {options.minutes:g} min, {options.rate:g} entries/s, seed {options.seed}")
        figures = soak(
            server,
            Path(folder),
            minutes=options.minutes,
            rate=options.rate,
            seed=options.seed,
            n_server_kills=options.server_kills,
        )
    print("\n".join(figures.lines()))
    print("all is well" if figures.is_right else "SOMETHING IS WRONG")
    return 0 if figures.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
