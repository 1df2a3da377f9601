"""What a consumer had as it died, the lab asks the server; which may be taken down at that very moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError

from streamlab.actors.events import DELIVERED
from streamlab.lab.carry_out import carry_out
from streamlab.lab.course import Course
from streamlab.results.events import EventLog
from streamlab.scenario import Scenario


class _Client:
    """One whose connection breaks when it is asked for the first time."""

    def __init__(self, breaks: Callable[[], object]) -> None:
        self.breaks, self.n_asked = breaks, 0

    async def xpending_range(self, *_: object) -> list[dict[str, Any]]:
        self.n_asked += 1
        if self.n_asked == 1:
            self.breaks()
            raise ConnectionError("Connection lost.")
        return [{"message_id": "1-0", "time_since_delivered": 5, "times_delivered": 1}]


@pytest.mark.parametrize("is_down", [True, False])
def test_a_server_that_is_taken_down_while_it_is_asked_is_asked_again(is_down: bool) -> None:
    """When it is there again. One that goes by itself is an error."""
    log = EventLog()

    async def main() -> None:
        stage: Any = SimpleNamespace()
        course = Course(Scenario(), stage, log, carry_out)
        up = course._outage.up

        def take_down() -> None:
            if is_down:
                up.clear()
                asyncio.get_running_loop().call_later(0.01, up.set)

        client = _Client(take_down)
        stage.answered = lambda ask: ask(client)
        await course._ask_and_bury("C1", asyncio.get_running_loop().time())

    if is_down:
        asyncio.run(main())
        assert [(event.kind, event.actor, event.id) for event in log] == [(DELIVERED, "C1", "1-0")]
    else:
        with pytest.raises(ConnectionError):
            asyncio.run(main())
