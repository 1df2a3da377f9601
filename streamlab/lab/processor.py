"""`ProcessorWaits`: how long this process was ready to go on, while others had the processor."""

from __future__ import annotations

import asyncio
import os

#: Seconds by which any timer may be late: nobody has waited for a processor for that.
_TIMERS_OWN = 0.001


class ProcessorWaits:
    """Measures how long this process waits for a processor.

    Linux counts that (the second number of ``/proc/self/schedstat``), and it is asked at each `note`; everywhere, a
    timer that is late tells of it, also of what a virtual machine is kept waiting for by others. `sleep` is to be used
    instead of `asyncio.sleep`: an event loop that has one lends it to its actors.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self.longest = 0.0
        self._was_stopped = False
        try:
            self._file = os.open("/proc/self/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1
        self._counted = self._count()

    async def sleep(self, seconds: float) -> None:
        """Sleep, and note how late that ended."""
        time = asyncio.get_running_loop().time
        due = time() + seconds
        await asyncio.sleep(seconds)
        late = time() - due
        self.note(late if late > _TIMERS_OWN and not self._was_stopped else 0.0)
        self._was_stopped = False

    def note(self, late: float = 0.0) -> None:
        """Note how long this process has waited since the last time; a timer says that it was so many seconds."""
        before, self._counted = self._counted, self._count()
        waited = max(self._counted - before, late)
        self.total += waited
        self.longest = max(self.longest, waited)

    def note_stopped(self) -> None:
        """Take note that this process goes on after a SIGSTOP: its timers are late, and it has waited for nobody."""
        self._was_stopped = True

    def _count(self) -> float:
        """Return the seconds waited so far, as far as Linux counts them."""
        return int(os.pread(self._file, 100, 0).split()[1]) / 1e9 if self._file >= 0 else 0.0
