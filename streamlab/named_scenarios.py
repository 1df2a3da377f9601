"""The scenarios that have a name, and scenarios from files."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from streamlab.actors import Recovery
from streamlab.faults import Fault, FaultError, parse_fault
from streamlab.replay import AIRPORTS, DEPARTURES_EPOCH
from streamlab.scenario import (
    Arrivals,
    Producer,
    Scenario,
    ScenarioError,
    Service,
    consumers,
    producers,
)


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
    return _departures("departures", "", DEPARTURES_EPOCH.timestamp())


def departures_day() -> Scenario:
    """The departures of 27 November 2013, an hour in a second: for a real Redis as well."""
    day = "2013-11-27"
    epoch = DEPARTURES_EPOCH.replace(month=11, day=27).timestamp()
    return _departures("departures-day", f":{day}", epoch).faster(3600)


def _departures(name: str, day: str, epoch: float) -> Scenario:
    return Scenario(
        name=name,
        # A producer for each airport. Without a limit: a replay ends by itself.
        producers=tuple(
            Producer(airport, Arrivals("replay", source=f"departures:{airport}{day}"))
            for airport in AIRPORTS
        ),
        consumers=tuple(
            dataclasses.replace(consumer, block=0.0)
            for consumer in consumers(2, Service("exponential", mean=60.0))
        ),
        duration=None,
        stream="departures",
        group="handling",
        drain=86_400.0,
        epoch_ms=round(epoch * 1000),
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
        faults=tuple(map(parse_fault, faults)),
    )
    return dataclasses.replace(scenario, **changes)


def crash() -> Scenario:
    """A consumer dies in mid-work, another one between effect and XACK; the others take over."""
    return _under_way(
        "crash",
        "crash-before-effect C2 nth 25",
        "crash-before-ack C3 nth 50",
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
        "rolling-restart",
        *(f"restart C{i} at {i}s" for i in range(1, 5)),
        recovery=Recovery("autoclaim"),
        duration=6.0,
    )


SCENARIOS: Final[dict[str, Callable[[], Scenario]]] = {
    "one-to-one": one_to_one,
    "one-to-many": one_to_many,
    "many-to-one": many_to_one,
    "many-to-many": many_to_many,
    "kill-and-recover": kill_and_recover,
    "departures": departures,
    "departures-day": departures_day,
    "crash": crash,
    "zombie": zombie,
    "poison": poison,
    "lost-reply": lost_reply,
    "rolling-restart": rolling_restart,
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
        close = difflib.get_close_matches(name, SCENARIOS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ScenarioError(
            f"there is no scenario {name!r}: {hint}known are {', '.join(SCENARIOS)}, or a FILE.toml"
        )
    try:
        return from_toml(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ScenarioError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path} is not text in UTF-8") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


# ---- TOML ------------------------------------------------------------------------------------------


def from_toml(text: str) -> Scenario:
    """Return the scenario that a TOML document describes; what it leaves out has its default.

    Raises
    ------
    ScenarioError
        If it is not TOML, or has an unknown key, or a value of the wrong type or out of range.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise ScenarioError(f"not TOML: {error}") from None
    if "duration" not in table and ("entries" in table or _only_replays(table)):
        table["duration"] = None  # what limits the run is given already
    scenario: Scenario = _decode(table, Scenario, "")
    return scenario


def from_dict(table: dict[str, Any]) -> Scenario:
    """Return the scenario that `to_dict` made this of."""
    scenario: Scenario = _decode(table, Scenario, "")
    return scenario


def to_dict(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as what JSON can hold; `from_dict` reads it back to an equal one."""
    table = dataclasses.asdict(dataclasses.replace(scenario, faults=()))
    return table | {"faults": [str(fault) for fault in scenario.faults]}


def to_toml(scenario: Scenario) -> str:
    """Return the scenario as TOML that `from_toml` reads back to an equal one."""
    lines = []
    table = to_dict(scenario)
    recovery = table.pop("recovery")
    actors = {key: table.pop(key) for key in ("producers", "consumers")}
    for key, value in table.items():
        if value is not None:
            lines.append(f"{key} = {_toml_value(value)}")
    lines += ["", "[recovery]"]
    lines += [f"{key} = {_toml_value(v)}" for key, v in recovery.items() if v is not None]
    for key, rows in actors.items():
        for row in rows:
            lines += ["", f"[[{key}]]"]
            lines += [f"{k} = {_toml_value(v)}" for k, v in row.items()]
    return "\n".join(lines) + "\n"


def _only_replays(table: dict[str, Any]) -> bool:
    """Return whether every producer replays a source, which ends by itself."""
    rows = table.get("producers")
    if not isinstance(rows, list) or not rows:
        return False
    arrivals = [row.get("arrivals") for row in rows if isinstance(row, dict)]
    return len(arrivals) == len(rows) and all(
        isinstance(a, dict) and a.get("kind") == "replay" for a in arrivals
    )


def _toml_value(value: object) -> str:
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items()) + " }"
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'  # names are printable: no control character is left to escape
    return repr(value)


def _decode(value: Any, kind: Any, where: str) -> Any:
    """Return `value` as a `kind`, or say at which key it is not one."""
    if kind is Fault:
        try:
            return parse_fault(value) if isinstance(value, str) else parse_fault("")
        except FaultError as error:
            raise ScenarioError(f"{where}: {error}") from None
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise ScenarioError(f"{where} is {value!r}: write a table")
        types_of = typing.get_type_hints(kind)
        for key in value:
            if key not in types_of:
                close = difflib.get_close_matches(key, types_of, n=1)
                hint = f"did you mean {close[0]}? " if close else ""
                at = f"{where}.{key}" if where else key
                raise ScenarioError(f"unknown key {at}: {hint}known are {', '.join(types_of)}")
        prefix = f"{where}." if where else ""
        decoded = {key: _decode(item, types_of[key], prefix + key) for key, item in value.items()}
        try:
            return kind(**decoded)
        except ScenarioError:
            raise
        except ValueError as error:  # of a Recovery, which knows nothing of scenarios
            raise ScenarioError(str(error)) from None
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            form = (
                f"a list of texts: {where} = [...]" if args[0] is Fault else f"[[{where}]] tables"
            )
            raise ScenarioError(f"{where} is {value!r}: write {form}")
        return tuple(_decode(item, args[0], f"{where}[{i}]") for i, item in enumerate(value, 1))
    if origin is types.UnionType:
        if value is None:
            return None
        kind = next(arg for arg in args if arg is not type(None))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float, str) and (not isinstance(value, kind) or isinstance(value, bool)):
        word = {int: "a whole number", float: "a number", str: "a text"}[kind]
        raise ScenarioError(f"{where} is {value!r}: give {word}")
    if kind is bool and not isinstance(value, bool):
        word = "true or false"
        raise ScenarioError(f"{where} is {value!r}: give {word}")
    return value
