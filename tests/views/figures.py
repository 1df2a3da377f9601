"""Runs that are written down, and what is read off their figures."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

from streamlab.results.events import Event, EventLog
from streamlab.results.run import FinalState, Run
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers


def written(*rows: tuple[Any, ...], n_consumers: int = 2, n_producers: int = 1) -> Run:
    """Return a run with these events: time, kind, actor, number of the entry, delivery count."""
    events = [
        Event(at, kind, actor, f"{rest[0]}-0" if rest else "", rest[1] if len(rest) > 1 else 0)
        for at, kind, actor, *rest in rows
    ]
    scenario = Scenario(
        name="written", producers=producers(n_producers, Arrivals()), consumers=consumers(n_consumers, Service())
    )
    return Run(scenario, "simulated", "a test", EventLog.of(events), FinalState())


def story(number: int, consumer: str, *at: float, producer: str = "P1") -> list[tuple[Any, ...]]:
    """Return the rows of an entry that is added, delivered, processed and acked at these times."""
    kinds = ("added", "delivered", "processed", "acked")
    actors = (producer, consumer, consumer, consumer)
    return [
        (when, kind, actor, number, int(kind == "delivered"))
        for when, kind, actor in zip(at, kinds, actors, strict=False)
    ]


def only_axes(figure: Any) -> Any:
    (ax,) = figure.axes
    return ax


def title(figure: Any) -> str:
    text: str = only_axes(figure).get_title(loc="left").replace("\n", " ")
    return text


def recording_of(page: str) -> dict[str, Any]:
    """Return what a page holds that plays a run."""
    (data,) = re.findall(r'id="recording">(.*)</script>', page)
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(data)))
    return found
