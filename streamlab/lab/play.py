"""`Play`: one life of an actor of a scenario, on either clock: a producer's, or a consumer's with its job.

What it does is decided here; who lets it live, and how it dies, by its engine.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamlab.actors import (
    Advice,
    Effect,
    Fields,
    Handler,
    Recovery,
    Report,
    consume,
    consume_shards,
    idempotent_sink,
    naive_sink,
    produce,
)
from streamlab.lab.job import Job, Pace, ignore_error, paced
from streamlab.scenario import Consumer, Producer, Scenario, ScenarioError
from streamlab.scenario.action import CountedAction
from streamlab.scenario.shards import KEY_FIELD

if TYPE_CHECKING:
    from redis.asyncio import Redis


@dataclass(frozen=True, slots=True)
class Part:
    """What a life of an actor begins with.

    `life` is 1 at first, and one more each time that it is started again; `n_begun` is how many entries its earlier
    lives have begun, or added; `slowness` is what its service times are multiplied by. It begins when the run has gone
    on for `since` seconds.
    """

    actor: Consumer | Producer
    life: int = 1
    n_begun: int = 0
    slowness: float = 1.0
    pace: float = 1.0
    #: What happens at an entry that is counted: through all lives, each once.
    counted: tuple[CountedAction, ...] = ()
    since: float = 0.0

    @property
    def name(self) -> str:
        """The actor's name."""
        return self.actor.name


@dataclass(frozen=True, slots=True)
class World:
    """What an engine lets its actors live in.

    Attributes
    ----------
    report
        Takes note of an event.
    die
        Ends the process where it stands; does not return.
    pause
        Lets the process stand still for so many seconds.
    note_begun
        Called with the number of entries begun, of all lives, whenever a consumer begins one; None: nobody asks.
    unblock
        Ends a read that the actor waits in.
    patience
        Seconds to go on trying to reach a server that is down.
    counts
        Whether entries are counted that a consumer begins: else nothing can be done at one of them.
    longest_block
        Seconds after which a consumer looks up from a read at the latest.
    act
        What consumers do instead of `consume`.
    """

    report: Report
    die: Callable[[], object]
    pause: Callable[[float], object]
    unblock: Callable[[], object]
    patience: float
    longest_block: float = math.inf
    counts: bool = True
    note_begun: Callable[[int], object] | None = None
    act: Callable[..., Any] = consume


def _rest_of(
    arrivals: Iterator[tuple[float, Fields]], producer: Producer, part: Part, duration: float | None
) -> Iterator[tuple[float, Fields]]:
    """Yield what a producer that was started again has still to add, in seconds since then.

    Recorded arrivals come at their times, and those that came while it was dead are not added. All others come as long
    after each other as was planned, up to the end of production.
    """
    if producer.arrivals.kind == "replay":
        last = part.since
        arrivals = itertools.dropwhile(lambda arrival: arrival[0] < last, arrivals)
    else:
        added = [at for at, _ in itertools.islice(arrivals, part.n_begun)]
        last = added[-1] if added else 0.0
    for at, fields in arrivals:
        if duration is not None and part.since + at - last >= duration:
            return
        yield at - last, fields


def effect_of(scenario: Scenario, client: Redis, group: str, stream: str) -> Effect | None:
    """Return what has the effect of a stream's entry for a group; None if there is none."""
    if scenario.sink == "none":
        return None
    return (naive_sink if scenario.sink == "naive" else idempotent_sink)(client, scenario.ledger_key_of(group, stream))


class Play:
    """One life of an actor.

    Made before it begins: what takes time to prepare is prepared then.
    """

    def __init__(self, scenario: Scenario, part: Part, client: Redis, world: World) -> None:
        self.scenario, self.part, self.client, self.world = scenario, part, client, world
        self.stop = asyncio.Event()
        self.advice = Advice()
        self._recovery = scenario.recovery
        self._pace = Pace(part.pace)
        self.job: Job | None = None
        self._arrivals: Iterator[tuple[float, Fields]] = iter(())
        actor = part.actor
        if isinstance(actor, Consumer):
            rng = scenario.rng(actor.name, part.life)
            self.job = Job(
                part.counted,
                actor,
                rng,
                world.die,
                world.pause,
                counts=world.counts,
                n_begun=part.n_begun,
                note_begun=world.note_begun,
            )
            self.job.slowness = part.slowness
        else:
            arrivals = iter(scenario.arrivals(actor))
            if part.life > 1:
                arrivals = _rest_of(arrivals, actor, part, scenario.duration)
            # A replay reads its source before the first entry comes out: now, and not when time runs.
            self._arrivals = itertools.chain(list(itertools.islice(arrivals, 1)), arrivals)

    @property
    def n_begun(self) -> int:
        """Entries begun, by earlier lives as well."""
        return self.part.n_begun if self.job is None else self.job.n_begun

    def obey(self, order: dict[str, Any]) -> None:
        """Change what the actor does: `slowness`, `service` (its mean, in seconds), `pace` (of a producer), `recovery`;
        `nudge`."""
        job = self.job
        if job is not None:
            job.slowness = order.get("slowness", job.slowness)
            if "service" in order:
                job.set_service(order["service"])
        self._pace.factor = order.get("pace", self._pace.factor)
        if "poison" in order:
            self._pace.to_poison.append(order["poison"])
        if "nudge" in order:
            self.advice.look_again()
            self.world.unblock()
        if "recovery" in order:
            self._recovery = Recovery(**order["recovery"])
            self.advice.recover(self.recovery(self._recovery))
            self.world.unblock()

    def count(self, action: CountedAction) -> CountedAction:
        """Let something happen at the nth entry that is begun from now on; return it as counted through all lives."""
        assert self.job is not None
        counted = action.counted_from(self.job.n_begun)
        self.job.count(counted)
        return counted

    def perform(self, begin: float) -> Awaitable[int]:
        """Play the part; it was to begin at a time of the loop's, by which arrivals count."""
        actor = self.part.actor
        return self._consume(actor) if isinstance(actor, Consumer) else self._produce(actor, begin)

    def _consume(self, consumer: Consumer) -> Awaitable[int]:
        scenario, world, job = self.scenario, self.world, self.job
        assert job is not None
        group = consumer.group or scenario.group
        handlers = {
            stream: self.handler(job.handler(effect_of(scenario, self.client, group, stream)))
            for stream in scenario.streams
        }
        options: dict[str, Any] = {
            "count": consumer.count,
            "block": self._block(consumer),
            "ack": consumer.ack,
            "recovery": self.recovery(self._recovery),
            "patience": world.patience,
            "must_exist": self.part.life == 1,
            "stop": self.stop,
            "on_error": ignore_error,
            "report": job.report(world.report),
        }
        if scenario.shards is None:
            options["advice"] = self.advice
            (what,) = handlers.items()
            acting: Awaitable[int] = world.act(self.client, what[0], group, consumer.name, what[1], **options)
            return acting
        if world.act is not consume:
            raise ScenarioError("a consumer of one's own reads one stream: leave out shards")

        def handle(shard: str, entry_id: str, fields: dict[str, str]) -> Awaitable[object]:
            return handlers[shard](entry_id, fields)

        return consume_shards(self.client, scenario.streams, group, consumer.name, handle, **options)

    def _block(self, consumer: Consumer) -> float:
        longest = self.world.longest_block
        return consumer.block if longest == math.inf else min(consumer.block or longest, longest)

    def _produce(self, producer: Producer, begin: float) -> Awaitable[int]:
        scenario, world = self.scenario, self.world
        arrivals = self.arrivals(paced(self._arrivals, self._pace))
        # All producers count from the same moment, however late each was told of it.
        late = asyncio.get_running_loop().time() - begin
        if late:
            arrivals = ((at - late, fields) for at, fields in arrivals)
        return produce(
            self.client,
            scenario.stream if scenario.shards is None else scenario.streams,
            arrivals,
            name=producer.name,
            shard_by=KEY_FIELD,
            maxlen=scenario.maxlen,
            patience=world.patience,
            stop=self.stop,
            report=world.report,
        )

    # ---- for engines that differ ---------------------------------------------------------------

    def recovery(self, recovery: Recovery) -> Recovery:
        """Return how a consumer recovers."""
        return recovery

    def handler(self, handler: Handler) -> Handler:
        """Return what a consumer calls with each entry."""
        return handler

    def arrivals(self, arrivals: Iterable[tuple[float, Fields]]) -> Iterable[tuple[float, Fields]]:
        """Return when a producer adds its entries."""
        return arrivals
