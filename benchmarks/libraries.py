"""Which library? The same orders, worked off by each, live, under the same random faults: what is lost, twice, stuck.

    python benchmarks/libraries.py            # a quarter of an hour; prints the table
    python benchmarks/libraries.py --write    # and writes it into docs/libraries.md
    python benchmarks/libraries.py --only FastStream ours --repeats 1

It is `streamlab torture` with a program for each library, which stand in benchmarks/workers: three processes of it are
killed, paused, cut off, asked to stop, and their server is killed and restarted. A seed plans the same faults for all.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, cast

import redis
from harness import absent, available, each_time, machine, progress, written

from streamlab import Arrivals, PrivateServer, Producer, Scenario, Service, consumers
from streamlab.lab.errors import LabError
from streamlab.lab.foreign import Program
from streamlab.lab.torture import torture
from streamlab.results.run import Run
from streamlab.scenario.random_faults import steady_faults

PAGE = Path(__file__).parents[1] / "docs" / "libraries.md"
BEGIN, END = "<!-- table: python benchmarks/libraries.py --write -->", "<!-- end of table -->"
WORKERS = Path(__file__).parent / "workers"
N_CONSUMERS = 3
MIN_IDLE = 5.0  # seconds; what each library is told, where it can be told
VERDICTS = ("lost", "twice", "stuck")


@dataclass(frozen=True)
class Library:
    """A library, and how it is used.

    Attributes
    ----------
    words
        Its program among the workers, and what that is told.
    package
        What it is called by pip: whose version is shown; "": this one.
    needs
        Modules that it cannot do without.
    stream, group
        What it calls them, if it does not let itself be told.
    publishes
        Whether its entries are its own affair: then they are those that it has published itself.
    """

    name: str
    words: tuple[str, ...]
    package: str = ""
    needs: tuple[str, ...] = ()
    stream: str = "orders"
    group: str = "workers"
    publishes: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules that it needs and that are not installed."""
        return absent(self.needs)

    @property
    def command(self) -> list[str]:
        program, *words = self.words
        return [sys.executable, str(WORKERS / program), *words]

    @property
    def title(self) -> str:
        return f"{self.name} ({self.package} {version(self.package)})" if self.package else self.name


LIBRARIES = (
    Library("redis-py, a loop over `>`", ("with_redis_py.py",), "redis"),
    Library("redis-py, with XAUTOCLAIM", ("with_redis_py.py", "autoclaim"), "redis"),
    Library("walrus, read and ack", ("with_walrus.py",), "walrus", ("walrus",)),
    Library("walrus, with autoclaim()", ("with_walrus.py", "autoclaim"), "walrus", ("walrus",)),
    Library("FastStream, a group", ("with_faststream.py",), "faststream", ("faststream",)),
    Library("FastStream, with a claiming subscriber", ("with_faststream.py", "claims"), "faststream", ("faststream",)),
    Library("taskiq-redis", ("with_taskiq.py",), "taskiq-redis", ("taskiq", "taskiq_redis"), publishes=True),
    Library("streaQ", ("with_streaq.py",), "streaq", ("streaq",), stream="streaq:orders:queues:normal", publishes=True),
    Library("ours, consume() with autoclaim", ("with_streamlab.py",)),
)


@dataclass(frozen=True)
class Plan:
    """How long all of them work, and how hard."""

    duration: float
    drain: float
    rate: float
    every: float

    @property
    def n_entries(self) -> int:
        return round(self.duration * self.rate)

    def scenario(self, library: Library, seed: int, source: Path) -> Scenario:
        """Return the scenario of a seed: its faults are the same for every library."""
        scenario = Scenario(
            name="libraries",
            producers=(Producer("P1", Arrivals(kind="replay", source=str(source))),),
            consumers=consumers(N_CONSUMERS, Service()),
            duration=self.duration,
            drain=self.drain,
            seed=seed,
            stream=library.stream,
            group=library.group,
        )
        names = [consumer.name for consumer in scenario.consumers]
        faults = steady_faults(scenario.rng("faults"), consumers=names, duration=self.duration, every=self.every)
        return scenario.with_faults(*faults)


@dataclass
class Tally:
    """What came of one run, or of several.

    Attributes
    ----------
    lost
        Entries that are neither done, nor pending, nor still to be delivered.
    twice, again
        Entries that were done more than once; how often, beyond the first time, in all.
    stuck, undone
        Entries that were pending or undelivered when the time to finish was over; those of them that were never done.
    times
        Seconds from the loss of a process until all that it held was settled.
    never
        Losses for which that never came.
    refused
        Why there is no result; "" if there is one.
    """

    added: int = 0
    lost: int = 0
    twice: int = 0
    again: int = 0
    stuck: int = 0
    undone: int = 0
    times: list[float] = field(default_factory=list)
    never: int = 0
    refused: str = ""
    server: str = ""

    def add(self, other: Tally) -> None:
        """Take in another one."""
        for name in ("added", "lost", "twice", "again", "stuck", "undone", "never", "times"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.refused = self.refused or other.refused
        self.server = self.server or other.server

    @property
    def verdicts(self) -> tuple[bool | str, ...]:
        return tuple(self.refused or bool(getattr(self, name)) for name in VERDICTS)


def tally(run: Run, done: Counter[str]) -> Tally:
    """Count what came of a run; `done` is how often each order was done. The nth entry that was added is order-n."""
    open_ = {*run.final.pending, *run.final.undelivered}
    counts = {entry_id: done[f"order-{number}"] for entry_id, number in run.numbers.items()}
    recovery = run.recovery
    times = [lost.time for lost in recovery.lost_workers if lost.held and lost.recovered]
    return Tally(
        added=len(counts),
        lost=sum(not n and entry_id not in open_ for entry_id, n in counts.items()),
        twice=sum(n > 1 for n in counts.values()),
        again=sum(n - 1 for n in counts.values() if n > 1),
        stuck=len(open_),
        undone=sum(not counts.get(entry_id) for entry_id in open_),
        times=times,
        never=len(recovery.times) - len(times),
        server=run.server,
    )


# ---- orders, in each library's own words ------------------------------------------------------------


def entries_of(library: Library, n: int, folder: Path) -> Iterator[dict[str, str]]:
    """Yield the fields of the entries with order-1 to order-n; what belongs to them besides is put into a file."""
    (folder / "besides.json").write_text("{}", encoding="ascii")
    if not library.publishes:
        yield from ({"order": f"order-{number}"} for number in range(1, n + 1))
        return
    with PrivateServer() as server, redis.Redis.from_url(server.url) as client:
        told = {"REDIS_URL": server.url, "STREAM": library.stream, "GROUP": library.group, "CONSUMER": "publisher"}
        command = [*library.command, "publish", str(n)]
        try:
            subprocess.run(command, env=os.environ | told, check=True, capture_output=True, text=True, timeout=120)
        except subprocess.CalledProcessError as error:
            *_, last = error.stderr.strip().splitlines() or [str(error)]
            raise LabError(f"it could not publish: {last}") from None
        keys = cast(Iterable[bytes], client.scan_iter(count=1000))
        besides = {key.decode(): client.dump(key) for key in keys if key != library.stream.encode()}
        found = {key: base64.b64encode(cast(bytes, dump)).decode() for key, dump in besides.items()}
        (folder / "besides.json").write_text(json.dumps(found), encoding="ascii")
        for _, fields in cast(Any, client.xrange(library.stream)):
            yield {name.decode(): value.decode() for name, value in fields.items()}


def write_source(library: Library, plan: Plan, folder: Path) -> Path:
    """Write a file of the entries, each with its time, for our producer; return its path."""
    entries = list(entries_of(library, plan.n_entries, folder))
    if len(entries) != plan.n_entries:
        raise LabError(f"it published {len(entries):,} entries for {plan.n_entries:,} orders")
    path = folder / "orders.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["at", *entries[0]])
        writer.writeheader()
        writer.writerows({"at": number / plan.rate, **fields} for number, fields in enumerate(entries))
    return path


# ---- measuring ---------------------------------------------------------------------------------------


@contextmanager
def told(**values: str) -> Iterator[None]:
    """Let the workers find this in their environment."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run_one(library: Library, plan: Plan, seed: int) -> Tally:
    """Put a library's program to torture, by the faults of a seed."""
    with tempfile.TemporaryDirectory(prefix="streamlab-libraries-") as name:
        folder = Path(name)
        effects = folder / "effects"
        effects.touch()
        with told(EFFECTS=str(effects), BESIDES=str(folder / "besides.json"), MIN_IDLE=str(MIN_IDLE)):
            try:
                scenario = plan.scenario(library, seed, write_source(library, plan, folder))
                outcome = torture(scenario, Program(shlex.join(library.command)))
            except LabError as error:
                return Tally(refused=str(error))
        return tally(outcome.run, Counter(effects.read_text(encoding="utf-8").split()))


def measure(
    libraries: Sequence[Library], plan: Plan, seeds: Sequence[int], repeats: int, jobs: int
) -> dict[Library, list[Tally]]:
    """Run every library under every seed, several times; return for each time what came of all seeds."""
    found = {library: [Tally() for _ in range(repeats)] for library in libraries}
    with ProcessPoolExecutor(jobs) as pool:
        runs = {
            pool.submit(run_one, library, plan, seed): (library, repeat)
            for repeat in range(repeats)
            for library in libraries
            for seed in seeds
        }
        for number, run in enumerate(as_completed(runs), 1):
            library, repeat = runs[run]
            found[library][repeat].add(run.result())
            progress(f"{number} of {len(runs)} runs: {library.name}")
    progress("")
    return found


# ---- what is shown -----------------------------------------------------------------------------------


def table(found: dict[Library, list[Tally]]) -> str:
    """Return the results as a Markdown table: counts are those of each time, in their order."""
    lines = [
        "| library | lost | done twice | stuck | of these never done | time to recover, median | longest | never |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for library, tallies in found.items():
        refused = next((tally.refused for tally in tallies if tally.refused), "")
        if refused:
            lines.append(f"| {library.title} | {refused.splitlines()[0]} | | | | | | |")
            continue
        times = [time for tally in tallies for time in tally.times]
        never = sum(tally.never for tally in tallies)
        counts = [each_time(tallies, name) for name in ("lost", "twice", "stuck", "undone")]
        recovered = [f"{median(times):.1f} s", f"{max(times):.1f} s"] if times else ["–", "–"]
        cells = [library.title, *counts, *recovered, f"{never} of {never + len(times)}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def agreement(found: dict[Library, list[Tally]]) -> str:
    """Say whether every time gave the same verdicts, and who differed."""
    (repeats,) = {len(tallies) for tallies in found.values()}
    differ = [
        f"{library.name} ({what})"
        for library, tallies in found.items()
        for what, verdicts in zip(VERDICTS, zip(*(tally.verdicts for tally in tallies), strict=True), strict=True)
        if len(set(verdicts)) > 1
    ]
    if repeats == 1:
        return "Run once."
    who = f"differed for {', '.join(differ)}" if differ else "were the same each time, for all of them"
    verdicts = "the verdicts (lost or not, done twice or not, stuck or not)"
    return f"All of this {repeats} times, by the same seeds: {verdicts} {who}."


def block(found: dict[Library, list[Tally]], plan: Plan, options: argparse.Namespace) -> str:
    """Return what stands in the page: by which command, when, and where; the table; and whether it was so each time."""
    first = next(iter(found.values()))[0]
    numbers = " ".join(map(str, options.seeds))
    per_run = plan.n_entries * len(options.seeds)
    return (
        f"{date.today():%d %B %Y}, {machine()}; {first.server}. {per_run:,} orders each time:\n\n"
        "```console\n"
        f"$ python benchmarks/libraries.py --write --seeds {numbers} --repeats {options.repeats} --jobs {options.jobs} "
        f"--duration {plan.duration:g} --drain {plan.drain:g} --rate {plan.rate:g} --every {plan.every:g}\n"
        "```\n\n"
        f"{table(found)}\n\n{agreement(found)}"
    )


def as_json(found: dict[Library, list[Tally]], plan: Plan, seeds: Sequence[int]) -> str:
    """Return the results as one JSON object."""
    rows = [
        {"name": library.name, "version": library.title, "runs": [vars(tally) for tally in tallies]}
        for library, tallies in found.items()
    ]
    return json.dumps({"machine": machine(), "seeds": list(seeds), **vars(plan), "results": rows}, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 4], metavar="N", help="of the faults (2 4)")
    parser.add_argument("--repeats", type=int, default=3, help="how often all of that is run (%(default)s)")
    parser.add_argument("--duration", type=float, default=15.0, help="seconds in which orders come (%(default)s)")
    parser.add_argument("--drain", type=float, default=20.0, help="seconds to finish after that (%(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="orders a second (%(default)s)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two faults, on average (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="libraries whose name holds one of these")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{PAGE.name}, too")
    options = parser.parse_args(arguments)
    libraries = available(LIBRARIES, options.only)
    if not libraries:
        parser.error(f"no library's name holds {' or '.join(options.only)}")
    plan = Plan(options.duration, options.drain, options.rate, options.every)
    found = measure(libraries, plan, options.seeds, options.repeats, options.jobs)
    markdown = block(found, plan, options)
    print(as_json(found, plan, options.seeds) if options.json else markdown)
    if options.write:
        PAGE.write_text(written(PAGE, BEGIN, END, markdown), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
