"""`PlainRun`: a scenario in which nothing can go wrong, in one loop: the run that coroutines would make, in less time.

Producers, consumers and the course are generators here. Each yields for how many seconds it sleeps; `_TURN` to let all
others have theirs, as a client does at a second command in one round of the loop; or `_ASLEEP` until it is woken. So
what happens at one moment happens in the same order, and a test holds the two ways together.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from heapq import heappop, heappush, heapreplace

from streamlab.actors import Fields, Recovery
from streamlab.actors.events import ACKED, ADDED, DELIVERED, PROCESSED, STARTED, STOPPED
from streamlab.actors.recovery import NOTE_AFTER, NOTE_EVERY
from streamlab.lab.both_ways import COUNTED_BY, FIRST_PAUSE, LAST_CALL, LEAD, LONGER, LONGEST_LOOK
from streamlab.lab.simulated_server import name_of_model
from streamlab.model import Behaviour, StreamModel
from streamlab.model.commands.entries import Trim
from streamlab.model.commands.groups import sorted_names
from streamlab.results.events import AT_ONCE, EventLog
from streamlab.results.final_state import FinalState
from streamlab.results.run import Run
from streamlab.scenario import Consumer, Producer, Scenario

_TURN, _ASLEEP = 0.0, None
#: What is in an entry if nobody asks.
_SOMETHING: Fields = {"": ""}
_Steps = Generator[float | None, None, None]
_Step = Callable[[], float | None]
#: Beyond, commands are refused, ids end and sums overflow.
_MUCH = 10**9
#: In so many steps coroutines take fewer than may be taken at one moment.
STEPS = 10**7


class NotPlain(Exception):
    """Something goes wrong after all: the coroutines know what."""


def is_plain(scenario: Scenario) -> bool:
    """Return whether entries are only added, read, processed and acknowledged, one by one, whatever happens."""
    recovery, consumers = scenario.recovery, scenario.consumers
    numbers = [scenario.maxlen or 0, scenario.epoch_ms / _MUCH]
    numbers += [number for each in consumers for number in (each.count, each.block, each.service.mean)]
    is_idle = recovery == Recovery(min_idle=recovery.min_idle) and not scenario.actions and scenario.sink == "none"
    is_one = not (scenario.n_keys or scenario.persistence or scenario.replicas)  # one stream, on one server
    return is_idle and is_one and max(numbers) <= _MUCH and all(each.ack == "each" for each in consumers)


class _Group:
    """What has been read or trimmed, what is pending for whom, in the order of the ids, and who waits."""

    def __init__(self) -> None:
        self.n_read = self.n_missed = 0
        self.pending: dict[str, str] = {}
        self.queue: deque[_Reader] = deque()


class _Reader:
    """A consumer that reads; what it is `given` when it has waited, None if its time was over."""

    def __init__(self, run: PlainRun, consumer: Consumer) -> None:
        self.name, self.count, self.block_ms = consumer.name, consumer.count, round(consumer.block * 1000)
        self.sample = consumer.service.sampler(run.scenario.rng(consumer.name))
        self.group = run.groups[consumer.group or run.scenario.group]
        self.waiting = run.waiting.setdefault(self.block_ms, {})
        self.given: Sequence[str] | None = None
        self.reads = itertools.count()
        self.step = run.consume(self).__next__


class PlainRun:
    """The run of a scenario that `is_plain`: its events, what the server holds, and how much was sent."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.log, self.now = scenario, EventLog(), -LEAD
        self._items, self._settle = self.log.in_bulk()
        self._n_pipelines = 0  # of three commands each: a read, and two that ask where a lost group could begin again
        self.groups = {name: _Group() for name in scenario.groups}
        self.waiting: dict[int, dict[_Reader, float]] = {}  # by BLOCK in milliseconds, and since when
        self._timed = {0}  # the BLOCKs that have a timer, or need none
        self._ids: list[str] = []  # of all entries; the first `_n_trimmed` are gone
        self._last_ms = self._last_seq = self._n_trimmed = 0
        self._stream = StreamModel(Behaviour.of(scenario.version))  # has entries only if they are trimmed
        self._ready: list[_Step] = []  # who has a turn in the next round
        self._late: list[_Step] = []  # and after them
        never = (math.inf, -1, lambda: _ASLEEP)
        self._timers: list[tuple[float, int, _Step]] = [never, never, never]
        self._numbers = itertools.count()  # what is set first is due first
        self._is_ending = False
        readers = [_Reader(self, each) for each in scenario.consumers]
        self._readers = {reader.name: reader for reader in readers}
        self._reads = [reader.reads for reader in readers]
        self._producing = {each.name for each in scenario.producers}
        self._awaited = ""
        self._course = self._play().__next__
        self._ready.append(self._course)

    def advance(self) -> bool:
        """Take many steps; return whether there are more. Raises `NotPlain` if time stands still."""
        timers, ready, late, numbers, readers = self._timers, self._ready, self._late, self._numbers, self._readers
        began = now = self.now
        for _ in range(STEPS // (200 + len(readers) + len(self._producing))):
            when, _, step = timers[0]
            if when > now:
                if late or len(ready) > 1:
                    self._take_turns()
                    continue
                if ready:
                    step = ready.pop()
                    seconds = step()
                    if seconds and (when := now + seconds) > now:
                        heappush(timers, (when, next(numbers), step))
                    elif seconds is not _ASLEEP:
                        (late if seconds else ready).append(step)
                    continue
                if not readers:
                    return False
                self.now = now = when
            seconds = step()
            if not seconds and seconds is not _ASLEEP and not ready and timers[1][0] > now < timers[2][0]:
                seconds = step()  # it is nobody else's turn
            if seconds and (when := now + seconds) > now:
                heapreplace(timers, (when, next(numbers), step))
            else:
                heappop(timers)
                if seconds is not _ASLEEP:
                    (late if seconds else ready).append(step)
        if now == began:
            raise NotPlain
        return True

    def _take_turns(self) -> None:
        """Let all who are ready have their turn, and then those who did not sleep for long enough to be seen."""
        now, ready, late = self.now, self._ready, self._late
        steps = ready + late
        ready.clear()
        late.clear()
        for step in steps:
            seconds = step()
            if seconds and (when := now + seconds) > now:
                heappush(self._timers, (when, next(self._numbers), step))
            elif seconds is not _ASLEEP:
                (late if seconds else ready).append(step)

    def _play(self) -> _Steps:
        """Be the course of the run: what `Course` does."""
        self._ready += [reader.step for reader in self._readers.values()]
        yield LEAD
        self._ready += [self._produce(producer).__next__ for producer in self.scenario.producers]
        for producer in self.scenario.producers:
            self._awaited = producer.name
            if producer.name in self._producing:
                yield _ASLEEP
        deadline, pause = self.now + self.scenario.drain, FIRST_PAUSE
        while self.now < deadline and not (yield from self._is_drained()):
            yield pause
            pause = min(pause * LONGER, LONGEST_LOOK)
        self._is_ending = True
        yield LAST_CALL
        for _ in range(3):  # as the time-out travels through asyncio
            yield _TURN
        for reader in [*self._readers.values()]:
            self._end(reader)
        yield _ASLEEP

    def _is_drained(self) -> Generator[float, None, bool]:
        """Ask what `inspection.is_drained` asks: each answer but the first comes a turn later."""
        groups = [self.groups[name] for name in sorted_names(self.groups)]
        seen = [(bool(group.pending), group.n_read) for group in groups]
        yield _TURN
        for has_pending, n_read in seen:
            if has_pending:
                return False
            is_behind = n_read < len(self._ids)
            yield _TURN
            if is_behind:
                return False
        return True

    def _produce(self, producer: Producer) -> _Steps:
        """Add entries, and hand each to the first who waits in each group: what `produce` and the server do."""
        scenario, name, items, ids = self.scenario, producer.name, self._items, self._ids
        epoch_ms, groups, ready = scenario.epoch_ms, [*self.groups.values()], self._ready
        trim = None if scenario.maxlen is None else Trim(max_length=scenario.maxlen, approximate=True)
        items += (self.now, STARTED, name, "", 0)
        has_slept = True
        if trim is None and producer.arrivals.kind != "replay":
            entries: Iterable[tuple[float, Fields]] = zip(
                scenario.times(producer), itertools.repeat(_SOMETHING), strict=False
            )
        else:
            entries = scenario.arrivals(producer)
        for at, fields in entries:
            delay = at - self.now
            if delay > 0:
                yield delay
                has_slept = True
            now = self.now
            now_ms = epoch_ms + int(now * 1000 + 0.001)
            if now_ms > self._last_ms:
                self._last_ms, self._last_seq = now_ms, 0
                entry_id = f"{now_ms}-0"
            else:
                self._last_seq += 1
                entry_id = f"{self._last_ms}-{self._last_seq}"
            ids.append(entry_id)
            if not fields:
                raise NotPlain
            if trim is not None:
                self._stream.add(tuple(itertools.chain(*fields.items())), 0, (self._last_ms, self._last_seq))
                self._n_trimmed += trim.apply(self._stream)
            for group in groups:
                if group.queue:
                    reader = group.queue.popleft()
                    del reader.waiting[reader]
                    reader.given = (entry_id,)
                    group.pending[entry_id] = reader.name
                    group.n_read = len(ids)
                    ready.append(reader.step)
            if not has_slept:
                yield _TURN
            has_slept = False
            items += (now, ADDED, name, entry_id, 0)
            if len(items) >= AT_ONCE:
                self._settle()
        items += (self.now, STOPPED, name, "", 0)
        yield _TURN
        self._producing.remove(name)
        if self._awaited == name:
            self._ready.append(self._course)
        yield _ASLEEP

    def consume(self, reader: _Reader) -> _Steps:
        """Read, process and acknowledge: what `consume` and the server do."""
        name, sample, group, pending = reader.name, reader.sample, reader.group, reader.group.pending
        items, ids = self._items, self._ids
        waiting, block_ms, queue, timed = reader.waiting, reader.block_ms, group.queue, self._timed
        items += (self.now, STARTED, name, "", 0)
        self._n_pipelines += 1  # for its own history
        n_done, worth_a_look, next_note, n_noted = 0, NOTE_AFTER, self.now + NOTE_EVERY, 0
        notes_place = has_just_sent = False
        while not self._is_ending:
            next(reader.reads)
            if n_done >= worth_a_look:
                worth_a_look = n_done + NOTE_AFTER
                if self.now >= next_note:
                    next_note, n_noted, notes_place = self.now + NOTE_EVERY, n_done, True
                    self._n_pipelines += 1
            given: Sequence[str] | None
            if group.n_read < len(ids):
                given = self._take(reader)
                if has_just_sent:
                    yield _TURN
            else:
                reader.given = None
                queue.append(reader)
                waiting[reader] = self.now
                if block_ms not in timed:
                    timed.add(block_ms)
                    self._look_at(self.now + block_ms / 1000, block_ms)
                yield _ASLEEP
                given, has_just_sent = reader.given, notes_place
            notes_place = False
            if given is None:
                worth_a_look, next_note = n_noted + 1, -math.inf
                continue
            now = self.now
            for entry_id in given:
                items += (now, DELIVERED, name, entry_id, 1)
            for entry_id in given:
                yield sample()
                now = self.now
                del pending[entry_id]
                n_done += 1
                items += (now, PROCESSED, name, entry_id, 0, now, ACKED, name, entry_id, 0)
                if len(items) >= AT_ONCE:
                    self._settle()
            has_just_sent = True
        self._end(reader)
        yield _ASLEEP

    def _take(self, reader: _Reader) -> list[str]:
        """Give a consumer what its group has not been given."""
        group = reader.group
        start = group.n_read
        if start < self._n_trimmed:
            group.n_missed += self._n_trimmed - start
            start = self._n_trimmed
        given = self._ids[start : start + reader.count]
        group.n_read = start + len(given)
        for entry_id in given:
            group.pending[entry_id] = reader.name
        return given

    def _look_at(self, when: float, block_ms: int) -> None:
        heappush(self._timers, (when, next(self._numbers), lambda: self._end_waits(block_ms)))

    def _end_waits(self, block_ms: int) -> None:
        """End the reads that have waited for so long: one timer is enough for them, as in `virtual.waits`."""
        for reader, since in [*self.waiting[block_ms].items()]:
            when = since + block_ms / 1000
            if when > self.now:
                return self._look_at(when, block_ms)
            del reader.waiting[reader]
            reader.group.queue.remove(reader)
            self._ready.append(reader.step)
        return self._timed.remove(block_ms)

    def _end(self, reader: _Reader) -> None:
        self.log.report(STOPPED, reader.name, "", 0, self.now)
        del self._readers[reader.name]

    def result(self, wall: float) -> Run:
        """Return what came of it; to be asked for once, at the end."""
        n_acked = sum(group.n_read - group.n_missed - len(group.pending) for group in self.groups.values())
        n_reads = sum(map(next, self._reads)) + len(self._reads) - self._n_pipelines
        n_alone = len(self._ids) + n_reads + n_acked
        final, *others = map(self._final_state, self.groups.values())
        return Run(
            scenario=self.scenario,
            engine="simulated",
            server=name_of_model(self.scenario),
            events=self.log,
            final=final,
            finals=tuple(others),
            wall=wall,
            n_commands=n_alone + 3 * self._n_pipelines,
            n_round_trips=n_alone + self._n_pipelines,
        )

    def _final_state(self, group: _Group) -> FinalState:
        begin = self._n_trimmed
        return FinalState(
            pending=group.pending,
            undelivered=tuple(self._ids[max(group.n_read, begin) :]),
            first_id=self._ids[begin] if begin < len(self._ids) else "",
            length=len(self._ids) - begin,
            pending_by=dict.fromkeys(COUNTED_BY, len(group.pending)),
        )
