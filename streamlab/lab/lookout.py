"""`Lookout`: what a lab knows of the run that it looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis.exceptions

from streamlab.lab.looker import Looker
from streamlab.results.recent import YOU, Recent
from streamlab.results.snapshot import Snapshot
from streamlab.results.stories import Story, place_now
from streamlab.scenario.action import LAB
from streamlab.servers.typed import typed_to

if TYPE_CHECKING:
    from streamlab.lab.live import LiveEngine
    from streamlab.lab.simulated import SimulatedEngine


class Lookout:
    """What the events of an engine's run come to so far, and what is to be seen of it now."""

    def __init__(self, engine: SimulatedEngine | LiveEngine, *, is_live: bool = False) -> None:
        self._engine = engine
        self._recent = Recent(engine.scenario, is_live=is_live)
        self._looker = Looker(engine.scenario)
        self._n_noted = self._n_typed = 0
        self._story = Story("")
        self._n_told = 0

    def read(self) -> Recent:
        """Bring the recent up to this moment."""
        engine, recent = self._engine, self._recent
        for consumer in engine.course.consumers.values():
            recent.joined(consumer)
        if recent.servers is not None:
            recent.servers.plan(engine.course.scenario)
        notes = engine.course.notes
        for n_events, at, text, reply in notes[self._n_noted :]:
            recent.read(engine.log, at, engine.origin, n_events)
            recent.note(at, LAB, text, reply)
        self._n_noted = len(notes)
        for typed in typed_to(engine.url, self._n_typed) if engine.url else ():
            if typed.at >= engine.origin:  # the server was there before the run
                recent.note(typed.at - engine.origin, YOU, typed.text, typed.reply)
            self._n_typed = typed.number
        recent.read(engine.log, engine.now, engine.origin)
        return recent

    def story(self, entry_id: str) -> tuple[str, ...]:
        """Tell what has happened to an entry, and where it is; nothing if there is none. Only what is new is read."""
        engine, recent = self._engine, self.read()
        if entry_id not in recent.ledger.added:
            return ()
        if self._story.entry_id != entry_id:
            self._story, self._n_told = Story(entry_id, engine.origin), 0
        for number in range(self._n_told, len(engine.log)):
            self._story.read(engine.log[number])
        self._n_told = len(engine.log)
        places = {group: place_now(entry_id, book.ledger) for group, book in recent.books.items()}
        where = [f"now{f', in {group}' if len(places) > 1 else ''}: {place}" for group, place in places.items()]
        return (*self._story.lines, *where)

    async def look(self, finished: bool) -> Snapshot:
        """Take a snapshot."""
        engine, recent = self._engine, self.read()
        course = engine.course

        async def look() -> Snapshot:
            return await course.stage.answered(
                lambda client: self._looker.look(
                    client, recent, engine.now, finished, course.pids(), is_down=course.is_down
                )
            )

        try:
            return await look()
        except redis.exceptions.ConnectionError:
            if not course.is_down:
                raise
        return await look()  # an outage began just now, and what is down is not asked
