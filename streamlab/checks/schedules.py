"""Random schedules of faults that recoveries, and consumers of one's own, are tried under.

A learner's consumer meets ten kinds of schedules in turn, so that within twenty of them each thing that may go
wrong has gone wrong twice: whatever is drawn, workers that are started again, lost replies, a long list of pending
entries, a group that is destroyed while entries wait, an entry that one of them cannot do, SIGTERM, a server that
goes away, entries that are deleted while pending, and nothing at all.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streamlab.actors import Recovery
from streamlab.scenario import Arrivals, Producer, Scenario, Service, consumers, producers
from streamlab.scenario.action import Action, ordinal
from streamlab.scenario.actions import Poison
from streamlab.scenario.random_faults import Weights, random_faults

#: What kills a consumer.
DEADLY: Final = ("kill", "crash-before-effect", "crash-before-ack")
#: Seconds: work, a lot of time for it, and how soon a supervisor starts a dead worker again.
_SERVICE, _DRAIN = 0.008, 10.0


def graded() -> Scenario:
    """Return the scenario that answers are tried on: 200 entries, 4 consumers that take 8 ms each."""
    return Scenario(
        name="graded",
        producers=producers(1, Arrivals("constant", rate=200)),
        consumers=tuple(consumer.replace(block=1.0) for consumer in consumers(4, Service("constant", _SERVICE))),
        duration=None,
        entries=200,
        drain=_DRAIN,
        sink="idempotent",
        recovery=Recovery("autoclaim", min_idle=0.2),
    )


@dataclass(frozen=True)
class Schedule:
    """What an answer is tried under."""

    scenario: Scenario
    #: By consumer: the how manieth entry that it handles is one that it can never do, though others can.
    impossible: dict[str, int] = field(default_factory=dict)
    n_crowd: int = 0  #: how many entries another program holds, the oldest of all, and is working on

    def told(self) -> tuple[str, ...]:
        """Return what goes wrong, a line for each."""
        lines = [*told(self.scenario.faults)]
        for name, nth in self.impossible.items():
            lines.append(f"the {ordinal(nth)} entry that {name} handles is one that it can never do; others can")
        if self.n_crowd:
            words = f"another program of the group holds the {self.n_crowd} oldest entries, and is working on them"
            lines.append(words)
        if restarts := self.scenario.recovery.restarts_after:
            lines.append(f"a supervisor starts what has died again, {restarts:.3g} s later")
        return tuple(lines) or ("nothing at all",)


def told(faults: Iterable[Action[Any]]) -> tuple[str, ...]:
    """Return a line for each fault, those with a moment first, in their order."""
    return tuple(f.in_words() for f in sorted(faults, key=lambda f: f.when if f.is_dated else math.inf))


def with_faults(faults: Iterable[str], story: Sequence[str]) -> tuple[str, ...]:
    """Return a story with what goes wrong in its schedule, a line for each, before it."""
    heading = () if not story or story[0].endswith(":") else ("What happened to the entry:",)
    return ("What goes wrong in this schedule:", *(f"  - {line}" for line in faults), *heading, *story)


def with_random_faults(
    scenario: Scenario,
    seed: int,
    *,
    poison: bool = False,
    deadly: Sequence[str] = DEADLY,
    weights: Weights | None = None,
) -> Scenario:
    """Return a scenario with faults from a seed, of which some consumer survives; those of `weights`, if given."""
    weights = weights or Weights()
    if not poison:
        weights.of.pop(Poison, None)
    rng = random.Random(f"grading {seed}")
    rate = sum(producer.arrivals.rate for producer in scenario.producers)
    entries = scenario.entries or round(rate * (scenario.duration or 1.0))
    names = [consumer.name for consumer in scenario.consumers]
    faults = random_faults(
        rng,
        consumers=names,
        producers=[producer.name for producer in scenario.producers],
        duration=entries / rate,
        entries=entries,
        weights=weights,
    )
    survivor = rng.choice(names)
    if scenario.recovery.restarts_after is None:
        faults = tuple(f for f in faults if f.word not in deadly or getattr(f, "target", "") != survivor)
    return scenario.replace(seed=seed, faults=faults)


# ---- for consumers of one's own --------------------------------------------------------------------


def schedule(seed: int, *, poison: bool = False) -> Schedule:
    """Return the schedule of a seed."""
    kind = _whatever if poison else _KINDS[(seed - 1) % len(_KINDS)]
    made = kind(_Draw(seed, poison))
    return dataclasses.replace(made, scenario=made.scenario.replace(seed=seed))


class _Draw:
    """What the schedule of a seed is drawn from."""

    def __init__(self, seed: int, poison: bool) -> None:
        self.seed, self.poison = seed, poison
        self.rng = random.Random(f"own {seed}")
        self.base = graded()
        names = [consumer.name for consumer in self.base.consumers]
        #: In the order in which they are struck; the last one survives.
        self.names = self.rng.sample(names, len(names))

    def at(self, least: float = 0.05, most: float = 0.9) -> float:
        """Return a moment of the second in which entries are produced."""
        return round(self.rng.uniform(least, most), 3)

    def nth(self, least: int = 2, most: int = 40) -> int:
        """Return the number of an entry, or a command, of a consumer."""
        return self.rng.randint(least, most)

    def death(self, name: str) -> str:
        """Let a consumer die, in one way or another, with an entry in its hands."""
        return f"{self.rng.choice(('crash-before-effect', 'crash-before-ack'))} {name} nth {self.nth()}"

    def with_faults(self, *faults: str, supervised: bool = False, burst: int = 0) -> Scenario:
        """Return the scenario with faults.

        `supervised`: a supervisor starts again what has died. `burst`: how many entries come at once, so that there is
        a backlog; 0: one by one.
        """
        scenario = self.base.with_faults(*faults)
        if supervised:
            pause = round(self.rng.uniform(0.1, 0.4), 2)
            scenario = scenario.replace(recovery=Recovery("restart", restart_after=pause))
        if burst:
            scenario = scenario.replace(producers=producers(1, Arrivals("bursts", rate=200, burst=burst)))
        return scenario


def _whatever(draw: _Draw) -> Schedule:
    """Whatever is drawn; who dies stays dead, and so does one whose handler's error is not caught."""
    return Schedule(with_random_faults(draw.base, draw.seed, poison=draw.poison, deadly=(*DEADLY, "fail")))


def _started_again(draw: _Draw) -> Schedule:
    """Workers die, and a supervisor starts them again under their names."""
    a, b, c, d = draw.names
    faults = [draw.death(a), draw.death(b), f"kill {c} at {draw.at()}", f"fail {d} nth {draw.nth()}"]
    return Schedule(draw.with_faults(*faults, supervised=True))


def _lost_replies(draw: _Draw) -> Schedule:
    """Replies are lost with their connections, of reads above all."""
    a, b, c, d = draw.names
    faults = [
        f"lost-reply {a} XREADGROUP nth {draw.nth()}",
        f"lost-reply {b} XREADGROUP nth {draw.nth()}",
        f"lost-reply {c} XACK nth {draw.nth()}",
        f"disconnect {d} at {draw.at()}",
    ]
    return Schedule(draw.with_faults(*faults, supervised=True))


def _long_list(draw: _Draw) -> Schedule:
    """The list of pending entries is long, and what the dead have left stands at its end."""
    a, b, c, _ = draw.names
    faults = [draw.death(a), draw.death(b), f"pause {c} at {draw.at()} for 0.15"]
    late = (Producer("P1", Arrivals("constant", rate=200, start=0.05)),)  # the others are the oldest
    scenario = draw.with_faults(*faults).replace(producers=late)
    return Schedule(scenario, n_crowd=draw.rng.randint(110, 150))


def _group_gone(draw: _Draw) -> Schedule:
    """The group is destroyed, or the whole stream deleted, while entries wait for a consumer."""
    burst = draw.rng.choice((0.25, 0.5, 0.75))
    faults = [f"group-destroyed at {round(burst + draw.rng.uniform(0.01, 0.05), 3)}"]
    if draw.seed % 20 > 10:
        between_bursts = draw.at(0.12, 0.22)  # when readers wait
        faults = [f"stream-deleted at {between_bursts}", "group-destroyed at 0.78"]
    faults.append(f"slow {draw.names[0]} at {draw.at()} for 0.2 factor 5")
    return Schedule(draw.with_faults(*faults, supervised=True, burst=50))


def _cannot_be_done(draw: _Draw) -> Schedule:
    """One consumer is given an entry that it can never do; another one dies, when nothing new comes any more."""
    a, b, c, _ = draw.names
    after_the_last_burst = round(0.75 + draw.rng.uniform(0.02, 0.06), 3)
    faults = [f"kill {b} at {after_the_last_burst}", f"pause-in-work {c} nth {draw.nth()} for 0.3"]
    return Schedule(draw.with_faults(*faults, burst=50), impossible={a: draw.nth(3, 20)})


def _asked_to_stop(draw: _Draw) -> Schedule:
    """Consumers are asked to stop, soon after something has gone wrong, and are started again."""
    a, b, c, d = draw.names
    first, second = draw.nth(5, 15), draw.nth(20, 35)
    # Each handles about one entry in 20 ms.
    faults = [
        f"fail {a} nth {first}",
        f"restart {a} at {round(first * 0.02 + 0.03, 3)}",
        f"lost-reply {b} XREADGROUP nth {second}",
        f"restart {b} at {round(second * 0.02 + 0.03, 3)}",
        f"restart {c} at {draw.at()}",
        f"restart {d} at {draw.at()}",
    ]
    return Schedule(draw.with_faults(*faults, supervised=True, burst=20))


def _server_away(draw: _Draw) -> Schedule:
    """The server goes away for longer than a few tries, and connections are cut."""
    a, b, c, _ = draw.names
    faults = [
        f"server-down at {draw.at(0.1, 0.8)} for {round(draw.rng.uniform(0.3, 2.0), 2)}",
        f"disconnect {a} at {draw.at()}",
        f"disconnect {b} at {draw.at()}",
        draw.death(c),
    ]
    return Schedule(draw.with_faults(*faults))


def _trimmed(draw: _Draw) -> Schedule:
    """A worker is killed; what it held is trimmed before it is started again; a handler fails."""
    a, b, c, _ = draw.names
    killed = draw.rng.choice((0.2, 0.4, 0.6)) + 0.03  # in the middle of a burst
    faults = [
        f"kill {b} at {killed}",
        # XAUTOCLAIM drops what is gone, so that nothing may come between.
        f"trim-while-pending at {round(killed + 0.0995, 4)}",
        f"pause-in-work {a} nth {draw.nth(3, 10)} for 0.3",
        f"fail {c} nth {draw.nth()} times 2",
    ]
    # Started again before what it held has been idle for long enough to be taken over.
    quickly = Recovery("restart", restart_after=0.1)
    return Schedule(draw.with_faults(*faults, burst=40).replace(recovery=quickly))


def _calm(draw: _Draw) -> Schedule:
    """Nothing goes wrong; entries come in bursts."""
    return Schedule(draw.with_faults(burst=draw.rng.choice((20, 40, 50, 100))))


_KINDS: Final[Sequence[Callable[[_Draw], Schedule]]] = (
    _whatever, _started_again, _lost_replies, _long_list, _group_gone, _cannot_be_done, _asked_to_stop,
    _server_away, _trimmed, _calm,
)  # fmt: skip
