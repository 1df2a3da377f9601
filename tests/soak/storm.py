"""The storm: workers at their work, and what goes wrong meanwhile, drawn from a seed."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from streamlab.servers.programs import ServerBinary
from tests.soak.books import EVERYBODY, Fault, Figures, count_added, count_processed
from tests.soak.pair import PATIENCE, Pair
from tests.soak.plan import DEAD_LETTERS, MIN_IDLE, STREAM, workers_for
from tests.soak.worker import key_of
from tests.soak.workforce import Workforce

#: What may go wrong, and how often of so many times.
KINDS: Final = {
    "consumers killed": 6,
    "producers killed": 2,
    "stopped (SIGTERM)": 2,
    "consumers paused": 4,
    "connections cut": 3,
    "moments of lost replies": 3,
    "master demoted and back": 1,
    "failovers": 1,
    "master killed": 1,
}
OF_SERVER: Final = {
    "connections cut",
    "moments of lost replies",
    "master demoted and back",
    "failovers",
    "master killed",
}
#: Seconds in which a client that works hears that its server is a replica by now.
HEARD_WITHIN = 1.0
#: Seconds without any progress after which nothing more is expected to come.
STUCK = 20.0


class Storm:
    """Workers on a pair of servers, and faults that hit them."""

    def __init__(self, pair: Pair, crew: Workforce, *, seed: int, every: float, kinds: Mapping[str, int]) -> None:
        self.pair, self.crew, self.kinds = pair, crew, kinds
        self.random, self.every = random.Random(seed), every
        self.faults: list[Fault] = []
        #: What is still to be done, and when.
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._is_server_away = False
        self._inflict: dict[str, Callable[[], None]] = {
            "consumers killed": partial(self.kill, crew.processors, "consumers killed"),
            "producers killed": partial(self.kill, crew.producers, "producers killed"),
            "stopped (SIGTERM)": self.stop,
            "consumers paused": self.pause,
            "connections cut": self.cut,
            "moments of lost replies": self.lose_replies,
            "master demoted and back": self.demote,
            "failovers": self.fail_over,
            "master killed": self.kill_server,
        }

    # ---- the course of it --------------------------------------------------------------------------

    def rage(self, seconds: float) -> None:
        """Let the workers work, with a fault now and then; for so long, or longer until each kind has come once."""
        for name in self.crew.workers:
            self.crew.start(name)
        self.crew.wait_until_ready(self.crew.workers)
        if self.crew.unexpected:
            raise RuntimeError(f"{self.crew.unexpected}; they said:\n{self.crew.log()}")
        end = time.monotonic() + seconds
        next_fault = time.monotonic() + self.every
        bag: list[str] = []
        while time.monotonic() < end or {fault.what for fault in self.faults} != set(self.kinds):
            self._do_what_is_due()
            if time.monotonic() >= next_fault:
                next_fault = time.monotonic() + self.random.expovariate(1 / self.every)
                bag = bag or self.random.sample([*self.kinds], sum(self.kinds.values()), counts=[*self.kinds.values()])
                # Those of the server wait while it is away.
                fit = [kind for kind in bag if not (self._is_server_away and kind in OF_SERVER)]
                if fit:
                    bag.remove(fit[0])
                    self._inflict[fit[0]]()
            time.sleep(0.005)

    def calm_down(self) -> None:
        """End all faults, and let the producers come to their end."""
        while self._agenda:
            self._do_what_is_due()
            time.sleep(0.005)
        # Before, a producer has not seen to what a killed life had sent.
        self.crew.wait_until_ready(self.crew.producers)
        self.crew.stop(self.crew.producers)

    def let_finish(self, stuck: float) -> None:
        """Wait until everything has been done, or nothing happens any more; then stop the workers."""
        ids = {entry_id for entry_id, _ in self.stream()}
        seen, since = None, time.monotonic()
        while time.monotonic() < since + stuck:
            self.crew.note_ends()
            done = self.crew.done()
            now = [len(ids & done[group]) for group in self.crew.groups], self.pending()
            if now == ([len(ids)] * len(self.crew.groups), dict.fromkeys(self.crew.groups, 0)):
                break
            if now != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.05)
        self.crew.stop(self.crew.processors)

    def figures(self) -> Figures:
        """Count what came of it."""
        records = self.crew.records()
        stream, pending = self.stream(), self.pending()
        figures = Figures(unexpected=self.crew.unexpected)
        figures.faults.update(fault.what for fault in self.faults)
        count_added(records, [key for _, key in stream], figures)
        ids = [entry_id for entry_id, _ in stream]
        figures.groups = count_processed([*self.crew.workers.values()], records, ids, self.faults)
        figures.dead = self.pair.master.client.xlen(DEAD_LETTERS)
        for group, book in figures.groups.items():
            book.pending = pending[group]
        return figures

    def stream(self) -> list[tuple[str, str]]:
        """Return id and key of each entry on the master."""
        client: Any = self.pair.master.client
        found: list[tuple[str, str]] = []
        start = "-"
        while page := client.xrange(STREAM, start, "+", 5000):
            found += [(entry_id, key_of(fields)) for entry_id, fields in page]
            start = f"({found[-1][0]}"
        return found

    def pending(self) -> dict[str, int]:
        """Return how many entries are pending in each group."""
        client = self.pair.master.client
        return {group: client.xpending(STREAM, group)["pending"] for group in self.crew.groups}

    # ---- faults ------------------------------------------------------------------------------------

    def kill(self, names: Sequence[str], what: str) -> None:
        """Kill one of these (SIGKILL), and start it again later."""
        if name := self._one_of(names):
            self.crew.away.add(name)
            fault = self._begin(what, name)
            self.crew.processes[name].kill()
            fault.ended = time.monotonic()
            # At once, or so late that others have taken over.
            delay = self.random.choice((0.0, 0.2, 2 * MIN_IDLE))
            self._later(delay, lambda: self.crew.start(name))

    def stop(self) -> None:
        """Stop one in good order, which is no fault for its entries."""
        if name := self._one_of(self.crew.workers):
            self.crew.away.add(name)
            fault = self._begin("stopped (SIGTERM)", "")
            fault.ended = fault.began
            self.crew.processes[name].terminate()
            deadline = time.monotonic() + PATIENCE

            def start_again() -> None:
                status = self.crew.processes[name].returncode
                if status is None and time.monotonic() < deadline:
                    self._later(0.05, start_again)
                    return
                if status is None:
                    self.crew.unexpected.append(f"{name} does not end after SIGTERM")
                    self.crew.processes[name].kill()
                else:
                    self.crew.note_stopped(name, status)
                self.crew.start(name)

            self._later(0.05, start_again)

    def pause(self) -> None:
        """Let one stand still, so long that others may take over; then it goes on as if nothing had been."""
        if name := self._one_of(self.crew.processors):
            process = self.crew.processes[name]
            fault = self._begin("consumers paused", name)
            process.pause()

            def resume() -> None:
                process.resume()
                fault.ended = time.monotonic()

            self._later(self.random.uniform(0.2, 2) * MIN_IDLE, resume)

    def cut(self) -> None:
        """Close the connection of one client (``CLIENT KILL``)."""
        if connections := self.pair.connections():
            client_id, name = self.random.choice(connections)
            fault = self._begin("connections cut", name)
            self.pair.cut(client_id)
            fault.ended = time.monotonic()

    def lose_replies(self) -> None:
        """Lose the replies to all that is sent within a moment, though it is executed."""
        self._for_a_while("moments of lost replies", self.pair.hang, self.pair.go_on_without_replies, 0.1, 0.4)

    def demote(self) -> None:
        """Make the master a replica for a while."""
        self._for_a_while("master demoted and back", self.pair.demote, self.pair.promote, 0.1, 0.6)

    def kill_server(self) -> None:
        """Kill the master, and start it again."""
        self._for_a_while("master killed", self.pair.kill, self.pair.restart, 0.0, 0.5)

    def fail_over(self) -> None:
        """Let master and replica change roles."""
        fault = self._begin("failovers", EVERYBODY)
        self.pair.fail_over()
        # Nobody closes connections: a client hears of it when it next writes by each of its own.
        fault.ended = time.monotonic() + HEARD_WITHIN

    def _for_a_while(
        self, what: str, begin: Callable[[], None], end: Callable[[], None], least: float, most: float
    ) -> None:
        fault = self._begin(what, EVERYBODY)
        self._is_server_away = True
        begin()

        def come_back() -> None:
            end()
            fault.ended = time.monotonic()
            self._is_server_away = False

        self._later(self.random.uniform(least, most), come_back)

    def _one_of(self, names: Iterable[str]) -> str:
        here = [name for name in names if name not in self.crew.away]
        return self.random.choice(here) if here else ""

    def _begin(self, what: str, who: str) -> Fault:
        fault = Fault(what, who, time.monotonic())
        self.faults.append(fault)
        return fault

    # ---- what is still to be done ------------------------------------------------------------------

    def _later(self, delay: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time.monotonic() + delay, next(self._numbers), what))

    def _do_what_is_due(self) -> None:
        self.crew.note_ends()
        while self._agenda and self._agenda[0][0] <= time.monotonic():
            heapq.heappop(self._agenda)[2]()


def soak(
    binary: ServerBinary | str,
    folder: Path,
    *,
    seconds: float,
    every: float = 0.33,
    rate: float = 40.0,
    seed: int = 1,
    kinds: Mapping[str, int] = KINDS,
    mutations: Sequence[str] = (),
    stuck: float = STUCK,
) -> Figures:
    """Run the workers for so long at least, with faults from a seed; let them finish, and count.

    What they say and write down is left in a folder, with all that went wrong.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(Pair(binary))
        program = pair.master.server.binary
        workers = workers_for(program.kind, program.version)
        crew = stack.enter_context(Workforce(folder, workers, pair.url, rate, mutations))
        storm = Storm(pair, crew, seed=seed, every=every, kinds=kinds)
        storm.rage(seconds)
        storm.calm_down()
        storm.let_finish(stuck)
        figures = storm.figures()
    lines = [f"{f.began:.6f} {f.ended:.6f} {f.who or '-'} {f.what}\n" for f in storm.faults]
    (folder / "faults.txt").write_text("".join(lines))
    figures.seconds = time.monotonic() - began
    return figures
