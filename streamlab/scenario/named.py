"""The scenarios that have a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from streamlab.actors import Recovery
from streamlab.scenario.actors import Arrivals, Consumer, Producer, Service, consumers, producers
from streamlab.scenario.files import read_scenario
from streamlab.scenario.scenario import Scenario
from streamlab.scenario.values import ScenarioError, choose_from


def one_to_one() -> Scenario:
    """One producer, one consumer, both random: busy half of the time."""
    return Scenario(
        name="one-to-one",
        producers=producers(1, Arrivals("poisson", rate=100)),
        consumers=consumers(1, Service("exponential", mean=0.005)),
    )


def one_to_many() -> Scenario:
    """800 entries a second, shared by four consumers."""
    return Scenario(
        name="one-to-many",
        producers=producers(1, Arrivals("constant", rate=800)),
        consumers=consumers(4, Service("constant", mean=0.0025)),
    )


def many_to_one() -> Scenario:
    """Four producers at random times, one consumer for all they produce."""
    return Scenario(
        name="many-to-one",
        producers=producers(4, Arrivals("poisson", rate=25)),
        consumers=consumers(1, Service("constant", mean=0.005)),
    )


def many_to_many() -> Scenario:
    """Three producers and three consumers, each consumer waiting when its turn comes."""
    return Scenario(
        name="many-to-many",
        producers=producers(3, Arrivals("constant", rate=100)),
        consumers=consumers(3, Service("constant", mean=0.005)),
    )


def two_groups() -> Scenario:
    """Two groups, each given every entry: workers, who keep up, and billing, which falls behind now and then."""
    billing = Consumer("B1", Service("exponential", mean=0.32), group="billing")
    return Scenario(
        name="two-groups",
        producers=producers(1, Arrivals("poisson", rate=2.5)),
        consumers=(*consumers(2, Service("constant", mean=0.32)), billing),
        duration=600.0,  # slow enough to be watched
        recovery=Recovery("none", min_idle=5.0),
    )


def kill_and_recover() -> Scenario:
    """An hour, slow enough to be watched: kill a consumer, see what it leaves behind, and recover that."""
    return Scenario(
        name="kill-and-recover",
        producers=producers(2, Arrivals("poisson", rate=2.4)),
        consumers=consumers(3, Service("constant", mean=0.4), count=4),
        duration=3600.0,
        # By default nobody claims. Five seconds exceed what a consumer takes for the four that it may hold.
        recovery=Recovery("none", min_idle=5.0),
    )


def departures() -> Scenario:
    """Every flight that departed from New York in 2013, at its time: a year, for the simulation."""
    return _departures("departures")


def departures_day() -> Scenario:
    """The departures of 27 November 2013, an hour in a second: for a real Redis as well."""
    return _departures("departures-day", "2013-11-27").faster(3600)


def _departures(name: str, date: str = "") -> Scenario:
    from streamlab.scenario.replay import AIRPORTS, DEPARTURES_EPOCH  # reads zipped files: slow to import

    epoch = DEPARTURES_EPOCH
    if date:
        _, month, day = map(int, date.split("-"))
        epoch = epoch.replace(month=month, day=day)
    source = f":{date}" if date else ""
    return Scenario(
        name=name,
        # A producer for each airport. Without a limit: a replay ends by itself.
        producers=tuple(
            Producer(airport, Arrivals("replay", source=f"departures:{airport}{source}")) for airport in AIRPORTS
        ),
        consumers=tuple(each.replace(block=0.0) for each in consumers(2, Service("exponential", mean=60.0))),
        duration=None,
        stream="departures",
        group="handling",
        drain=86_400.0,
        epoch_ms=round(epoch.timestamp() * 1000),
    )


def _under_way(name: str, *faults: str, recovery: Recovery, **changes: Any) -> Scenario:
    """Return what the scenarios of failure begin with: 100 entries a second, four consumers half busy."""
    scenario = Scenario(
        name=name,
        producers=producers(1, Arrivals("constant", rate=100)),
        consumers=consumers(4, Service("constant", mean=0.02)),
        duration=5.0,
        sink="idempotent",
        recovery=recovery,
    )
    return scenario.replace(**changes).with_faults(*faults)


def crash() -> Scenario:
    """A consumer dies in mid-work, another one between effect and XACK; the others take over."""
    return _under_way(
        "crash",
        "crash-before-effect C2 nth 25",
        # Two seconds later. If C3 could die of what C2 has left, milliseconds would decide how long recovery takes.
        "crash-before-ack C3 nth 100",
        recovery=Recovery("autoclaim", interval=0.05),
        # The two who are left are busy half of the time: nothing but the crashes makes entries wait.
        consumers=consumers(4, Service("constant", mean=0.01)),
    )


def zombie() -> Scenario:
    """A consumer stands still for longer than min-idle, wakes, and acknowledges what others own by now.

    Its work takes long, so that the one who took over is still at it when the zombie comes back.
    """
    return _under_way(
        "zombie",
        "pause-in-work C2 nth 2 for 1.5s",
        recovery=Recovery("autoclaim", min_idle=1.0, interval=0.1),
        producers=producers(1, Arrivals("constant", rate=4)),
        consumers=consumers(4, Service("constant", mean=0.8)),
        sink="naive",
    )


def poison() -> Scenario:
    """Two entries kill every worker that touches them, until they are given up."""
    return _under_way(
        "poison",
        "poison P1 nth 50",
        "poison P1 nth 200",
        recovery=Recovery("autoclaim", max_deliveries=3, restart_after=0.5),
    )


def lost_reply() -> Scenario:
    """Commands are executed and their replies lost: an XADD, a read, an acknowledgement."""
    return _under_way(
        "lost-reply",
        "lost-reply P1 XADD nth 100",
        "lost-reply C1 XREADGROUP nth 30",
        "lost-reply C2 XACK nth 30",
        recovery=Recovery("autoclaim"),
    )


def rolling_restart() -> Scenario:
    """Every consumer is stopped in good order and started again, one after the other: nothing is redelivered."""
    return _under_way(
        "rolling-restart", *(f"restart C{i} at {i}s" for i in range(1, 5)), recovery=Recovery("autoclaim"), duration=6.0
    )


def sharded() -> Scenario:
    """A stream in four shards, so that each key's entries keep their order: a consumer dies, others take its shards."""
    return _under_way(
        "sharded",
        "crash-before-effect C2 nth 40",
        recovery=Recovery("autoclaim", min_idle=1.25, interval=0.05),
        consumers=consumers(3, Service("exponential", mean=0.008)),
        shards=4,
    )


def cluster() -> Scenario:
    """Six shards, on a Redis Cluster of three servers when live: a consumer comes, another one dies, shards move."""
    return _under_way(
        "cluster",
        "add-consumer C3 at 150ms",
        # Late enough for C3 to have its share by then, live as well.
        "crash-before-effect C1 nth 45",
        recovery=Recovery("autoclaim", min_idle=0.6),
        consumers=consumers(2, Service("exponential", mean=0.008)),
        duration=2.0,
        shards=6,
        primaries=3,
    )


def redis_crash() -> Scenario:
    """The server is killed in the middle of the run, and comes back with its last snapshot."""
    return _server_fails("redis-crash", "server-down at 3.7s for 500ms", persistence="rdb")


def failover() -> Scenario:
    """The primary dies, and Sentinels promote its replica, which is half a second behind."""
    return _server_fails("failover", "failover at 3.7s for 2s", replicas=1, replication_delay=0.5)


def _server_fails(name: str, *faults: str, **servers: Any) -> Scenario:
    """Return 100 entries a second, a fourth more than four consumers can do: some wait, as the server fails."""
    scenario = Scenario(
        name=name,
        producers=producers(1, Arrivals("constant", rate=100)),
        consumers=consumers(4, Service("constant", mean=0.05)),
        duration=6.0,
        # What consumers do has its effect elsewhere: it is not lost with the server.
        sink="none",
        recovery=Recovery("autoclaim", min_idle=2.0, interval=0.25),
    )
    return scenario.replace(**servers).with_faults(*faults)


SCENARIOS: Final[dict[str, Callable[[], Scenario]]] = {
    "one-to-one": one_to_one,
    "one-to-many": one_to_many,
    "many-to-one": many_to_one,
    "many-to-many": many_to_many,
    "two-groups": two_groups,
    "kill-and-recover": kill_and_recover,
    "departures": departures,
    "departures-day": departures_day,
    "crash": crash,
    "zombie": zombie,
    "poison": poison,
    "lost-reply": lost_reply,
    "rolling-restart": rolling_restart,
    "sharded": sharded,
    "cluster": cluster,
    "redis-crash": redis_crash,
    "failover": failover,
}


def load_scenario(name_or_file: str | Path) -> Scenario:
    """Return a named scenario, or the one in a TOML file.

    Raises
    ------
    ScenarioError
        If there is no such scenario or file, or it makes no sense.
    """
    name = str(name_or_file)
    if name in SCENARIOS:
        return SCENARIOS[name]()
    path = Path(name)
    if path.suffix != ".toml":
        raise ScenarioError(f"there is no scenario {name!r}: {choose_from(name, SCENARIOS)}, or a FILE.toml")
    return read_scenario(path)
