"""The command ``streamlab``.

`app` declares the commands and their options, and imports nothing that takes long: what a command does is imported
when it is run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from streamlab.cli import app
from streamlab.cli.terminal import make_outputs_safe
from streamlab.cli.waited import waited
from streamlab.servers.stopping import Stopped, stopped_by_signals


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    It is 0; 1 if an invariant is broken or the engines differ; 2 for wrong use; 3 if something is still pending that
    the recovery should have dealt with; and 128 + the signal's number if one has stopped the command.
    """
    waited.begin()
    make_outputs_safe()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        with stopped_by_signals():
            status = app.call(arguments)
        sys.stdout.flush()
        return status
    except typer.TyperException as error:
        return _complain(app.one_line(error, arguments), 2)
    except BrokenPipeError:  # the reader (`| head`) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Stopped as stopped:
        return stopped.tell()
    except Exception as error:
        status = _status_of(error)
        if status == 0:
            raise
        return _complain(str(error), status)


def _status_of(error: Exception) -> int:
    """Return the exit status for an error that is told in one line; 0 for one that is a bug."""
    import redis.exceptions

    from streamlab.lab.errors import LabError
    from streamlab.results.run import RunFileError
    from streamlab.scenario import ScenarioError
    from streamlab.scenario.replay import ReplayError
    from streamlab.servers.client import ServerUnusable
    from streamlab.servers.programs import ServerStartError
    from streamlab.working_copy import WorkingCopyError

    if isinstance(
        error, ScenarioError | ReplayError | RunFileError | ServerUnusable | ServerStartError | WorkingCopyError
    ):
        return 2  # the caller's to correct
    # OSError: no more file handles, a full disk …
    return 1 if isinstance(error, LabError | redis.exceptions.RedisError | OSError) else 0


def _complain(words: str, status: int) -> int:
    print(f"streamlab: {' '.join(words.split())}", file=sys.stderr)
    return status
