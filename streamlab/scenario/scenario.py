"""`Scenario`: who produces and who consumes, how fast, for how long. Data, and nothing else.

The same scenario runs on both engines. Everything random in it comes from `seed`, by the actor's name, so
that a run can be repeated and an actor's arrivals do not change when another one is added.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from streamlab.actors import Recovery
from streamlab.actors.shards import key_beside
from streamlab.scenario.action import Action, ActionError, CountedAction
from streamlab.scenario.action_texts import parse_action, seconds
from streamlab.scenario.actions import AddConsumer, Poison, SetRecovery, check_target
from streamlab.scenario.actors import Consumer, Producer, check_names, poisoned
from streamlab.scenario.failing import Persistence, check_servers, kills_servers
from streamlab.scenario.groups import Groups, actions_of, check_group
from streamlab.scenario.random_faults import Weights, random_faults, random_kills
from streamlab.scenario.shards import Sharded, check_fits, keyed
from streamlab.scenario.small_table import ShowsItself, SmallTable, length
from streamlab.scenario.values import (
    InvalidValue,
    ScenarioError,
    a,
    check_keys,
    finite,
    located,
    one_of,
    printable,
    require,
    short,
    some,
    version_numbers,
    whole,
)
from streamlab.scenario.variants import Variants

if TYPE_CHECKING:
    from streamlab.actors import Fields

SinkKind = Literal["none", "naive", "idempotent"]

#: The simulated server's clock at the beginning of a run: 2026-01-01, 00:00 UTC, in ms since 1970.
EPOCH_MS = 1_767_225_600_000

#: What a text begins with that stands for many kills: one every so often, of a consumer drawn by the seed.
_RANDOM_KILLS: Final = ["kill", "random", "every"]


def _no_limit_or(validator: Any) -> Any:
    return attrs.validators.optional(validator)


@attrs.frozen
class Scenario(Sharded, Variants, ShowsItself):
    """Producers, a stream, a consumer group or several, and for how long.

    Attributes
    ----------
    duration, entries
        Entries are produced for `duration` seconds, or until there are `entries` of them, all producers
        together; whichever comes first. None is no limit: a replay ends by itself.
    drain
        Seconds that consumers are given, after production has ended, to finish what is left; what they
        hold at the end of it, they still finish if it takes them no more than a second.
    maxlen
        Trim the stream to about this many entries as they are added (``MAXLEN ~``), read or not.
    epoch_ms
        The simulated server's clock at the start of the run, in milliseconds since 1970.
    redis_version
        The version that the simulated server behaves as, ``"7.0.15"`` for instance.
    sink
        Where effects go: ``"none"`` (an entry's service time is all there is to it), ``"naive"`` or
        ``"idempotent"``: a hash on the server that counts each entry's effects. See `ledger_key_of`.
    persistence
        What a server has on its disk when it goes down (`ServerDown`, `PowerLoss`): ``"none"``, ``"rdb"`` (a snapshot
        every 2 s of the run), ``"aof-everysec"``, ``"aof-always"``. None: all it had, and nothing is written in vain.
    replicas, replication_delay
        How many servers copy the primary, and how many seconds they are behind when it dies (`Failover`).
    primaries
        On how many servers the shards lie when it runs live: those of a Redis Cluster; 0: on one server. A simulation
        has no servers to tell apart.
    recovery
        How entries come back that a consumer did not finish.
    faults
        What goes wrong, and what else is planned. In TOML and on the command line each is a text,
        ``"kill C2 at 3s"``: see `Action`.
    by_hand
        What was done while it ran, by a method of the lab or by a button; it is done again when it is run again.
    shards
        Over how many streams the entries are spread by their keys, each shard being one consumer's at a time, so that
        each key's entries keep their order; None: there is one stream, for all consumers. See `consume_shards`.
    keys
        How many keys there are, of which each entry has one, drawn by the seed; None: entries have none, or one of 100
        if there are shards.
    """

    name: str = attrs.field(default="my-scenario", validator=printable())
    producers: tuple[Producer, ...] = attrs.field(
        default=(Producer(),), validator=some(Producer, at_least=1, form="[[producers]] tables")
    )
    consumers: tuple[Consumer, ...] = attrs.field(
        default=(Consumer(),), validator=some(Consumer, at_least=1, form="[[consumers]] tables")
    )
    duration: float | None = attrs.field(default=10.0, validator=_no_limit_or(finite(above=True, of="seconds")))
    entries: int | None = attrs.field(default=None, validator=_no_limit_or(whole(1)))
    seed: int = attrs.field(default=1, validator=whole(0))
    stream: str = attrs.field(default="orders", validator=printable())
    group: str = attrs.field(default="workers", validator=printable())
    drain: float = attrs.field(default=60.0, validator=finite(of="seconds"))
    maxlen: int | None = attrs.field(default=None, validator=_no_limit_or(whole(1)))
    epoch_ms: int = attrs.field(default=EPOCH_MS, validator=whole(0))
    redis_version: str = attrs.field(default="7.0.15")
    sink: SinkKind = attrs.field(default="none", validator=one_of(SinkKind))
    persistence: Persistence | None = attrs.field(default=None, validator=_no_limit_or(one_of(Persistence)))
    replicas: int = attrs.field(default=0, validator=whole(0))
    replication_delay: float = attrs.field(default=0.0, validator=finite(of="seconds"))
    primaries: int = attrs.field(default=0, validator=whole(0))
    recovery: Recovery = attrs.field(default=Recovery(), validator=a(Recovery))
    faults: tuple[Action[Any], ...] = attrs.field(default=(), validator=some(object, form="texts"))
    by_hand: tuple[Action[Any], ...] = attrs.field(default=(), validator=some(object, form="texts"))
    shards: int | None = attrs.field(default=None, validator=_no_limit_or(whole(1)))
    keys: int | None = attrs.field(default=None, validator=_no_limit_or(whole(1)))

    @redis_version.validator
    def _check_version(self, _: object, value: object) -> None:
        if len(version_numbers(value)) != 3:
            raise self.invalid("redis_version", f"is {short(value)}: write it as 7.0.15")

    def __attrs_post_init__(self) -> None:
        check_names(producers=self.producers, consumers=self.consumers)
        endless = [p.name for p in self.producers if p.arrivals.kind != "replay"]
        if endless and self.duration is None and self.entries is None:
            problem = f"is None, and so {', '.join(endless)} never ends: give a duration or a number of entries"
            raise self.invalid("duration", problem)
        self._check_shards()
        self._check_servers()
        # Here and nowhere else, so that a text is read alike from a file, the shell and Python.
        read = {what: self._read_all(what) for what in ("faults", "by_hand")}
        added = [action.target for action in itertools.chain(*read.values()) if isinstance(action, AddConsumer)]
        for what, actions in read.items():
            for i, action in enumerate(actions):
                with located(what, i):
                    self._check_action(action, added)
            object.__setattr__(self, what, actions)

    def _check_servers(self) -> None:
        """Require that what is said of the servers goes together."""
        if self.replicas and self.persistence is not None:
            raise self.invalid("persistence", "is what a single server keeps: leave it out, or the replicas")
        if self.replication_delay and not self.replicas:
            raise self.invalid("replication_delay", f"is {self.replication_delay:g}, of no replica: give replicas = 1")
        if self.maxlen is not None and self.may_forget:
            raise self.invalid("maxlen", "trims silently: it could not be told from what a server forgets")

    def _read_all(self, what: str) -> tuple[Action[Any], ...]:
        """Return actions, those that are texts read."""
        read: list[Action[Any]] = []
        for i, action in enumerate(getattr(self, what)):
            with located(what, i):
                read += self._read(action)
        return tuple(read)

    def _read(self, action: object) -> tuple[Action[Any], ...]:
        """Read an action; ``kill random every 1s`` is one for each time."""
        if isinstance(action, Action):
            return (action,)
        if not isinstance(action, str):
            raise InvalidValue(f"is {short(action)}: give a text, as 'kill C2 at 3s'", ())
        try:
            first, words = action.split()[:3], action.split()[3:]
            if first == _RANDOM_KILLS:
                return self.random_kills(seconds(" ".join(words)))
            return (parse_action(action),)
        except ActionError as error:
            raise InvalidValue(f"is {short(action)}: {error}", ()) from None

    def _check_action(self, action: Action[Any], added: list[str | None]) -> None:
        """Require that what is planned has a time, and is aimed at somebody who is there."""
        if not isinstance(action, CountedAction) and not action.is_dated:
            raise InvalidValue(f"is {str(action)!r}, which says not when: write {action.form}", ())
        if isinstance(action, AddConsumer) and action.target is None:
            raise InvalidValue(f"is {str(action)!r}: give the consumer a name", ())
        consumers = [c.name for c in self.consumers] + [name for name in added if name is not None]
        try:
            check_target(action, consumers, [p.name for p in self.producers])
            check_fits(action, self.shards)
            check_group(action, self.groups)
            check_servers(action, self.persistence, self.replicas, self.primaries)
        except ActionError as error:
            raise InvalidValue(f"is {str(action)!r}: {error}", ()) from None

    @property
    def actions(self) -> tuple[Action[Any], ...]:
        """All that is planned, and all that was done by hand."""
        return self.faults + self.by_hand

    @property
    def last_recovery(self) -> Recovery:
        """How entries come back at the end, after all changes of it that are planned or were made by hand."""
        recovery = self.recovery
        changes = [action for action in self.actions if isinstance(action, SetRecovery)]
        for change in sorted(changes, key=lambda change: change.when):
            recovery = change.applied_to(recovery)
        return recovery

    @property
    def groups(self) -> Groups:
        """The consumer groups by name, and who is in which."""
        return Groups((c.name, c.group or self.group) for c in self.consumers)

    def of(self, group: str) -> Scenario:
        """Return the scenario with one of its groups only: each is given every entry, as if it were alone."""
        groups = self.groups
        groups.check(group)
        if len(groups) == 1 and group == self.group:
            return self
        mine = tuple(consumer.replace(group="") for consumer in self.consumers if consumer.name in groups[group])
        others = {consumer.name for consumer in self.consumers} - {*groups[group]}
        kept = {what: actions_of(getattr(self, what), group, others) for what in ("faults", "by_hand")}
        return self.replace(name=f"{self.name}: {group}", group=group, consumers=mine, **kept)

    def joins(self, consumer: Consumer) -> bool:
        """Whether a consumer is not there from the beginning, but is added later."""
        return any(isinstance(action, AddConsumer) and action.target == consumer.name for action in self.actions)

    def as_table(self) -> SmallTable:
        """Return who does what how fast, for how long, and what goes wrong."""
        until = [f"{self.entries:,} entries"] if self.entries is not None else []
        until += [length(self.duration)] if self.duration is not None else []
        ends, recovery = " or ".join(until) or "a replay", self.recovery.strategy
        lines = [f"{self.name}: {ends}, seed {self.seed}, recovery {recovery}"]
        if self.shards is not None:
            cluster = f", on a cluster of {self.primaries}" if self.primaries else ""
            lines.append(f"{self.shards} shards, {self.n_keys} keys{cluster}")
        lines += [f"persistence {self.persistence}"] if self.persistence is not None else []
        lines += [f"replicas {self.replicas}, {length(self.replication_delay)} behind"] if self.replicas else []
        lines += [action.in_short() for action in self.actions]
        rows = [(producer.name, producer.arrivals.in_words()) for producer in self.producers]
        for group, names in self.groups.items():
            of = f", group {group}" if len(self.groups) > 1 else ""
            rows += [(c.name, c.service.in_words() + of) for c in self.consumers if c.name in names]
        return SmallTable(lines, ("actor", "pace"), rows)

    def ledger_key_of(self, group: str, stream: str | None = None) -> str:
        """Return the key of the hash in which a sink counts a group's effects, those of one shard if that is said."""
        key = key_beside(stream or self.stream, "effects")
        return key if group == next(iter(self.groups)) else f"{key}:{group}"

    @property
    def dead_letter_key(self) -> str:
        """The key of the dead-letter stream."""
        return self.recovery.dead_letter_of(self.stream)

    @property
    def version(self) -> tuple[int, int, int]:
        """The simulated server's version, as three numbers."""
        major, minor, patch = version_numbers(self.redis_version)
        return major, minor, patch

    @property
    def needs_persistence(self) -> bool:
        """Whether a real server has to keep what it had when it goes down."""
        return kills_servers(self.actions)

    @property
    def may_forget(self) -> bool:
        """Whether a server may come back with less than it had, or another one in its place."""
        return self.persistence is not None or self.replicas > 0

    def rng(self, actor: str, life: int = 1) -> random.Random:
        """Return the source of an actor's random numbers; each life of a consumer draws its own service times."""
        return random.Random(f"{self.seed}/{actor}" if life == 1 else f"{self.seed}/{actor}/{life}")

    def arrivals(self, producer: Producer) -> Iterable[tuple[float, Fields]]:
        """Return what a producer adds in this scenario, and when, its limits applied."""
        entries = producer.arrivals.entries(producer.name, self.rng(producer.name))
        if self.duration is not None:
            duration = self.duration
            entries = itertools.takewhile(lambda entry: entry[0] < duration, entries)
        if self.entries is not None:
            entries = itertools.islice(entries, self._share_of(producer))
        poison = (a for a in self.faults if isinstance(a, Poison) and not a.is_dated)
        numbers = {action.nth for action in poison if action.target == producer.name}
        if self.n_keys:
            entries = keyed(entries, self.keys_of(producer.name))
        return poisoned(entries, numbers) if numbers else entries

    def times(self, producer: Producer) -> Iterable[float]:
        """Return when a producer adds its entries, as `arrivals` has it: for whoever does not ask what is in them."""
        times = producer.arrivals.times(self.rng(producer.name))
        if self.duration is not None:
            times = itertools.takewhile(float(self.duration).__gt__, times)
        return times if self.entries is None else itertools.islice(times, self._share_of(producer))

    def _share_of(self, producer: Producer) -> int:
        """Return how many of the first `entries` arrivals, all producers together, are this one's."""
        assert self.entries is not None
        if len(self.producers) == 1:
            return self.entries
        arrivals = heapq.merge(
            *(
                zip(p.arrivals.times(self.rng(p.name)), itertools.repeat(number))
                for number, p in enumerate(self.producers)
            )
        )
        mine = self.producers.index(producer)
        return sum(number == mine for _, number in itertools.islice(arrivals, self.entries))

    # ---- variations (see also `replace`) -------------------------------------------------------

    def with_faults(self, *faults: Action[Any] | str) -> Scenario:
        """Return the scenario with more faults; texts are read by `parse_action`, or are ``kill random every 1s``."""
        return self.replace(faults=(*self.faults, *faults))

    def random_faults(
        self, *, most: int = 6, rng: random.Random | None = None, weights: Weights | None = None
    ) -> tuple[Action[Any], ...]:
        """Draw one to `most` faults for this scenario, by its seed if no generator is given."""
        return random_faults(
            rng or self.rng("faults"),
            consumers=[c.name for c in self.consumers],
            producers=[p.name for p in self.producers],
            duration=self.expected_duration(),
            entries=self.expected_entries(),
            most=most,
            weights=weights,
            groups=list(self.groups),
        )

    def random_kills(self, every: float) -> tuple[Action[Any], ...]:
        """Draw a consumer to be killed every so many seconds of this scenario, by its seed."""
        finite(above=True, of="seconds").check(every, "every")
        names = [c.name for c in self.consumers]
        duration = self.expected_duration()
        return random_kills(self.rng("kills"), consumers=names, every=every, duration=duration)

    def expected_duration(self) -> float:
        """Return for how many seconds entries are produced, about."""
        rate = self._expected_rate()
        by_entries = math.inf if self.entries is None else self.entries / rate
        return min(math.inf if self.duration is None else self.duration, by_entries)

    def expected_entries(self) -> int:
        return math.ceil(self._expected_rate() * self.expected_duration())

    def _expected_rate(self) -> float:
        require(
            all(p.arrivals.kind != "replay" for p in self.producers),
            f"{self.name} replays recorded times: name its faults one by one",
        )
        return sum(p.arrivals.rate for p in self.producers)

    def with_recovery(self, strategy: str | None = None, **changes: Any) -> Scenario:
        """Return the scenario with another strategy of recovery, or other fields of it."""
        if strategy is not None:
            changes["strategy"] = strategy
        with located("recovery"):
            check_keys(changes, [field.name for field in dataclasses.fields(Recovery)])
        try:
            return self.replace(recovery=dataclasses.replace(self.recovery, **changes))
        except ValueError as error:  # of a Recovery, which knows nothing of scenarios
            raise ScenarioError(str(error)) from None
