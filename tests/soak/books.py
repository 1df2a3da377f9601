"""The books: what came of all that was sent, by the ledgers of those who did it and by what the server holds."""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from tests.soak.ledger import ADDED, BEGUN, DONE, FAILED, LATE, LOOKS, SENDING, Record
from tests.soak.plan import MIN_IDLE, AnyWorker, Processor, group_of

#: Whom a fault of the server hits.
EVERYBODY = "*"


@dataclass
class Fault:
    """What went wrong, for whom, and from when until when (seconds of the machine's monotonic clock)."""

    what: str
    who: str
    began: float
    ended: float = math.inf


@dataclass
class Book:
    """What came of the entries in one group."""

    processed: int = 0
    failed: int = 0
    twice: int = 0
    unexplained: int = 0
    lost: int = 0
    pending: int = 0


@dataclass
class Figures:
    """What came of it all."""

    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    #: In the stream; and what is there that nobody has sent.
    added: int = 0
    unsent: int = 0
    #: Acknowledged to a producer, and not in the stream.
    lost: int = 0
    #: In the stream more than once.
    added_twice: int = 0
    #: Given up by a group, which no entry gives reason for.
    dead: int = 0
    groups: dict[str, Book] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.added_twice or self.unsent or self.dead or self.unexpected) and not any(
            book.lost or book.pending or book.unexplained for book in self.groups.values()
        )

    def lines(self) -> Iterator[str]:
        what = ", ".join(f"{n:,} {what}" for what, n in sorted(self.faults.items()))
        yield f"{self.seconds:,.0f} s, {self.faults.total():,} faults: {what}"
        yield (
            f"entries: {self.added:,} added, {self.lost:,} lost, {self.added_twice:,} added twice, "
            f"{self.unsent:,} never sent, {self.dead:,} dead letters"
        )
        yield (
            f"{'group':<12}{'processed':>10}{'lost':>6}{'pending':>9}{'handler failed':>16}"
            f"{'processed twice':>17}{'of which no fault explains':>28}"
        )
        for name, book in self.groups.items():
            yield (
                f"{name:<12}{book.processed:>10,}{book.lost:>6,}{book.pending:>9,}"
                f"{book.failed:>16,}{book.twice:>17,}{book.unexplained:>28,}"
            )
        yield from self.unexpected


def count_added(pages: Mapping[str, Sequence[Record]], stream: Sequence[str], figures: Figures) -> None:
    """Compare what producers were told had been added with what the stream holds."""
    noted = [record for records in pages.values() for record in records]
    sent = {record.key for record in noted if record.what == SENDING}
    told = {record.key for record in noted if record.what == ADDED}
    times = Counter(stream)
    figures.added = len(times)
    figures.unsent = len(times.keys() - sent)
    figures.lost = len(told - times.keys())
    figures.added_twice = len(stream) - len(times)


def count_processed(
    workers: Sequence[AnyWorker], pages: Mapping[str, Sequence[Record]], ids: Sequence[str], faults: Sequence[Fault]
) -> dict[str, Book]:
    """Count, for each group, what was done with each entry."""
    books: dict[str, Book] = {}
    for group, members in groupby((w for w in workers if isinstance(w, Processor)), group_of):
        book = books[group] = Book()
        done: dict[str, list[Attempt]] = defaultdict(list)
        for worker in members:
            for attempt in attempts(worker, pages[worker.name], faults):
                if attempt.what == DONE:
                    done[attempt.entry_id].append(attempt)
                book.failed += attempt.what == FAILED
        book.processed = len(done)
        book.lost = len(set(ids) - done.keys())
        for times in done.values():
            book.twice += len(times) - 1
            times.sort(key=lambda attempt: attempt.began)
            # Either the first did not get its acknowledgement through, or lost the entry to the second; or the second
            # did not know that the first had it by then.
            book.unexplained += sum(
                not (first.before or first.after or second.before) for first, second in pairwise(times)
            )
    return books


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a worker did with an entry; "begun" is all that one did who was killed then."""

    entry_id: str
    what: str
    #: Before it was given the entry, when it began, and after its acknowledgement was answered.
    given: float
    began: float
    acked: float
    #: The longest time between two of its records from then on.
    took: float
    #: What hit this worker.
    faults: Sequence[Fault]

    @property
    def before(self) -> bool:
        """Whether something came between its delivery and its begin, so that others could take the entry."""
        return self._is_disturbed(self.given, self.began)

    @property
    def after(self) -> bool:
        """Whether something came between its begin and its acknowledgement: a fault, or a slow machine."""
        return self.took > MIN_IDLE / 2 or self._is_disturbed(self.began, self.acked)

    def _is_disturbed(self, since: float, until: float) -> bool:
        return any(fault.began <= until and fault.ended >= since for fault in self.faults)


def attempts(worker: Processor, records: Sequence[Record], faults: Sequence[Fault]) -> Iterator[Attempt]:
    """Return what a worker did, in all its lives.

    One that holds `count` entries at the most was given an entry after it had begun the one that lies `count` before
    it, and the acknowledgement was answered before it began the one that lies `count` behind it. A reclaimer holds
    nothing when it looks for something.
    """
    mine = [fault for fault in faults if fault.who in (EVERYBODY, worker.name)]
    mine += [
        Fault("standstill", worker.name, record.at - float(record.key), record.at)
        for record in records
        if record.what == LATE
    ]
    work = [record for record in records if record.what != LATE]
    lives = [list(life) for _, life in groupby(work, lambda record: record.life)]
    for life, next_life in pairwise([*lives, []]):
        end = next_life[0].at if next_life else math.inf
        begun = [n for n, record in enumerate(life) if record.what == BEGUN]
        looks = [n for n, record in enumerate(life) if record.what == LOOKS]
        for n, at in enumerate(begun):
            look = bisect(looks, at)
            held = begun[n - worker.count] if n >= worker.count else 0
            first = max([held, *looks[:look][-1:]])
            behind = min([*begun[n + worker.count :][:1], *looks[look:][:1]], default=None)
            rest = life[at:] if behind is None else life[at : behind + 1]
            yield Attempt(
                entry_id=life[at].entry_id,
                what=life[at + 1].what if at + 1 < len(life) else BEGUN,
                given=life[first].at,
                began=life[at].at,
                acked=end if behind is None else life[behind].at,
                took=max((b.at - a.at for a, b in pairwise(rest)), default=0.0),
                faults=mine,
            )
