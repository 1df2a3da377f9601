"""`Groups`: who is in which consumer group of a scenario; and which actions are about one of them.

Each group is given every entry of the stream, has its own position and its own list of what is pending, and knows
nothing of the others. So what happened in a run with several groups is looked at group by group, as if each had been
alone: `Scenario.of`, `Run.of`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import attrs

from streamlab.scenario.action import LAB, LAB_IN, Action, ActionError
from streamlab.scenario.actions import AddConsumer
from streamlab.scenario.values import ScenarioError, choose_from


class Groups(dict[str, tuple[str, ...]]):
    """The names of each group's consumers, by the name of the group; the group of the first consumer first.

    Made of pairs: a consumer's name, and its group's.
    """

    def __init__(self, members: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        for name, group in members:
            self[group] = (*self.get(group, ()), name)

    def group_of(self, consumer: str) -> str:
        """Return the group that a consumer is in."""
        return next(group for group, names in self.items() if consumer in names)

    def check(self, group: str) -> None:
        """Raise `ScenarioError` if there is no such group."""
        if group not in self:
            raise ScenarioError(f"there is no group {group!r}: {choose_from(group, self)}")

    def by_hand(self, group: str) -> str:
        """Return the actor of an event that was caused by hand, and concerns one group only."""
        return LAB if len(self) == 1 else f"{LAB_IN}{group}"

    def only(self, asked: str) -> str:
        """Return the one group that there is; raise `ScenarioError` if there are several: `asked` is what to write."""
        if len(self) > 1:
            which = " or ".join(asked.format(repr(group)) for group in self)
            raise ScenarioError(f"there are {len(self)} groups, and this is about one of them: write {which}")
        return next(iter(self))


def check_group(action: Action[Any], groups: Groups) -> None:
    """Require that an action that is about one group says which, and that there is such a one; raise `ActionError`."""
    if not hasattr(action, "group"):
        return
    consumer = getattr(action, "consumer", None)
    if action.group is None:
        if consumer is None and len(groups) > 1 and not isinstance(action, AddConsumer):
            which = " or ".join(f"in {group}" for group in groups)
            raise ActionError(f"{action.word}: there are {len(groups)} groups: say {which}")
    elif action.group not in groups:
        raise ActionError(f"{action.word}: there is no group {action.group!r}: {choose_from(action.group, groups)}")
    elif consumer is not None and consumer not in groups[action.group]:
        raise ActionError(f"{action.word}: {consumer} is in {groups.group_of(consumer)}, not in {action.group}")


def actions_of(actions: Iterable[Action[Any]], group: str, others: Collection[str]) -> tuple[Action[Any], ...]:
    """Return those of some actions that are about a group, or about all; `others` are the consumers of other groups."""
    kept = []
    for action in actions:
        whom = getattr(action, "consumer", None) or getattr(action, "target", None)
        which = getattr(action, "group", None)
        if whom not in others and which in (None, group):
            kept.append(action if which is None else attrs.evolve(action, group=None))  # type: ignore[call-arg]
    return tuple(kept)
