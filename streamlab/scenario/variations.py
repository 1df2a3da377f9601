"""`varied`: a scenario with sizes, paces and ways of recovery changed by name; and the values of a sweep as text.

The names are those of the options of ``streamlab run``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from streamlab.scenario.action import ActionError
from streamlab.scenario.action_texts import seconds
from streamlab.scenario.scenario import Scenario
from streamlab.scenario.values import ScenarioError, choose_from, require

Kind = Literal["whole", "number", "time", "word"]

#: What changes a scenario's actors, in the order in which it is done.
_SIZES: Final[dict[str, Callable[[Scenario, Any], Scenario]]] = {
    "producers": Scenario.with_producers,
    "consumers": Scenario.with_consumers,
    "rate": Scenario.with_rate,
    "service": Scenario.with_service,
    "count": Scenario.with_count,
    "shards": Scenario.with_shards,
    "keys": Scenario.with_keys,
    "speed": Scenario.faster,
}
_LIMITS: Final = ("entries", "duration")
#: What can be changed, and what its values are.
PARAMETERS: Final[dict[str, Kind]] = {
    "producers": "whole", "consumers": "whole", "rate": "number", "service": "time", "count": "whole",
    "shards": "whole", "keys": "whole",
    "speed": "number", "entries": "whole", "duration": "time", "recovery": "word", "min_idle": "time",
    "interval": "time", "heartbeat": "time", "restart_after": "time", "max_deliveries": "whole",
}  # fmt: skip
#: A range with more values than this is a slip of the finger.
_MOST: Final = 10_000


def varied(scenario: Scenario, changes: Mapping[str, Any]) -> Scenario:
    """Return the scenario with these `PARAMETERS` changed.

    Of `entries` and `duration`, one that is given alone is the only limit.

    Raises
    ------
    ScenarioError
        If a name is unknown, or a value makes no sense.
    """
    for name in changes:
        require(name in PARAMETERS, f"{name} is no parameter of a scenario: {choose_from(name, PARAMETERS)}")
    for name, change in _SIZES.items():
        if name in changes:
            scenario = change(scenario, changes[name])
    if "entries" in changes:
        scenario = scenario.replace(entries=changes["entries"], duration=changes.get("duration"))
    elif "duration" in changes:
        scenario = scenario.replace(duration=changes["duration"])
    recovery = {name: value for name, value in changes.items() if name not in _SIZES and name not in _LIMITS}
    if not recovery:
        return scenario
    strategy = recovery.pop("recovery", None)
    scenario = scenario.with_recovery(strategy, **recovery)
    if strategy == "read-claim" and scenario.version < (8, 4, 0):
        # The simulated server has to be one that knows XREADGROUP … CLAIM; a real one says so itself.
        scenario = scenario.replace(redis_version="8.4.0")
    return scenario


def combinations(over: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return all combinations of parameters' values, the last parameter going fastest.

    Raises
    ------
    ScenarioError
        If there is no parameter, or one has no values, or one value twice.
    """
    require(over, f"nothing is swept over: name a parameter and its values, such as consumers; {_known()}")
    lists: dict[str, list[Any]] = {}
    for name, values in over.items():
        require(name in PARAMETERS, f"{name} is no parameter of a scenario: {choose_from(name, PARAMETERS)}")
        if not isinstance(values, Iterable) or isinstance(values, str | Mapping):
            raise ScenarioError(f"{name} is {values!r}: give several values, as a list or a range")
        lists[name] = list(values)
        require(lists[name], f"{name} has no values: give one at least")
        twice = next((value for i, value in enumerate(lists[name]) if value in lists[name][:i]), None)
        require(twice is None, f"{name} has the value {twice!r} twice: once is enough")
    return [dict(zip(lists, chosen, strict=True)) for chosen in itertools.product(*lists.values())]


def _known() -> str:
    return f"known are {', '.join(PARAMETERS)}"


# ---- as text ---------------------------------------------------------------------------------------


def read_over(texts: Iterable[str]) -> dict[str, Sequence[Any]]:
    """Read what is swept over: ``consumers=1..16``, ``rate=100..500..100`` (in steps of 100), ``service=2ms,4ms``.

    Raises
    ------
    ScenarioError
        If it makes no sense, or names a parameter twice.
    """
    over: dict[str, Sequence[Any]] = {}
    for text in texts:
        word, equals, values = text.partition("=")
        name = word.strip().replace("-", "_")
        require(
            equals and values.strip(), f"{text!r} says no values: write consumers=1..16, or service=2ms,4ms; {_known()}"
        )
        require(name in PARAMETERS, f"{name} is no parameter of a scenario: {choose_from(name, PARAMETERS)}")
        require(name not in over, f"{name} is given twice: write all its values in one, separated by commas")
        try:
            over[name] = [value for part in values.split(",") for value in _values(part.strip(), PARAMETERS[name])]
        except (ActionError, ValueError) as error:
            raise ScenarioError(f"{name}={values}: {error}") from None
    return over


def _values(text: str, kind: Kind) -> Iterator[Any]:
    """Yield the one value, or the values of a range."""
    if kind == "word" or ".." not in text:
        yield _value(text, kind)
        return
    first, last, *steps = (_value(part, kind) for part in text.split(".."))
    require(len(steps) <= 1, f"{text} is no range: write 1..16, or 100..500..100 for steps of 100")
    require(steps or kind == "whole", f"{text} does not say in which steps: write {_with_step(text, kind)}")
    step = steps[0] if steps else 1
    require(step > 0, f"{text} has a step of {step:g}: give one above 0")
    require(first <= last, f"{text} goes down: write the smaller one first")
    n = math.floor((last - first) / step + 1e-9) + 1
    require(n <= _MOST, f"{text} is {n:,} values: at most {_MOST:,}")
    for i in range(n):
        yield first + i * step if kind == "whole" else round(first + i * step, 12)


def _with_step(text: str, kind: Kind) -> str:
    return f"{text}..{'1ms' if kind == 'time' else '10'} for steps of {'1 ms' if kind == 'time' else '10'}"


def _value(text: str, kind: Kind) -> Any:
    if kind == "time":
        return seconds(text)
    if kind == "word":
        return text
    read: Callable[[str], float] = int if kind == "whole" else float
    try:
        return read(text)
    except ValueError:
        raise ScenarioError(f"{text!r} is not a {'whole ' if kind == 'whole' else ''}number") from None
