"""What a server that is killed brings back: entries and acknowledgements, for each way to persist them.

A producer adds entries and a consumer acknowledges them, each as fast as it can, until the server dies of SIGKILL in
the middle of that. It is started again with what it has persisted, and another consumer takes what it is given: what
was left pending, then new entries. Nothing here is a speed. What does not come out as docs/persistence.md says it must
is said, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import redis
from harness import each_time, machine, repeated, written

from streamlab import PrivateServer, sync_stream_client
from streamlab.servers.programs import ServerStartError, best_server, identify_server

PAGE = Path(__file__).parents[1] / "docs" / "persistence.md"
BEGIN = "<!-- table: python benchmarks/persistence.py --write -->"
END = "<!-- end of the table -->"
STREAM, GROUP = "orders", "workers"
#: Bytes that are missing from a torn file: some commands, the first of them in part.
TORN = 1000


@dataclass(frozen=True)
class Found:
    """What came of one run."""

    added: int
    """Entries whose XADD was acknowledged before the crash."""
    found: int
    """Of these, how many the stream holds afterwards."""
    unheard: int
    """Entries that it holds though no reply to their XADD came."""
    again: int
    """Entries that had been delivered, and are delivered again."""
    acks_lost: int
    """Of these, how many had been acknowledged, their XACK answered by 1."""
    group: bool
    """Whether the group is still there."""
    halfway: int
    """Entries that were in the stream when the consumer had had half of its acknowledgements."""

    @property
    def lost(self) -> int:
        """Entries that were acknowledged, and are gone."""
        return self.added - self.found


class Crash:
    """One server's life up to its crash: a producer and a consumer in threads of their own."""

    def __init__(self, server: PrivateServer, n_acks: int, *, snapshot: bool) -> None:
        self._server = server
        self._n_acks = n_acks
        self._snapshot = snapshot
        self.added: list[str] = []
        self.delivered: list[str] = []
        self.acked: set[str] = set()
        self.halfway = 0
        self._size_halfway = 0
        self._has_begun = threading.Event()

    def run(self) -> None:
        """Let both work until the consumer has had so many acknowledgements, and kills the server."""
        with sync_stream_client(self._server.url) as client:
            client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        producer = threading.Thread(target=self._produce)
        producer.start()
        try:
            self._consume()
        finally:
            self._server.kill()
            producer.join()

    def _produce(self) -> None:
        with sync_stream_client(self._server.url) as client:
            try:
                while True:
                    self.added.append(client.xadd(STREAM, {"order": len(self.added)}))
                    self._has_begun.set()
            except redis.ConnectionError:  # the server is dead
                self._has_begun.set()

    def _consume(self) -> None:
        self._has_begun.wait()
        with sync_stream_client(self._server.url) as client:
            while len(self.acked) < self._n_acks:
                ((_, entries),) = client.xreadgroup(GROUP, "C1", {STREAM: ">"}, count=10, block=10_000)
                self.delivered += [entry_id for entry_id, _ in entries]
                for entry_id, _ in entries:
                    if client.xack(STREAM, GROUP, entry_id) == 1:
                        self.acked.add(entry_id)
                    if not self.halfway and len(self.acked) * 2 >= self._n_acks:
                        self.halfway = client.xlen(STREAM)
                        self._size_halfway = sum(file.stat().st_size for file in self._files())
                        if self._snapshot:
                            client.save()  # BGSAVE would do the same, without holding up the producer
                    if len(self.acked) == self._n_acks:
                        return

    # ---- what becomes of its append-only file ----------------------------------------------------------

    def tear_file(self) -> None:
        """Cut off some of its end, as a power loss or a full disk may."""
        self._cut(-TORN)

    def forget_since_halfway(self) -> None:
        """Cut off all that was written since halfway, as a power loss does with what was not synced."""
        self._cut(self._size_halfway)

    def _cut(self, size: int) -> None:
        (file,) = self._files()
        os.truncate(file, size if size > 0 else file.stat().st_size + size)

    def _files(self) -> list[Path]:
        """Return the file that commands are appended to; none if there is none. Redis 6.2 has it under another name."""
        folder = self._server.folder
        return [*folder.glob("appendonlydir/*.incr.aof"), *folder.glob("appendonly.aof")]


@dataclass(frozen=True)
class Row:
    """A way to persist, what must come of it, and what the crash does beside that."""

    name: str
    persistence: str
    must: Callable[[Found], bool]
    damage: Callable[[Crash], None] = lambda crash: None
    """What happens to the file after that, as the machine goes down with the server."""


def lost_nothing(found: Found) -> bool:
    return found.group and found.lost == found.acks_lost == 0


def is_set_back(found: Found) -> bool:
    return found.group and 0 < found.found < found.added and 0 < found.acks_lost <= found.again


def is_set_back_to_snapshot(found: Found) -> bool:
    return is_set_back(found) and found.halfway <= found.found


ROWS = (
    Row("nothing", "none", lambda found: not found.group and found.found == found.again == 0),
    Row("RDB, a snapshot halfway", "rdb", is_set_back_to_snapshot),
    Row("AOF, everysec", "aof", lost_nothing),
    Row("AOF, always", "aof-always", lost_nothing),
    Row(f"AOF, its last {TORN:,} bytes torn off", "aof", is_set_back, Crash.tear_file),
    Row("AOF, nothing on disk since halfway", "aof", is_set_back, Crash.forget_since_halfway),
)


def given_now(client: redis.Redis) -> list[str]:
    """Return the entries that another consumer is given: first what is pending, then new ones."""
    given: list[str] = []
    cursor = "0-0"
    while True:
        cursor, entries, *_ = client.xautoclaim(STREAM, GROUP, "C2", 0, cursor, count=1000)
        given += [entry_id for entry_id, _ in entries]
        if cursor == "0-0":
            break
    while reply := client.xreadgroup(GROUP, "C2", {STREAM: ">"}, count=1000):
        given += [entry_id for entry_id, _ in reply[0][1]]
    return given


def run_one(row: Row, n_acks: int, program: str | None) -> Found:
    """Run a row once."""
    with PrivateServer(program, persistence=row.persistence) as server:  # type: ignore[arg-type]
        crash = Crash(server, n_acks, snapshot=row.persistence == "rdb")
        crash.run()
        row.damage(crash)
        server.restart(60)
        with sync_stream_client(server.url) as client:
            held = {entry_id for entry_id, _ in client.xrange(STREAM)}
            group = bool(held) and bool(client.xinfo_groups(STREAM))
            given = given_now(client) if group else []
    return Found(
        added=len(crash.added),
        found=len(held.intersection(crash.added)),
        unheard=len(held.difference(crash.added)),
        acks_lost=len(crash.acked.intersection(given)),
        again=len(set(crash.delivered).intersection(given)),
        group=group,
        halfway=crash.halfway,
    )


def table(found: dict[Row, list[Found]]) -> str:
    """Return the results as a Markdown table: counts are those of each time, in their order."""
    lines = [
        "| what is persisted | acknowledged by XADD | found afterwards | lost | delivered again "
        "| of these acked: acks lost |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row, runs in found.items():
        counts = [each_time(runs, name) for name in ("added", "found", "lost", "again", "acks_lost")]
        lines.append(f"| {' | '.join([row.name, *counts])} |")
    return "\n".join(lines)


def surprises(found: dict[Row, list[Found]]) -> list[str]:
    """Return in words what did not come out as it must."""
    return [f"{row.name}: {run}" for row, runs in found.items() for run in runs if not row.must(run)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--acks", type=int, default=500, help="acknowledgements before the crash (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is run (%(default)s)")
    parser.add_argument("--server", metavar="PROGRAM", help="the server to run, instead of the first one on the PATH")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{PAGE.name}, too")
    options = parser.parse_args(arguments)
    try:
        server = identify_server(options.server) if options.server else best_server()
    except ServerStartError as error:
        print(f"nothing to measure: {error}", file=sys.stderr)
        return 2
    found = repeated(ROWS, options.repeats, lambda row: run_one(row, options.acks, options.server))
    command = f"python benchmarks/persistence.py --write --acks {options.acks} --repeats {options.repeats}"
    version = ".".join(map(str, server.version))
    markdown = (
        f"{date.today():%d %B %Y}, {machine()}; {server.kind.capitalize()} {version}:\n\n"
        f"```console\n$ {command}\n```\n\n{table(found)}"
    )
    rows = [{"persistence": row.name, "runs": list(map(asdict, runs))} for row, runs in found.items()]
    print(json.dumps({"machine": machine(), "results": rows}, indent=2) if options.json else markdown)
    if options.write:
        PAGE.write_text(written(PAGE, BEGIN, END, markdown), encoding="utf-8")
    for words in surprises(found):
        print(f"not as it must be: {words}", file=sys.stderr)
    return int(bool(surprises(found)))


if __name__ == "__main__":
    sys.exit(main())
