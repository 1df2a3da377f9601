"""``python -m streamlab``: the same as the command ``streamlab``."""

import gc
import os
import sys
from typing import NoReturn

if not __package__:  # run by its path, as a lab does: the package may be nowhere on Python's path
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _work() -> int:
    """Be a worker of a lab; return the exit status."""
    gc.disable()  # what is imported stays: to look through it again and again would be a tenth of a worker's start
    from streamlab.lab import worker

    gc.freeze()
    gc.enable()
    return worker.main()


def _end_at_once(status: int) -> NoReturn:
    """End this process without taking it apart, which would take a tenth of what it took to start."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> int:
    """Run what the arguments ask for; return the exit status."""
    # A lab's own programs do not go by way of the whole command, which takes longer to import.
    if sys.argv[1:] == ["worker"]:
        _end_at_once(_work())
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
