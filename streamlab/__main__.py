"""``python -m streamlab``: the same as the command ``streamlab``."""

import gc
import os
import stat
import sys
from typing import NoReturn

if not __package__:  # run by its path, as a lab does: the package may be nowhere on Python's path
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _be_worker(*, forks: bool) -> NoReturn:
    """Be a worker of a lab, or what all of them are forked from."""
    gc.disable()  # what is imported stays: to look through it again and again would be a tenth of a worker's start
    from streamlab.lab import worker
    from streamlab.servers.nursery import end_at_once, fork_when_asked

    def work() -> int:
        gc.enable()
        return worker.main()

    gc.freeze()
    end_at_once(fork_when_asked(work) if forks else work())


def main() -> int:
    """Run what the arguments ask for; return the exit status."""
    # A lab's own programs do not go by way of the whole command, which takes longer to import.
    if sys.argv[1:] == ["worker"]:
        _be_worker(forks=False)
    if sys.argv[1:] == ["workers"] and stat.S_ISSOCK(os.fstat(0).st_mode):
        _be_worker(forks=True)
    if sys.argv[1:] == ["estate"]:  # run when a lab has been killed
        from streamlab.lab import estate

        return estate.main()
    from streamlab.servers.stopping import Stopped, stopped_by_signals

    try:
        with stopped_by_signals():  # from now on: importing the rest is half of a short command
            from streamlab import cli

            status = cli.main()
            gc.freeze()  # what is left goes with the process: nobody has to look through it once more
            return status
    except Stopped as stopped:
        return stopped.tell()


if __name__ == "__main__":
    sys.exit(main())
