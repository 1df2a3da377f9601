"""What becomes of a killed run's keys on a server that is somebody's: a program deletes them when the run has gone.

Whoever is killed by SIGKILL can tidy up nothing, as a notebook's kernel when it is restarted. So the run keeps a
`LastAct` informed, which then runs `main`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streamlab.lab.letterbox import SILENCE_MS
from streamlab.lab.ownership import OwnKeys
from streamlab.servers.client import stream_client
from streamlab.servers.processes import LastAct

#: Seconds that workers, which their guards kill, may take to be gone. They would write to the keys again.
_PATIENCE = 5.0
#: Seconds between two reports of what a run has added; and how many ids are told, of the first and of the last.
_EVERY = 0.5
_TOLD = 3


class Estate:
    """The keys of a run, in case it is killed. `url` may hold a password: it is told by a pipe."""

    def __init__(self, url: str, keys: OwnKeys) -> None:
        self._url = url
        self._keys = keys
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=_TOLD)
        self._told = ""
        self._due = 0.0
        program = Path(__file__).parents[1] / "__main__.py"
        self._last_act = LastAct([sys.executable, "-P", program, "estate"])

    def note_added(self, entry_id: str) -> None:
        """Note an entry that the run has added: by some of them its stream is known."""
        if len(self._first) < _TOLD:
            self._first.append(entry_id)
        self._last.append(entry_id)

    def keep_up(self, workers: Iterable[int], *, guests: Iterable[str] = (), now: bool = False) -> None:
        """Tell how things are, if it is time: which keys, and which processes write to them.

        `guests` are keys that are there as long as workers of other machines are.
        """
        if not now and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _EVERY
        keys = self._keys.to_dict([*self._first, *self._last])
        told = json.dumps({"url": self._url, "workers": list(workers), "guests": list(guests), "keys": keys})
        if told != self._told:
            self._last_act.tell(told)
            self._told = told

    def settle(self) -> None:
        """Leave nothing to be done: the run has deleted its keys itself."""
        self._last_act.call_off()


def main() -> int:
    """Delete the keys of a run that has gone; it is told on standard input."""
    line = sys.stdin.readline()
    if line.strip():  # or the run had no keys yet
        told = json.loads(line)
        deadline = time.monotonic() + _PATIENCE
        while any(map(_exists, told["workers"])) and time.monotonic() < deadline:
            time.sleep(0.02)
        asyncio.run(_delete(told))
    return 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is a stranger's by now
        return False
    return True


async def _delete(told: dict[str, Any]) -> None:
    async with stream_client(told["url"], name="streamlab-estate") as client:
        deadline = time.monotonic() + 4 * SILENCE_MS / 1000
        while told["guests"] and await client.exists(*told["guests"]) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        await OwnKeys.from_dict(client, told["keys"]).delete()
