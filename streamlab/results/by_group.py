"""Which group's books an event belongs into, where a scenario has several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from streamlab.results.events import Event, EventLog
from streamlab.results.final_state import FinalState
from streamlab.scenario import Scenario
from streamlab.scenario.action import LAB, LAB_IN


class Routes:
    """Knows who is in which group.

    What a consumer tells concerns its group. What producers do, what befalls the server or the stream, and what is
    added by hand, concerns all. What is done to one group by hand has an actor that names it: see `Groups.by_hand`.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.names = tuple(scenario.groups)
        self._group_of = {name: group for group, names in scenario.groups.items() for name in names}
        self._group_of |= {scenario.groups.by_hand(group): group for group in self.names if len(self.names) > 1}

    def joined(self, consumer: str, group: str) -> None:
        """Note that a consumer has been added to a group."""
        self._group_of[consumer] = group

    def groups_of(self, event: Event) -> tuple[str, ...]:
        """Return the groups that an event concerns."""
        return self.groups_of_actor(event.actor)

    def groups_of_actor(self, name: str) -> tuple[str, ...]:
        """Return the groups that are concerned by what an actor does."""
        group = self._group_of.get(name)
        return self.names if group is None else (group,)

    def events_of(self, group: str, events: Iterable[Event]) -> EventLog:
        """Return the events that concern a group, as if there were no other."""
        log = EventLog()
        for event in events:
            if group in self.groups_of(event):
                log.append(as_alone(event))
        return log


def parts_of(
    scenario: Scenario, events: Iterable[Event], errors: Mapping[str, str], finals: Iterable[FinalState]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each group's name, and what is different of a run if there were no other group."""
    routes = Routes(scenario)
    for group, final in zip(routes.names, finals, strict=True):
        yield (
            group,
            {
                "scenario": scenario.of(group),
                "events": routes.events_of(group, events),
                "final": final,
                "finals": (),
                "errors": {name: why for name, why in errors.items() if group in routes.groups_of_actor(name)},
            },
        )


def as_alone(event: Event) -> Event:
    """Return an event as a scenario with one group would have it."""
    return event._replace(actor=LAB) if event.actor.startswith(LAB_IN) else event
