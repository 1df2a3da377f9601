"""Guarded processes that run a piece of code: started by themselves, or forked."""

from __future__ import annotations

import subprocess
import sys

from streamlab.servers.nursery import Nursery
from streamlab.servers.processes import GuardedProcess, guarded_popen

_FORKS = """
import sys
from streamlab.servers.nursery import fork_when_asked
def main():
    try:
        exec(sys.argv[1], {})
    except SystemExit as end:
        return end.code
    return 0
sys.exit(fork_when_asked(main))
"""
#: They end when they are dropped: not before this process does.
_nurseries: list[Nursery] = []


def nursery_of(code: str) -> Nursery:
    """Return a nursery whose children run the code."""
    return Nursery([sys.executable, "-c", _FORKS, code])


def by_itself(code: str) -> GuardedProcess:
    """Start a Python of its own."""
    pipe = subprocess.PIPE
    return guarded_popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe)


def forked(code: str) -> GuardedProcess:
    """Have a nursery of its own fork."""
    _nurseries.append(nursery_of(code))
    return _nurseries[-1].popen()


STARTS = {"by itself": by_itself, "forked": forked}
