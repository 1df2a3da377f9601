"""Runs of every kind leave nothing behind; and what looks for it would find it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streamlab.lab.lab import Lab
from streamlab.servers.processes import GuardedFolder
from tests.leftovers import SHORT, ground, kinds, run_all

pytestmark = [pytest.mark.real_time("looks at all processes and folders of the machine"), pytest.mark.redis]


def test_runs_leave_nothing(tmp_path: Path) -> None:
    """A few of those that ``python -m tests.leftovers`` makes, of each engine, and ended in each way."""
    assert run_all(10, 4, tmp_path) == {}


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_failover_leaves_nothing(tmp_path: Path, is_closed: bool) -> None:
    """No server, Sentinel or worker: neither at the end nor if the lab is closed while nobody is primary."""
    scenario = SHORT.replace(replicas=1, replication_delay=0.1, sink="none").with_faults("failover at 200ms")
    with ground(tmp_path) as here:
        with Lab(scenario, engine="live") as lab:
            lab.play()
            lab.wait_until(lambda now: lab.recent.ledger.outages if is_closed else now.finished)
        assert here.look() == {}


def test_each_kind_of_leftover_is_found(tmp_path: Path) -> None:
    """A process, a folder, a key, a client, a thread, a file handle: each is found for what it is, and only that."""
    with ground(tmp_path) as here:
        assert here.look() == {}
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
            assert list(here.look()) == ["processes"]
            process.kill()
        with open(os.devnull):
            assert here.look() == {"handles": 1}
        here.client.set("key", "1")
        assert here.look() == {"keys": ["key"]}
        here.client.delete("key")
        logging.getLogger("asyncio").error("never retrieved")
        assert here.look() == {"complaints": ["never retrieved"]}
        here.clear()
        end = threading.Event()
        thread = threading.Thread(target=end.wait, name="forgotten")
        thread.start()
        assert here.look() == {"threads": ["forgotten"]}
        end.set()
        thread.join()
        folder = GuardedFolder()
        assert here.look()["files"] == [folder.path.name]
        folder.close()
        assert here.look() == {}


def test_there_is_a_run_of_each_kind() -> None:
    """All engines, by the shell and in this process, and each way to end."""
    assert len(kinds()) == len(set(kinds())) == (5 + 3) * (4 + 4 + 3)
    assert {"SIGKILL", "SIGINT", "finished", "closed"} <= {kind.end for kind in kinds()}
    assert all(hasattr(signal, kind.end) for kind in kinds() if kind.end.startswith("SIG"))
