"""`Plan`: what a consumer's schedules are drawn from; the schedule of a seed."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import attrs

from streamlab.actors import Recovery
from streamlab.checks import schedules
from streamlab.checks.schedules import Schedule, graded, with_random_faults
from streamlab.scenario import Arrivals, Producer, Scenario
from streamlab.scenario.action import POISON_FIELD, Action
from streamlab.scenario.action_texts import parse_action
from streamlab.scenario.actions import GroupDestroyed, Poison, StreamDeleted, TrimWhilePending
from streamlab.scenario.actors import ArrivalKind
from streamlab.scenario.random_faults import RANDOM_FAULTS, Weights

if TYPE_CHECKING:
    from streamlab.actors import Fields

#: Entries that come in a second, if there are so many.
_RATE: Final = 200
#: What takes from another program what it holds.
_AGAINST_CROWDS: Final = (GroupDestroyed, StreamDeleted, TrimWhilePending)

#: What `assert_survives` takes for faults: kinds (``"kill"``), or faults to the letter (``"kill C2 at 0.3s"``).
Faults = str | type[Action[Any]] | Action[Any] | Iterable[str | type[Action[Any]] | Action[Any]]
#: What entries hold: the fields of each, to be taken in turn; or what makes them of the entry's number.
Payload = Sequence[Mapping[str, Any]] | Callable[[int], Mapping[str, Any]]


@attrs.frozen
class _OwnEntries(Scenario):
    """A scenario whose entries hold what somebody has said."""

    payload: Payload | None = attrs.field(default=None, eq=False)

    def arrivals(self, producer: Producer) -> Iterable[tuple[float, Fields]]:
        return self._own(super().arrivals(producer))

    def _own(self, arrivals: Iterable[tuple[float, Fields]]) -> Iterator[tuple[float, Fields]]:
        payload = self.payload
        for number, (at, fields) in enumerate(arrivals, 1):
            made = payload(number) if callable(payload) else payload[(number - 1) % len(payload)] if payload else fields
            poison = {POISON_FIELD: "1"} if POISON_FIELD in fields else {}
            yield at, {str(name): str(value) for name, value in made.items()} | poison


@dataclass(frozen=True)
class Plan:
    """What schedules are drawn from. See `assert_survives`."""

    kinds: tuple[type[Action[Any]], ...] = ()
    faults: tuple[Action[Any], ...] = ()
    version: str = "7.0.15"
    n_entries: int | None = None
    payload: Payload | None = None
    poison: bool = False
    stream: str = "orders"
    group: str = "workers"

    def schedule(self, seed: int) -> Schedule:
        """Return the schedule of a seed."""
        if self.faults or self.kinds:
            environment = self._environment(seed)
            scenario = self._with_faults(self._own(environment.scenario), seed)
            is_stable = not any(isinstance(fault, _AGAINST_CROWDS) for fault in scenario.faults)
            return Schedule(scenario, n_crowd=environment.n_crowd if is_stable else 0)
        drawn = schedules.schedule(seed, poison=self.poison)
        return dataclasses.replace(drawn, scenario=self._own(drawn.scenario))

    def _with_faults(self, scenario: Scenario, seed: int) -> Scenario:
        if self.faults:
            return scenario.replace(faults=self.faults)
        weights = Weights({kind: 1.0 for kind in self.kinds})
        return with_random_faults(scenario, seed, poison=self.poison or Poison in self.kinds, weights=weights)

    def _environment(self, seed: int) -> Schedule:
        """Draw all but the faults.

        The dead are started again at every other seed; at every fourth the list of pending entries is long; entries
        come evenly or in bursts.
        """
        rng = random.Random(f"streams {seed}")
        scenario = graded()
        n_crowd = 0
        if seed % 2:
            scenario = scenario.replace(recovery=Recovery("restart", restart_after=round(rng.uniform(0.1, 0.4), 2)))
        elif seed % 4 == 0:
            n_crowd = rng.randint(110, 150)
        kind: ArrivalKind = rng.choice(("constant", "bursts"))
        # Those of the crowd are the oldest.
        arrivals = Arrivals(kind, rate=_RATE, burst=50, start=0.05 if n_crowd else 0.0)
        return Schedule(scenario.replace(seed=seed, producers=(Producer("P1", arrivals),)), n_crowd=n_crowd)

    def _own(self, scenario: Scenario) -> Scenario:
        """Return a scenario with what is the same at all seeds."""
        n = self.n_entries
        if n is not None:
            scenario = scenario.replace(entries=n)
            if n < _RATE:  # they take a second all the same: it is then that things go wrong
                scenario = scenario.with_rate(float(n))
        # The work is not on this server: what it does there, a consumer sends itself.
        own = {"redis_version": self.version, "stream": self.stream, "group": self.group, "sink": "none"}
        scenario = scenario.replace(**own)
        if self.payload is None:
            return scenario
        values = {field.name: getattr(scenario, field.name) for field in attrs.fields(Scenario)}
        return _OwnEntries(**values, payload=self.payload)


def plan(
    *,
    faults: Faults | None,
    version: str | tuple[int, ...],
    entries: int | Payload,
    poison: bool,
    stream: str,
    group: str,
) -> Plan:
    """Return the plan of what `assert_survives` was asked for.

    Raises
    ------
    ValueError, TypeError
        If something makes no sense: of entries and faults in words, of the rest the scenario's own.
    """
    kinds, exact = _told_apart(faults)
    n_entries, payload = (entries, None) if isinstance(entries, int) else (None, entries)
    if n_entries is not None and (isinstance(entries, bool) or n_entries < 1):
        raise ValueError(f"entries is {entries!r}: give how many, at least 1; or their fields")
    if payload is not None and not callable(payload) and not (payload and all(isinstance(f, Mapping) for f in payload)):
        raise TypeError("entries: give a number, a list of dicts, or a function of the entry's number that returns one")
    numbers = version.split(".") if isinstance(version, str) else [*map(str, version)]
    full = ".".join((*numbers, "0", "0")[: max(3, len(numbers))])
    return Plan(kinds, exact, full, n_entries, payload, poison, stream, group)


def _told_apart(faults: Faults | None) -> tuple[tuple[type[Action[Any]], ...], tuple[Action[Any], ...]]:
    """Return which kinds of faults, and which faults to the letter, are meant."""
    if faults is None:
        return (), ()
    listed = [faults] if isinstance(faults, str | type | Action) else [*faults]
    kinds: list[type[Action[Any]]] = []
    exact: list[Action[Any]] = []
    for one in listed:
        if isinstance(one, Action):
            exact.append(one)
        elif isinstance(one, str) and one not in RANDOM_FAULTS:
            if " " not in one.strip():
                raise ValueError(f"faults: there is no kind {one!r}: known are {', '.join(RANDOM_FAULTS)}")
            exact.append(parse_action(one))
        else:
            kind = RANDOM_FAULTS[one] if isinstance(one, str) else one
            if kind not in RANDOM_FAULTS.values():
                raise ValueError(f"faults: {one!r} is no fault: known are {', '.join(RANDOM_FAULTS)}")
            kinds.append(kind)
    if kinds and exact:
        raise ValueError("faults: give kinds to draw from, or faults to the letter, and not both")
    if not (kinds or exact):
        raise ValueError("faults is empty: leave it out, or name some")
    return tuple(kinds), tuple(exact)
