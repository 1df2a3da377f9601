"""`Run`: what came of a scenario on an engine. Metrics, saving and loading."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from streamlab.results import invariants, run_file
from streamlab.results.backlog import Series
from streamlab.results.by_group import parts_of
from streamlab.results.deliveries import ConsumerMetrics
from streamlab.results.events import EventLog
from streamlab.results.evidence import Evidence
from streamlab.results.final_state import FinalState
from streamlab.results.forgotten import Forgotten
from streamlab.results.ledger import Ledger
from streamlab.results.order import Inversion, inversions
from streamlab.results.plain_events import ledger_of
from streamlab.results.recovery import RecoveryMetrics
from streamlab.results.run_file import RunFileError
from streamlab.results.statistics import Spread, Wait, id_key, rounded, spread
from streamlab.results.tenures import Tenure, tenures
from streamlab.results.verdict import Verdict
from streamlab.scenario import Scenario
from streamlab.scenario.small_table import ShowsItself, SmallTable, length

__all__ = ["EngineName", "FinalState", "Run", "RunFileError"]

EngineName = Literal["simulated", "live"]
#: The counts of a run's summary, by the names of its attributes.
_COUNTS: Final = (
    "added", "processed", "acked", "redelivered", "duplicates", "dead_lettered", "trimmed", "lost", "pending",
    "undelivered", "backlog_max",
)  # fmt: skip


@dataclass(frozen=True)
class Run(ShowsItself):
    """A scenario that has run: its events, and all that follows from them.

    Attributes
    ----------
    server
        Which server it ran on, in words.
    wall
        How long the run took, in seconds of the clock on the wall; not part of what is compared or saved
        as a result, being different each time.
    n_commands, n_round_trips
        How many commands the actors sent, and how often they waited for the way there and back, which a
        pipeline does once (simulated engine only; 0 where it is not known).
    errors
        The last words of each actor that ended by an error that nobody had planned, by name. Kills, and the crashes
        and failures that a scenario plans, are events (``"crashed"``) and not here.
    waits
        How long the machine kept each worker waiting for a processor (live engine only).
    finals
        What the server held of the other groups, if there are several; `final` is the first one's.

    Each group of a scenario is given every entry, and all that follows from a run with several is asked of one of them,
    `Run.of`, or it raises `ScenarioError`; but for the verdicts, the summary and the table, which are of all.
    """

    scenario: Scenario
    engine: EngineName
    server: str
    events: EventLog
    final: FinalState
    wall: float = 0.0
    n_commands: int = 0
    n_round_trips: int = 0
    errors: dict[str, str] = field(default_factory=dict)
    waits: dict[str, Wait] = field(default_factory=dict)
    finals: tuple[FinalState, ...] = ()

    @functools.cached_property
    def groups(self) -> dict[str, Run]:
        """The run as each group saw it, by the group's name: as if there were no other."""
        names = self.scenario.groups
        if len(names) == 1:
            return dict.fromkeys(names, self)
        changes = parts_of(self.scenario, self.events, self.errors, (self.final, *self.finals))
        return {group: dataclasses.replace(self, **change) for group, change in changes}

    def of(self, group: str) -> Run:
        """Return the run as one of its groups saw it. Raises `ScenarioError` if there is no such group."""
        self.scenario.groups.check(group)
        return self.groups[group]

    def _check_one_group(self) -> None:
        self.scenario.groups.only("run.of({})")

    @functools.cached_property
    def ledger(self) -> Ledger:
        """What the events come to: entries, deliveries, consumers."""
        self._check_one_group()
        return ledger_of(self.scenario, self.events)

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each entry that was added: 1 is the one with the smallest id."""
        return {entry_id: number for number, entry_id in enumerate(sorted(self.ledger.added, key=id_key), 1)}

    # ---- counts --------------------------------------------------------------------------------

    @property
    def added(self) -> int:
        """Entries whose XADD was answered."""
        return len(self.ledger.added)

    @property
    def processed(self) -> int:
        """Entries that were processed at least once."""
        return len(self.ledger.processed)

    @property
    def acked(self) -> int:
        """Entries that were acknowledged, each counted once."""
        return len(self.ledger.acked)

    @property
    def redelivered(self) -> int:
        """Deliveries and claims of entries that had been delivered before."""
        return self.ledger.n_redelivered

    @property
    def duplicates(self) -> int:
        """Times that an entry was processed again."""
        return self.ledger.duplicates

    @property
    def dead_lettered(self) -> int:
        """Entries that were given up and moved to the dead-letter stream."""
        return len(self.dead_letters)

    @functools.cached_property
    def dead_letters(self) -> frozenset[str]:
        """The ids of the entries that were given up, as events or the server tell."""
        return frozenset(self.ledger.dead_lettered).union(self.final.dead_letters)

    @property
    def pending(self) -> int:
        """Entries in the pending entries list at the end, as the server says."""
        self._check_one_group()
        return len(self.final.pending)

    @property
    def undelivered(self) -> int:
        """Entries that no consumer had been given at the end, as the server says."""
        self._check_one_group()
        return len(self.final.undelivered)

    @functools.cached_property
    def tenures(self) -> tuple[Tenure, ...]:
        """Who was given the entries of which shard, from when to when, by shard; none where there are no shards."""
        return tenures(self.events, self.ledger) if self.scenario.shards is not None else ()

    @functools.cached_property
    def _evidence(self) -> Evidence:
        return Evidence(self.scenario, self.events, self.final, self.ledger)

    @property
    def lost_by_server(self) -> Forgotten:
        """The entries and acknowledgements that the server had acknowledged, and lost by a crash or a failover."""
        return self._evidence.forgotten

    @property
    def trimmed(self) -> int:
        """Entries that were removed from the stream before anybody had processed them."""
        return len(self._evidence.missing[0])

    @property
    def lost(self) -> int:
        """Entries that were added and are nowhere: not processed, pending, undelivered, dead or trimmed."""
        return len(self._evidence.missing[1])

    def state_of(self, entry_id: str) -> str:
        """Return how an entry stood at the end, in a word.

        ``dead-lettered``, ``acked``, ``pending``, ``undelivered``, ``processed`` (neither pending nor acknowledged),
        ``trimmed`` before it was processed, ``lost by the server``, or ``lost``, which must never be.
        """
        if entry_id in self.dead_letters:
            return "dead-lettered"
        if entry_id in self.final.pending:
            return "pending"
        if entry_id in self.ledger.acked:
            return "acked"
        if entry_id in self._undelivered:
            return "undelivered"
        if entry_id in self.ledger.processed:
            return "processed"
        if entry_id in self.lost_by_server.unprocessed:
            return "lost by the server"
        return "trimmed" if entry_id in self._trimmed else "lost"

    @functools.cached_property
    def _undelivered(self) -> frozenset[str]:
        return frozenset(self.final.undelivered)

    @functools.cached_property
    def _trimmed(self) -> frozenset[str]:
        return frozenset(self._evidence.missing[0])

    @functools.cached_property
    def inversions(self) -> tuple[Inversion, ...]:
        """The entries that were processed after a later one of their key; none where entries have no keys."""
        return tuple(inversions(self.scenario, self.ledger)) if self.scenario.n_keys else ()

    # ---- times ---------------------------------------------------------------------------------

    @property
    def duration(self) -> float:
        """Seconds of the run's own clock from its start to the last thing that happened to an entry."""
        return self.ledger.end

    @functools.cached_property
    def sojourn(self) -> Spread:
        """Seconds from XADD until an entry has first been processed."""
        return spread(self.ledger.sojourns())

    @functools.cached_property
    def waiting(self) -> Spread:
        """Seconds from XADD until the processing of an entry begins."""
        return spread(self.ledger.waits())

    @functools.cached_property
    def service(self) -> float:
        """Seconds for which a consumer worked on an entry that it processed, on average; NaN if there is none."""
        done = (delivery for delivery in self.ledger.deliveries if not math.isnan(delivery.processed))
        worked = [self.ledger.worked(delivery) for delivery in done]
        return math.fsum(worked) / len(worked) if worked else math.nan

    @functools.cached_property
    def series(self) -> Series:
        """How backlog and pending went over time."""
        return self.ledger.changes.series()

    @functools.cached_property
    def backlog_max(self) -> int:
        """The most entries that ever waited to be delivered."""
        return self.ledger.changes.backlog_max()

    @property
    def throughput(self) -> float:
        """Entries processed per second."""
        return self.processed / self.duration if self.duration else 0.0

    @functools.cached_property
    def recovery(self) -> RecoveryMetrics:
        """What went wrong, what it cost, and how long it took until it was made good."""
        return RecoveryMetrics.of(
            self.scenario, self.ledger, self.final,
            n_left=self.pending + self.lost, n_dead=self.dead_lettered, n_round_trips=self.n_round_trips,
        )  # fmt: skip

    # ---- consumers -----------------------------------------------------------------------------

    @functools.cached_property
    def consumers(self) -> dict[str, ConsumerMetrics]:
        """What each consumer did."""
        ledger, pending = self.ledger, Counter(self.final.pending.values())
        return {
            name: ConsumerMetrics(
                delivered=record.delivered,
                processed=record.processed,
                acked=record.acked,
                claimed=record.claimed,
                pending=pending[name],
                utilisation=record.busy / ledger.end if ledger.end else 0.0,
            )
            for name, record in ledger.consumers.items()
        }

    @functools.cached_property
    def shares(self) -> dict[str, float]:
        """Each consumer's part of what was acknowledged, from 0 to 1."""
        total = sum(consumer.acked for consumer in self.consumers.values())
        return {name: c.acked / total if total else 0.0 for name, c in self.consumers.items()}

    def assignment(self) -> list[tuple[int, str]]:
        """Return who was first given which entry: its number (1 is the first that was added), consumer."""
        first: dict[int, str] = {}
        for delivery in self.ledger.deliveries:
            if delivery.id in self.numbers:
                first.setdefault(self.numbers[delivery.id], delivery.consumer)
        return sorted(first.items())

    @functools.cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """A verdict for each invariant, which tells the story of the first entry that breaks it."""
        if len(self.groups) == 1:
            return invariants.examine(self.scenario, self.events, self.final, self.ledger)
        return tuple(v.about(group) for group, run in self.groups.items() for v in run.verdicts)

    def broken(self) -> list[str]:
        """Return what must never be and is, a line each, by the `verdicts`; to do something again needlessly may be."""
        lines = [f"{actor} ended by itself: {words}" for actor, words in self.errors.items()]
        return lines + [v.words for v in self.verdicts if not v and v.rule != invariants.NEEDLESS]

    # ---- export --------------------------------------------------------------------------------

    def to_frame(self, table: str = "entries") -> Any:
        """Return a table of the run as a `pandas.DataFrame`; times in seconds.

        ``entries``, ``deliveries``, ``consumers``, ``backlog``, ``events`` or ``recovery``: see `streamlab.tables`.
        Raises `ValueError` for another, and `ModuleNotFoundError` without pandas.
        """
        from streamlab.results import frames  # needs pandas

        return frames.frame(self, table)

    def summary(self) -> dict[str, Any]:
        """Return the run in figures, as ``streamlab run --json`` prints it; times in seconds.

        Those of a scenario with several groups are under ``"groups"``, by the groups' names.
        """
        head = {
            "scenario": self.scenario.name,
            "engine": self.engine,
            "server": self.server,
            "seed": self.scenario.seed,
        }
        wall = {"wall": round(self.wall, 3)}
        if len(self.groups) > 1:
            return {**head, **wall, "groups": {group: run._figures() for group, run in self.groups.items()}}
        figures = self._figures()
        return {**head, "duration": figures.pop("duration"), **wall, **figures}

    def _figures(self) -> dict[str, Any]:
        return {
            "duration": rounded(self.duration),
            **{name: getattr(self, name) for name in _COUNTS},
            "sojourn": {name: rounded(getattr(self.sojourn, name)) for name in ("p50", "p95", "p99", "max")},
            "consumers": {
                name: dataclasses.asdict(consumer) | {"utilisation": round(consumer.utilisation, 4)}
                for name, consumer in self.consumers.items()
            },
            "recovery": self.recovery.summary(),
            **({"lost_by_server": self.lost_by_server.counts()} if self._evidence.may_forget else {}),
        }

    def as_table(self) -> SmallTable:
        """Return the run in figures, and a row for each consumer."""
        has_several = len(self.groups) > 1
        lasted = length(max(run.duration for run in self.groups.values()))
        lines = [f"{self.scenario.name} on {self.server} ({self.engine}), seed {self.scenario.seed}: {lasted}"]
        rows: list[tuple[str, ...]] = []
        for group, run in self.groups.items():
            lines += [f"{group}: {line}" if has_several else line for line in run._lines()]
            for name, c in run.consumers.items():
                row = name, f"{c.acked:,}", f"{run.shares[name]:.1%}", f"{c.pending:,}", f"{c.utilisation:.1%}"
                rows.append((*row, group) if has_several else row)
        head = "consumer", "acked", "share", "pending", "utilisation"
        return SmallTable(lines, (*head, "group") if has_several else head, rows)

    def _lines(self) -> list[str]:
        times = self.sojourn
        lines = [
            f"added {self.added:,} · processed {self.processed:,} · acked {self.acked:,} · lost {self.lost:,} · "
            f"duplicates {self.duplicates:,} · pending {self.pending:,} · undelivered {self.undelivered:,}"
            + (f" · trimmed {self.trimmed:,}" if self.scenario.maxlen else ""),
            f"{self.throughput:,.1f} entries/s · sojourn p50 {length(times.p50)}, p95 {length(times.p95)}, "
            f"p99 {length(times.p99)} · backlog at most {self.backlog_max:,}",
        ]
        if self._evidence.may_forget:
            lines.append(f"lost by the server: {self.lost_by_server.in_words() or 'nothing'}")
        lines += [self.recovery.in_words()] if self.scenario.faults else []
        return lines

    def save(self, path: str | Path) -> None:
        """Write the run as JSON lines, a header and then an event a line: whole, or not at all (`OSError`).

        Compressed, if the name ends in ``.gz``.
        """
        fields = [field.name for field in dataclasses.fields(self) if field.init]
        run_file.save(Path(path), {name: getattr(self, name) for name in fields})

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read what `save` wrote.

        Raises
        ------
        RunFileError
            If the file does not hold a whole run.
        """
        return cls(**run_file.load(Path(path)))

    def __repr__(self) -> str:
        done = [
            f"{run.processed:,} of {run.added:,} entries processed by {len(run.consumers)} in {run.duration:.2f} s"
            + (f" in {group}" if len(self.groups) > 1 else "")
            for group, run in self.groups.items()
        ]
        return f"<Run of {self.scenario.name} ({self.engine}): {'; '.join(done)}>"
