"""What the soak has to find: known mistakes, each made in the workers of one group, or in the producers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from streamlab.actors import Recovery, producing
from streamlab.actors.work import Work
from tests.schedules.mutations import ack_before_effect
from tests.soak.plan import AnyWorker


@dataclass(frozen=True)
class Mutation:
    """A mistake: in whom it is made, which of the figures tells, and how it is made; in the code, or as a setting."""

    who: tuple[str, ...]
    tells: str
    code: Callable[[pytest.MonkeyPatch], object] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def spoil(self, worker: AnyWorker) -> AnyWorker:
        """Make the mistake, if this worker is one of those that it is for."""
        if worker.name not in self.who:
            return worker
        if self.code is not None:
            self.code(pytest.MonkeyPatch())
        return dataclasses.replace(worker, **self.settings)


def resend_without_looking(patch: pytest.MonkeyPatch) -> None:
    """Add an entry again when the reply was lost, without a look whether it is there."""

    async def find(*args: Any) -> str:
        return ""

    patch.setattr(producing, "_find", find)


def never_claim(patch: pytest.MonkeyPatch) -> None:
    """Leave alone what others left."""

    async def look_around(self: Work, count: int) -> None:
        await self.settle()

    patch.setattr(Work, "look_around", look_around)


MUTATIONS: Final = {
    "ack-before-effect": Mutation(("A1", "A2"), "lost", ack_before_effect),
    "never-claim": Mutation(("C1", "C2"), "pending", never_claim),
    "no-history": Mutation(("E1", "E2"), "pending", settings={"recovery": Recovery("restart", history=False)}),
    # Less time than an entry takes.
    "min-idle-too-short": Mutation(("R2",), "unexplained", settings={"min_idle": 0.005}),
    "resend-without-looking": Mutation(("P1", "P2"), "added_twice", resend_without_looking),
}
