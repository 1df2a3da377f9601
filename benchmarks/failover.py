"""What a failover loses: entries and acknowledgements, with and without WAIT, and for how long nothing can be written.

A primary has a replica and three Sentinels. A producer adds entries and a consumer acknowledges them, until the primary
dies of SIGKILL. Then the Sentinels promote the replica, which has what was copied so far: where replication lags, it is
cut some tenths of a second before. What does not come out as docs/failover.md says it must is said, and the exit status
is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import redis
from harness import each_time, machine, repeated, written
from persistence import GROUP, STREAM, given_now

from streamlab import PrivateReplicas, connect, sync_stream_client
from streamlab.servers.programs import ServerStartError

PAGE = Path(__file__).parents[1] / "docs" / "failover.md"
BEGIN = "<!-- table: python benchmarks/failover.py --write -->"
END = "<!-- end of the table -->"
RATE = 300  # entries a second
BEFORE, AFTER = 1.0, 0.5  # seconds for which it is worked before the crash, and written afterwards
ACKED_AFTER = 0.2  # seconds from when an entry was added
PATIENCE = 60.0  # seconds, also on a busy machine
WAIT_LIMIT = 50  # milliseconds: a replica answers in one, or not at all


@dataclass(frozen=True)
class Found:
    """What came of one run."""

    added: int
    """Entries whose XADD was acknowledged before the crash; with WAIT, those that the replica had as well."""
    lost: int
    """Of these, how many the new primary has not got."""
    acked: int
    """Entries whose XACK was answered by 1; with WAIT, by the replica as well."""
    acks_lost: int
    """Of these, how many are delivered again."""
    blocked: float
    """Seconds from the crash to the next XADD that succeeded."""


@dataclass(frozen=True)
class Row:
    """How far the replica is behind, in seconds, and whether writers wait for it."""

    lag: float
    wait: bool

    def must(self, found: Found) -> bool:
        """Tell whether something came out as it must: what the replica was said to have, it has."""
        if self.wait:
            return found.lost == found.acks_lost == 0 < found.added
        return not self.lag or (found.lost > 0 and found.acks_lost > 0)


ROWS = tuple(Row(lag, wait) for lag in (0.0, 0.3) for wait in (False, True))


class Failover:
    """One failover: a producer and a consumer in threads of their own."""

    def __init__(self, servers: PrivateReplicas, row: Row) -> None:
        self._servers = servers
        self._row = row
        self._began = time.monotonic()
        self._stop = threading.Event()
        self.crashed_at = float("inf")
        self.added: list[tuple[str, float]] = []
        self.acked: set[str] = set()

    def run(self) -> None:
        """Let both work, and kill the primary in the middle of that."""
        primary, replica = self._servers.primary, self._servers.replicas[0]
        with sync_stream_client(self._servers.url) as client:
            client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        workers = [threading.Thread(target=self._produce), threading.Thread(target=self._consume)]
        for worker in workers:
            worker.start()
        try:
            time.sleep(BEFORE)
            if self._row.lag:
                self._until(lambda: len(self.added) > len(self.acked) + 1)  # some are acknowledged after that
                with sync_stream_client(replica.url) as client:
                    client.replicaof("127.0.0.1", 1)  # where no server is: it keeps what it has
                n_added, n_acked = len(self.added), len(self.acked)
                time.sleep(self._row.lag)
                # Else, on a busy machine, nothing might have been written in this time.
                self._until(lambda: (len(self.added) > n_added and len(self.acked) > n_acked) or self._row.wait)
            primary.kill()
            self.crashed_at = time.monotonic()
            self._until(
                lambda: self.blocked is not None and self.added[-1][1] >= self.crashed_at + self.blocked + AFTER
            )
        finally:
            self._stop.set()
            primary.kill()
            for worker in workers:
                worker.join()

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing came of it within {PATIENCE:g} s")
            time.sleep(0.01)

    @property
    def blocked(self) -> float | None:
        """Seconds for which nothing could be written; None: it still cannot."""
        return next((at - self.crashed_at for _, at in self.added if at > self.crashed_at), None)

    def _produce(self) -> None:
        number = 0
        with sync_stream_client(self._servers.url) as client:
            while not self._stop.is_set():
                number += 1
                self._stop.wait(self._began + number / RATE - time.monotonic())
                try:
                    entry_id = client.xadd(STREAM, {"order": number})
                    if self._is_copied(client):
                        self.added.append((entry_id, time.monotonic()))
                except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError):
                    self._stop.wait(0.02)

    def _consume(self) -> None:
        """Acknowledge entries, each some time after it was added, until the primary is gone."""
        with sync_stream_client(self._servers.url) as client:
            try:
                while not self._stop.is_set():
                    for _, entries in client.xreadgroup(GROUP, "C1", {STREAM: ">"}, count=10, block=100):
                        for entry_id, _ in entries:
                            self._stop.wait(int(entry_id.partition("-")[0]) / 1000 + ACKED_AFTER - time.time())
                            if client.xack(STREAM, GROUP, entry_id) == 1 and self._is_copied(client):
                                self.acked.add(entry_id)
            except redis.ConnectionError:
                return

    def _is_copied(self, client: redis.Redis) -> bool:
        """Tell whether the replica has what was written by this connection, if that is asked for (``WAIT``)."""
        return not self._row.wait or time.monotonic() > self.crashed_at or client.wait(1, WAIT_LIMIT) == 1


def run_one(row: Row, program: str | None) -> Found:
    """Run a row once."""
    with PrivateReplicas(program, n_replicas=1) as servers:
        failover = Failover(servers, row)
        failover.run()
        with connect(servers.url) as client:
            held = {entry_id for entry_id, _ in client.xrange(STREAM)}
            given = given_now(client)
    added = [entry_id for entry_id, at in failover.added if at <= failover.crashed_at]
    assert failover.blocked is not None
    return Found(
        added=len(added),
        lost=len(set(added) - held),
        acked=len(failover.acked),
        acks_lost=len(failover.acked.intersection(given)),
        blocked=round(failover.blocked, 1),
    )


def table(found: dict[Row, list[Found]]) -> str:
    """Return the results as a Markdown table: counts are those of each time, in their order."""
    lines = [
        "| replica | WAIT 1 | entries acknowledged | of these lost | entries acked | of these delivered again "
        "| seconds without writes |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row, runs in found.items():
        replica = f"cut off for {row.lag:g} s before" if row.lag else "up to date"
        counts = [each_time(runs, name) for name in ("added", "lost", "acked", "acks_lost", "blocked")]
        lines.append(f"| {' | '.join([replica, 'yes' if row.wait else 'no', *counts])} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="how often each is run (%(default)s)")
    parser.add_argument("--server", metavar="PROGRAM", help="the server to run, instead of the first one on the PATH")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{PAGE.name}, too")
    options = parser.parse_args(arguments)
    try:
        server = PrivateReplicas(options.server).binary
    except ServerStartError as error:
        print(f"nothing to measure: {error}", file=sys.stderr)
        return 2
    found = repeated(ROWS, options.repeats, lambda row: run_one(row, options.server))
    markdown = (
        f"{date.today():%d %B %Y}, {machine()}; {server.kind.capitalize()} {'.'.join(map(str, server.version))}:\n\n"
        f"```console\n$ python benchmarks/failover.py --write --repeats {options.repeats}\n```\n\n{table(found)}"
    )
    rows = [{**asdict(row), "runs": list(map(asdict, runs))} for row, runs in found.items()]
    print(json.dumps({"machine": machine(), "results": rows}, indent=2) if options.json else markdown)
    if options.write:
        PAGE.write_text(written(PAGE, BEGIN, END, markdown), encoding="utf-8")
    surprises = [f"{row}: {run}" for row, runs in found.items() for run in runs if not row.must(run)]
    for words in surprises:
        print(f"not as it must be: {words}", file=sys.stderr)
    return int(bool(surprises))


if __name__ == "__main__":
    sys.exit(main())
