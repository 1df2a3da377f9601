"""A run as a file of JSON lines: a header, then an event a line. Written whole, and read only if it is whole.

A file whose name ends in ``.gz`` is compressed.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn

from streamlab.results.events import Event, EventLog, line_of
from streamlab.results.final_state import FinalState
from streamlab.results.statistics import Wait
from streamlab.results.whole_file import write_whole
from streamlab.scenario import from_dict, to_dict
from streamlab.scenario.values import located
from streamlab.version import __version__

#: So many events are written and read at once.
_AT_ONCE: Final = 1000
#: Makes a file a sixth as long; the levels above take much longer, for little. And what says that it is gzip's format.
_LEVEL, _GZIP = 4, 31


class RunFileError(ValueError):
    """A file that does not hold a run. The message says why."""


def save(path: Path, contents: Mapping[str, Any]) -> None:
    """Write what a `Run` is made of, by name: whole or not at all. Raises `OSError`."""
    events: EventLog = contents["events"]
    header = {"streamlab": __version__, "n_events": len(events), **contents}
    header["scenario"] = to_dict(contents["scenario"])
    header["final"] = dataclasses.asdict(contents["final"])
    header["finals"] = [dataclasses.asdict(final) for final in contents["finals"]]
    del header["events"]

    def lines() -> Iterator[bytes]:
        yield json.dumps(header).encode() + b"\n"
        rows = events.rows()
        while some := [line_of(*row) for row in islice(rows, _AT_ONCE)]:
            yield ("\n".join(some) + "\n").encode()

    write_whole(path, _compressed(lines()) if path.suffix == ".gz" else lines())


def _compressed(parts: Iterable[bytes]) -> Iterator[bytes]:
    compress = zlib.compressobj(_LEVEL, wbits=_GZIP)
    for part in parts:
        yield compress.compress(part)
    yield compress.flush()


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote: what a `Run` is made of, by name.

    Raises `RunFileError` if the file cannot be read, or does not hold a whole run.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = json.loads(file.readline(), parse_constant=_no_number)
            events = EventLog()
            while some := [line.decode() for line in islice(file, _AT_ONCE)]:
                for event in Event.from_lines(some):
                    events.append(event)
        return _checked(header, events)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RunFileError(f"{path} does not hold a run: {error}") from None
    except OSError as error:
        raise RunFileError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise RunFileError(f"{path} does not hold a run: {why[:300]}") from None


def _checked(header: Any, events: EventLog) -> dict[str, Any]:
    if not isinstance(header, dict):
        raise ValueError("its first line is no object")
    if "n_events" not in header:
        raise ValueError("it does not say how many events it has (an older streamlab wrote it)")
    if header["n_events"] != len(events):
        raise ValueError(f"it has {len(events)} of {header['n_events']} events: the rest is missing")
    if header["engine"] not in ("simulated", "live"):
        raise ValueError(f"engine is {header['engine']!r}")
    with located("scenario"):
        scenario = from_dict(header["scenario"])
    return {
        "scenario": scenario,
        "engine": header["engine"],
        "server": _of("server", header["server"], _is_text),
        "events": events,
        "final": _final(header["final"]),
        "wall": _of("wall", header["wall"], _is_seconds),
        "n_commands": _of("n_commands", header["n_commands"], _is_count),
        "n_round_trips": _of("n_round_trips", header["n_round_trips"], _is_count),
        "errors": _of("errors", header["errors"], _maps_to(_is_text)),
        "waits": _waits(header.get("waits", {})),  # older files have none
        "finals": _finals(header.get("finals", []), len(scenario.groups)),
    }


def _finals(found: Any, n_groups: int) -> tuple[FinalState, ...]:
    if not isinstance(found, list) or len(found) != n_groups - 1:
        raise ValueError(f"finals is {str(found)[:80]!r}, and the scenario has {n_groups} groups")
    return tuple(map(_final, found))


def _waits(found: Any) -> dict[str, Wait]:
    pairs = _of("waits", found, _maps_to(_is_wait))
    return {name: Wait(*pair) for name, pair in pairs.items()}


def _final(found: Any) -> FinalState:
    kinds: dict[str, Callable[[Any], bool]] = {
        "pending": _maps_to(_is_text),
        "undelivered": _is_list_of_texts,
        "first_id": _is_text,
        "length": _is_count,
        "dead_letters": _is_list_of_texts,
        "effects": _maps_to(_is_count),
        "pending_by": _maps_to(_is_count),
    }
    values: dict[str, Any] = {name: _of(name, found[name], kind) for name, kind in kinds.items()}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return FinalState(**values)


def _of(name: str, value: Any, kind: Callable[[Any], bool]) -> Any:
    if not kind(value):
        raise ValueError(f"{name} is {str(value)[:80]!r}")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= float(value) < math.inf


def _is_wait(value: Any) -> bool:
    return isinstance(value, list) and len(value) == len(Wait._fields) and all(map(_is_seconds, value))


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _maps_to(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(kind, value.values()))


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
