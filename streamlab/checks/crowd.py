"""Another program of a group, which holds many entries and is working on them: so the list of pending ones is long."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, Final

from streamlab.checks.consumer_watch import Watch
from streamlab.lab.simulated import SimulatedEngine
from streamlab.results.final_state import FinalState
from streamlab.results.verdict import Objection

NAME: Final = "night-shift"
#: Seconds between two heartbeats.
_BEAT: Final = 0.05


class Crowd:
    """The entries of `NAME`, the oldest of the stream; renewed until all others are done.

    They are none of the scenario's: what is taken of them is objected to, and nothing else is said about them.
    """

    def __init__(self, engine: SimulatedEngine, watch: Watch, n_entries: int) -> None:
        self._engine, self._watch = engine, watch
        self._scenario = scenario = engine.scenario
        pipe = engine.client.pipeline(transaction=True)
        for number in range(n_entries):
            pipe.xadd(scenario.stream, {"producer": NAME, "n": number})
        pipe.xreadgroup(scenario.group, NAME, {scenario.stream: ">"})
        *ids, _ = engine.call(pipe.execute())
        self._ids: list[str] = ids
        self._task = engine.loop.create_task(self._hold(), name=NAME)

    async def _hold(self) -> None:
        """Renew all entries, until nothing else is left to do; object if one was taken."""
        client, scenario = self._engine.client, self._scenario
        while True:
            rows: Any = await client.xpending_range(scenario.stream, scenario.group, "-", "+", len(self._ids), NAME)
            mine = [row["message_id"] for row in rows]
            if len(mine) < len(self._ids):
                gone = next(entry_id for entry_id in self._ids if entry_id not in set(mine))
                self._watch.refuse(
                    Objection(
                        f"Entry {gone} was taken from {NAME}, another program of the group, which was working on it "
                        f"and renewed it every {_BEAT:g} s.",
                        "take over only what has been idle for longer: min-idle has to exceed the longest time for an "
                        "entry, or the pause between two heartbeats.",
                    )
                )
                return
            pending: Any = await client.xpending(scenario.stream, scenario.group)
            if self._is_all_over() and pending["pending"] == len(mine):
                await client.xack(scenario.stream, scenario.group, *mine)
                return
            await client.xclaim(scenario.stream, scenario.group, NAME, 0, mine, justid=True)
            await asyncio.sleep(_BEAT)

    def _is_all_over(self) -> bool:
        """Return whether all entries of the scenario have been added and delivered."""
        stream: Any = self._engine.server.commands.keys[self._scenario.stream]
        n_added = len(stream) - len(self._ids)
        group = stream.groups[self._scenario.group]
        return n_added == self._scenario.entries and bool(group.last_id == stream.last_id)

    def without(self, final: FinalState) -> FinalState:
        """Return what the server held in the end but for the crowd's."""
        pending = {i: name for i, name in final.pending.items() if name != NAME}
        return dataclasses.replace(final, pending=pending, pending_by={})
