"""`Workforce`: the workers of the soak as processes, in one life after another, and what they have written down."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.soak.crew import Crew
from tests.soak.ledger import DONE, READY, Pages, Record
from tests.soak.pair import PATIENCE
from tests.soak.plan import AnyWorker, Processor, group_of

PROJECT = Path(__file__).parents[2]


class Workforce(Crew):
    """Workers by name, each a process; their ledgers are in a folder of their own.

    Parameters
    ----------
    url
        Where they find their server.
    rate
        Entries per second that all producers together add.
    mutations
        Names of the mistakes that are made in them.
    """

    def __init__(
        self, folder: Path, workers: Sequence[AnyWorker], url: str, rate: float, mutations: Sequence[str]
    ) -> None:
        super().__init__(folder)
        self.workers = {worker.name: worker for worker in workers}
        self.processors = [worker.name for worker in workers if isinstance(worker, Processor)]
        self.producers = [name for name in self.workers if name not in self.processors]
        self.groups = list(dict.fromkeys(group_of(self.workers[name]) for name in self.processors))
        #: Who is not running, or is about to end.
        self.away = set(self.workers)
        ledgers = folder / "ledger"
        ledgers.mkdir()
        self._env: Mapping[str, str] = os.environ | {
            "REDIS_URL": url,
            "LEDGER": str(ledgers),
            "RATE": str(rate / len(self.producers)),
            "MUTATIONS": " ".join(mutations),
            "PYTHONPATH": str(PROJECT),
        }
        self._lives = dict.fromkeys(self.workers, 0)
        self._pages = {name: Pages(ledgers / name) for name in self.workers}
        self._done: dict[str, set[str]] = defaultdict(set)
        self._n_counted = dict.fromkeys(self.workers, 0)

    def start(self, name: str) -> None:
        """Start a worker, in its first life or its next."""
        self._lives[name] += 1
        command = [sys.executable, "-P", "-m", "tests.soak.worker", name, str(self._lives[name])]
        self.launch(name, command, self._env)
        self.away.discard(name)

    def wait_until_ready(self, names: Iterable[str]) -> None:
        """Wait until each has begun to work, in the life that it is in."""
        deadline = time.monotonic() + PATIENCE
        for name in names:
            while not self._is_ready(name) and name not in self.away:
                self.note_ends()
                if time.monotonic() > deadline:
                    self.unexpected.append(f"{name} does not begin to work")
                    break
                time.sleep(0.01)

    def _is_ready(self, name: str) -> bool:
        of_this_life = itertools.takewhile(lambda record: record.life == self._lives[name], reversed(self._read(name)))
        return any(record.what == READY for record in of_this_life)

    def stop(self, names: Iterable[str]) -> None:
        """Stop those that run (SIGTERM), and wait for their end."""
        running = [name for name in names if name not in self.away]
        for name in running:
            self.away.add(name)
            self.processes[name].terminate()
        for name in running:
            self.note_stopped(name, self.processes[name].wait(PATIENCE))

    def note_ends(self) -> None:
        """Take note of those that have ended, though nobody told them to."""
        for name in self.workers.keys() - self.away:
            status = self.processes[name].returncode
            if status is not None:
                self.away.add(name)
                self.unexpected.append(f"{name} ended by itself, with {status}")

    # ---- what they have written down ---------------------------------------------------------------

    def records(self) -> dict[str, list[Record]]:
        """Return what each has written down so far."""
        return {name: self._read(name) for name in self.workers}

    def done(self) -> Mapping[str, set[str]]:
        """Return the ids of what each group has done so far."""
        for name in self.processors:
            new = self._read(name)[self._n_counted[name] :]
            self._n_counted[name] += len(new)
            ids = {record.entry_id for record in new if record.what == DONE}
            self._done[group_of(self.workers[name])] |= ids
        return self._done

    def _read(self, name: str) -> list[Record]:
        self._pages[name].read_on()
        return self._pages[name].records
