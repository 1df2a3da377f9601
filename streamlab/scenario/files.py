"""Scenarios as TOML, and as what JSON can hold: the data of a file become records by cattrs.

What has the right shape is made into records; whatever has not is handed on as it is, to the validators of the
records. So a mistake is refused in the same words, whether it was made in a file or in Python.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_origin

import attrs

from streamlab.scenario.action import Action
from streamlab.scenario.scenario import Scenario
from streamlab.scenario.values import InvalidValue, ScenarioError, check_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import Converter


def read_scenario(path: Path) -> Scenario:
    """Return the scenario in a TOML file.

    Raises
    ------
    ScenarioError
        If the file cannot be read, or the scenario makes no sense.
    """
    try:
        return from_toml(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ScenarioError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path} is not text in UTF-8") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def from_toml(text: str) -> Scenario:
    """Return the scenario that a TOML document describes; what it leaves out has its default.

    Raises
    ------
    ScenarioError
        If it is not TOML, or has an unknown key, or a value of the wrong type or out of range.
    """
    import tomllib

    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise ScenarioError(f"not TOML: {error}") from None
    if "duration" not in table and ("entries" in table or _only_replays(table)):
        table["duration"] = None  # what limits the run is given already
    return from_dict(table)


def to_toml(scenario: Scenario) -> str:
    """Return the scenario as TOML that `from_toml` reads back to an equal one."""
    import tomli_w

    return tomli_w.dumps(_without_none(to_dict(scenario)))


def from_dict(table: Any) -> Scenario:
    """Return the scenario that `to_dict` made this of.

    Raises
    ------
    ScenarioError
        If it has an unknown key, or a value of the wrong type or out of range.
    """
    if not isinstance(table, dict):
        raise ScenarioError(f"a scenario is a table, not {table!r:.80}")
    try:
        return _converter().structure(table, Scenario)
    except Exception as error:
        raise _first_mistake(error) from None


def to_dict(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as what JSON can hold; `from_dict` reads it back to an equal one."""
    table: dict[str, Any] = _converter().unstructure(scenario)
    return table


def _without_none(value: Any) -> Any:
    """Return a table without what is None, which TOML has no word for."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value


def _only_replays(table: dict[str, Any]) -> bool:
    """Return whether every producer replays a source, which ends by itself."""
    rows = table.get("producers")
    if not isinstance(rows, list) or not rows:
        return False
    arrivals = [row.get("arrivals") for row in rows if isinstance(row, dict)]
    return len(arrivals) == len(rows) and all(isinstance(a, dict) and a.get("kind") == "replay" for a in arrivals)


# ---- cattrs ----------------------------------------------------------------------------------------


@functools.cache
def _converter() -> Converter:
    """Return what makes records of tables, and tables of records."""
    # Not before a file is read or written: a scenario made in Python does not wait for it.
    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn

    converter = Converter(forbid_extra_keys=True, unstruct_collection_overrides={tuple: list})

    def for_record(kind: Any) -> Callable[[Any, Any], Any]:
        structure: Callable[[Any, Any], Any] = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)
        return lambda value, _: structure(value, kind) if isinstance(value, dict) else value

    def for_tuple(kind: Any) -> Callable[[Any, Any], Any]:
        structure = converter.get_structure_hook(list[kind.__args__[0]])
        return lambda value, _: tuple(structure(value, kind)) if isinstance(value, list | tuple) else value

    converter.register_structure_hook_factory(
        lambda kind: not _is_action(kind) and (attrs.has(kind) or dataclasses.is_dataclass(kind)), for_record
    )
    converter.register_structure_hook_factory(_is(tuple), for_tuple)
    for plain in (int, str, bool):
        converter.register_structure_hook(plain, _as_it_is)
    converter.register_structure_hook_func(_is(Literal), _as_it_is)
    converter.register_structure_hook(float, _as_float)
    # What goes wrong is a text, which the scenario reads itself.
    converter.register_structure_hook_func(_is_action, _as_it_is)
    converter.register_unstructure_hook_func(_is_action, str)
    return converter


def _is_action(kind: Any) -> bool:
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, Action)


def _is(origin: object) -> Callable[[Any], bool]:
    """Return whether a type is a generic one of this origin, as a predicate for cattrs."""
    return lambda kind: get_origin(kind) is origin


def _as_it_is(value: Any, _: Any) -> Any:
    return value


def _as_float(value: Any, _: Any) -> Any:
    """Return 5 as 5.0; what is no number is refused by its record."""
    return float(value) if type(value) is int and abs(value) < 2**53 else value


def _first_mistake(error: BaseException, path: tuple[str | int, ...] = ()) -> ScenarioError:
    """Return the first mistake of those that cattrs has found, with the path to it."""
    from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

    if isinstance(error, ClassValidationError):
        attributes, others = error.group_exceptions()
        if attributes:
            return _first_mistake(attributes[0][0], (*path, attributes[0][1].name))
        return _first_mistake(others[0], path)
    if isinstance(error, IterableValidationError):
        items, _ = error.group_exceptions()
        return _first_mistake(items[0][0], (*path, items[0][1].index))
    if isinstance(error, ForbiddenExtraKeysError):
        try:
            check_keys(sorted(error.extra_fields), [field.name for field in _fields(error.cl)])
        except InvalidValue as unknown:
            error = unknown
    if isinstance(error, InvalidValue):
        return error.within(*path)
    return error if isinstance(error, ScenarioError) else ScenarioError(str(error))


def _fields(kind: Any) -> Any:
    return attrs.fields(kind) if attrs.has(kind) else dataclasses.fields(kind)
