"""Many runs in sequence, each ended in some way: none leaves a process, a folder, a key, a thread or a file handle.

    python -m tests.leftovers --runs 200 --seed 7

Runs are simulated, live on a private server, or live on a given one; by the shell or within this process; and they
finish, or are interrupted (SIGINT), terminated (SIGTERM, SIGHUP), killed (SIGKILL) or closed at a random moment. After
each, what is left is looked for. The exit status is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from streamlab.lab.lab import Lab
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers, to_toml
from streamlab.servers.client import sync_stream_client
from streamlab.servers.private import PrivateServer

#: In the environment of whatever a run starts, and what that starts in its turn.
MARK = "STREAMLAB_LEFTOVERS"
#: Seconds within which all has to be gone: guards need some time, on a busy machine more.
LIMIT = 15.0
#: Seconds after which a run is stopped, at the most; Python alone takes some tenths to start.
LONGEST = 2.0

SHORT = Scenario(
    name="short",
    producers=producers(2, Arrivals("poisson", rate=50)),
    consumers=consumers(2, Service("exponential", mean=0.005)),
    duration=0.4,
    sink="idempotent",
).with_recovery("autoclaim", max_deliveries=3)
#: What may go wrong in a run: each needs a proxy, another start, or a server that comes back.
FAULTS = {
    "nothing": (),
    "lost replies": ("lost-reply P1 XADD nth 3", "lost-reply C1 XACK nth 5"),
    "a restart": ("kill C1 at 100ms", "restart C1 at 200ms"),
    "a dead server": ("server-down at 100ms for 200ms",),
}
ENGINES = ("simulated", "private server", "given server")
ENDS = {
    "shell": ("finished", "SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"),
    "this process": ("finished", "SIGINT", "closed"),
}


@dataclass(frozen=True)
class Kind:
    """A run, but for its seed."""

    where: str
    engine: str
    end: str
    fault: str

    def __str__(self) -> str:
        return f"{self.engine}, by {self.where}, {self.end}, with {self.fault}"


def kinds() -> list[Kind]:
    """Return every kind of run that there is."""
    return [
        Kind(where, engine, end, fault)
        for where, ends in ENDS.items()
        for engine in ENGINES
        for end in ends
        for fault in FAULTS
        if not (fault == "a dead server" and engine == "given server")
    ]


@dataclass
class Ground:
    """Where runs take place: a folder, a given server, and a mark by which their processes are known."""

    folder: Path
    server: PrivateServer
    client: redis.Redis
    mark: str
    threads: set[threading.Thread] = field(default_factory=set)
    n_handles: int = 0
    complaints: list[str] = field(default_factory=list)

    def scenario(self, kind: Kind, rng: random.Random) -> Scenario:
        scenario = SHORT.replace(seed=rng.randrange(1 << 30))
        if kind.end != "finished":  # it is not to be over before
            scenario = scenario.replace(duration=60.0)
        return scenario.with_faults(*FAULTS[kind.fault])

    def url(self, kind: Kind) -> str | None:
        return self.server.url if kind.engine == "given server" else None

    def look(self) -> dict[str, object]:
        """Return what is left, but for nothing."""
        gc.collect()
        found = {
            "processes": marked(self.mark),
            "files": [name for name in os.listdir(self.folder / "tmp") if name != "kept"],
            "keys": self.client.keys(),
            "clients": len(self.client.client_list()) - 1,
            "threads": [each.name for each in {*threading.enumerate()} - self.threads],
            "handles": n_handles() - self.n_handles,
            "complaints": self.complaints,
        }
        return {name: what for name, what in found.items() if what}

    def remember(self) -> None:
        """Take what is there now for what belongs here."""
        gc.collect()
        self.threads, self.n_handles = {*threading.enumerate()}, n_handles()

    def clear(self) -> None:
        """Do away with what was left, so that the next run is not blamed for it."""
        for found in marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(found.split()[0]), signal.SIGKILL)
        self.client.flushall()
        self.complaints.clear()
        self.remember()


@contextlib.contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """Give a ground in a folder."""
    (folder / "tmp").mkdir()
    heard = _Complaints()
    logging.getLogger("asyncio").addHandler(heard)
    with PrivateServer() as server, sync_stream_client(server.url) as client:
        before = os.environ.get("TMPDIR"), tempfile.tempdir
        mark = os.environ[MARK] = secrets.token_hex(8)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
        try:
            made = Ground(folder, server, client, mark)
            heard.put = made.complaints.append
            client.ping()
            made.remember()
            yield made
        finally:
            logging.getLogger("asyncio").removeHandler(heard)
            del os.environ[MARK]
            if before[0] is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before[0]
            tempfile.tempdir = before[1]


class _Complaints(logging.Handler):
    """Hears what asyncio complains of: an exception that nobody has asked for, a task that was not awaited."""

    put: Callable[[str], object]

    def emit(self, record: logging.LogRecord) -> None:
        self.put(self.format(record))


def marked(mark: str) -> list[str]:
    """Return the processes with this mark in their environment, but for this one, in a few words each."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
    return found


def n_handles() -> int:
    """Return how many files this process has open."""
    n: int = psutil.Process().num_fds()
    return n


# ---- a run ---------------------------------------------------------------------------------------------


def by_shell(ground: Ground, kind: Kind, rng: random.Random) -> str:
    """Run the command; return how it ended."""
    file = ground.folder / "scenario.toml"
    file.write_text(to_toml(ground.scenario(kind, rng)))
    command = [sys.executable, "-m", "streamlab", "run", str(file)]
    if kind.engine != "simulated":
        command += ["--engine", "live"]
    if kind.engine == "given server":
        command += ["--redis", ground.server.url]
    log = (ground.folder / "log").open("w")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
    log.close()
    if kind.end != "finished":
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.0, LONGEST))
        process.send_signal(getattr(signal, kind.end))
    try:
        status = process.wait(LIMIT)
        said = (ground.folder / "log").read_text()
        if "never" in said:  # retrieved, awaited
            ground.complaints.append(said)
        return f"status {status}"
    except subprocess.TimeoutExpired:
        said = (ground.folder / "log").read_text()
        return f"still running, having said {said!r}"  # what is left will tell more


def in_process(ground: Ground, kind: Kind, rng: random.Random) -> str:
    """Run a lab here; return how it ended."""
    scenario = ground.scenario(kind, rng)
    engine = "simulated" if kind.engine == "simulated" else "live"
    lab = Lab(scenario, engine=engine, redis_url=ground.url(kind))  # type: ignore[arg-type]
    if kind.end == "finished":
        lab.run()
        return "finished"
    moment = rng.uniform(0.001, LONGEST if engine == "live" else 0.2)
    if kind.end == "closed":
        lab.play(100.0 if engine == "simulated" else 1.0)
        threading.Event().wait(moment)
        lab.close()
        return "closed"
    play = rng.random() < 0.5
    if interrupted_after(moment, (lambda: played(lab)) if play else lab.run):
        lab.close()
        return "interrupted"
    lab.close()
    return "over before"


def played(lab: Lab) -> None:
    lab.play()
    while not lab.finished:  # no snapshots: the server may be down
        threading.Event().wait(0.01)


def interrupted_after(seconds: float, act: Callable[[], object]) -> bool:
    """Do something, and send this process SIGINT after so long, as Ctrl-C does; tell if it came."""

    def interrupt(*_: object) -> None:
        if is_armed:
            is_armed.clear()
            signal.raise_signal(signal.SIGINT)

    is_armed = [True]
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        is_armed.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return False


# ---- all runs ------------------------------------------------------------------------------------------


def run_all(n: int, seed: int, folder: Path, *, say: Callable[[str], object] = print) -> dict[str, dict[str, object]]:
    """Make so many runs; return what each has left that has left anything, by its number and kind."""
    rng = random.Random(seed)
    queue: list[Kind] = []
    left: dict[str, dict[str, object]] = {}
    ends: Counter[str] = Counter()
    with ground(folder) as here:
        for engine in ENGINES:  # what Python and its libraries open once is not a run's
            in_process(here, Kind("this process", engine, "finished", "nothing"), random.Random(0))
        here.remember()
        for number in range(1, n + 1):
            if not queue:  # each kind once, before any comes a second time
                queue = rng.sample(kinds(), len(kinds()))
            kind = queue.pop()
            its = random.Random(rng.randrange(1 << 30))
            how = (by_shell if kind.where == "shell" else in_process)(here, kind, its)
            ends[f"{kind.where}, {kind.end}"] += 1
            deadline = time.monotonic() + LIMIT
            while (found := here.look()) and time.monotonic() < deadline:
                time.sleep(0.02)
            if found:
                left[f"run {number}: {kind} ({how})"] = found
                say(f"run {number}: {kind} ({how}) left {found}")
                here.clear()
    for end, count in sorted(ends.items()):
        say(f"{count:4} × {end}")
    return left


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.leftovers", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=None, metavar="N")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 30) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    # Whoever has started this in the background may have had them ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    logging.getLogger("streamlab").setLevel(logging.ERROR)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="leftovers-") as folder:
        left = run_all(arguments.runs, seed, Path(folder))
    took = time.monotonic() - began
    print(f"{arguments.runs} runs in {took:.0f} s: {len(left)} left something behind")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
