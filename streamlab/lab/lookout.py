"""`Lookout`: what a lab knows of the run that it looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamlab.lab.looker import Looker
from streamlab.results.recent import LAB, Recent
from streamlab.results.snapshot import Snapshot

if TYPE_CHECKING:
    from streamlab.lab.live import LiveEngine
    from streamlab.lab.simulated import SimulatedEngine


class Lookout:
    """What the events of an engine's run come to so far, and what is to be seen of it now."""

    def __init__(self, engine: SimulatedEngine | LiveEngine) -> None:
        self._engine = engine
        self._recent = Recent(engine.scenario)
        self._looker = Looker(engine.scenario)
        self._n_noted = 0

    def read(self) -> Recent:
        """Bring the recent up to this moment."""
        engine, recent = self._engine, self._recent
        for consumer in engine.course.consumers.values():
            recent.joined(consumer)
        notes = engine.course.notes
        for n_events, at, text, reply in notes[self._n_noted :]:
            recent.read(engine.log, at, engine.origin, n_events)
            recent.note(at, LAB, text, reply)
        self._n_noted = len(notes)
        recent.read(engine.log, engine.now, engine.origin)
        return recent

    async def look(self, finished: bool) -> Snapshot:
        """Take a snapshot."""
        engine, recent = self._engine, self.read()
        course = engine.course
        return await self._looker.look(
            engine.client, recent, engine.now, finished, course.pids(), is_down=course.is_down
        )
