"""A scenario as it is shown: who does what how fast, for how long, and what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamlab.scenario.small_table import SmallTable, length

if TYPE_CHECKING:
    from streamlab.scenario.scenario import Scenario


def table_of(scenario: Scenario) -> SmallTable:
    """Return a scenario as a small table."""
    until = [f"{scenario.entries:,} entries"] if scenario.entries is not None else []
    until += [length(scenario.duration)] if scenario.duration is not None else []
    ends, recovery = " or ".join(until) or "a replay", scenario.recovery.strategy
    lines = [f"{scenario.name}: {ends}, seed {scenario.seed}, recovery {recovery}"]
    lines += [action.in_short() for action in scenario.actions]
    rows = [(producer.name, producer.arrivals.in_words()) for producer in scenario.producers]
    for group, names in scenario.groups.items():
        of = f", group {group}" if len(scenario.groups) > 1 else ""
        rows += [(c.name, c.service.in_words() + of) for c in scenario.consumers if c.name in names]
    return SmallTable(lines, ("actor", "pace"), rows)
