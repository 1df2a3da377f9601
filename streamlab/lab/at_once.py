"""Do many things at once: in processes of this machine, by joblib, or by the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

R = TypeVar("R")

#: Seconds for which a process waits for more to do. It is gone within a minute if whoever started it was killed.
_IDLE: Final = 20
#: How what is to be done is given out, and comes back: in order. joblib need not look how long each takes.
_USUAL: Final = {"return_as": "generator", "pre_dispatch": "2*n_jobs", "batch_size": 1}


def in_order(
    do: Callable[..., R], calls: Iterable[tuple[Any, ...]], *, jobs: int = 1, dask: str | None = None
) -> Generator[R, None, None]:
    """Yield what a function returns of each of these arguments, in their order, whoever is done first.

    Close it, and nothing more is begun; what has been begun is waited for, since to end a process is to start another.

    Parameters
    ----------
    jobs
        How many processes; -1: as many as there are processors. With 1, all is done here.
    dask
        The address of a Dask scheduler: then all of its workers are used, and `jobs` means nothing.

    Raises
    ------
    ValueError
        If `jobs` makes no sense.
    ModuleNotFoundError
        If joblib, or Dask, is not installed: in words.
    """
    if jobs == 1 and dask is None:
        yield from (do(*arguments) for arguments in calls)
        return
    joblib = _needed("joblib", "joblib: pip install 'consumer-group-lab[jobs]'", jobs, dask)
    with tempfile.TemporaryDirectory(prefix="streamlab-") as folder:
        at_work = _AtWork(joblib, do, calls, jobs, dask, folder)
        try:
            yield from at_work.results()
        finally:
            at_work.end()


class _AtWork:
    """Processes that do things, for joblib in a thread of its own.

    joblib kills all of its processes with everything below them, guards included, as soon as something is raised in
    one of them, or here: it never sees that. Errors come back as values, and an interrupt is passed on to whoever is
    at work, who then tidies up.
    """

    def __init__(
        self,
        joblib: Any,
        do: Callable[..., R],
        calls: Iterable[tuple[Any, ...]],
        jobs: int,
        dask: str | None,
        folder: str,
    ) -> None:
        self._folder = Path(folder)
        self._is_over, self._has_ended = False, threading.Event()
        self._outcomes: queue.SimpleQueue[tuple[Any, BaseException | None] | None] = queue.SimpleQueue()

        def begun() -> Iterator[Any]:
            for arguments in calls:
                if self._is_over:
                    return
                yield joblib.delayed(_done)(do, arguments, None if dask is not None else folder)

        def work() -> None:
            try:
                with _parallel(joblib, jobs, dask) as parallel:
                    for outcome in parallel(begun()):
                        self._outcomes.put(outcome)
            except BaseException as error:  # joblib's own, or that of the calls
                self._outcomes.put((None, error))
            finally:
                self._outcomes.put(None)
                self._has_ended.set()

        threading.Thread(target=work, name="streamlab-at-once", daemon=True).start()

    def results(self) -> Iterator[Any]:
        try:
            while (outcome := self._outcomes.get()) is not None:
                result, error = outcome
                if error is not None:
                    raise error
                yield result
        except KeyboardInterrupt:
            self._interrupt()
            raise

    def end(self) -> None:
        """Let nothing more be begun, and wait for what has been."""
        self._is_over = True
        try:
            self._has_ended.wait()
        except KeyboardInterrupt:
            self._interrupt()
            self._has_ended.wait()
            raise

    def _interrupt(self) -> None:
        self._is_over = True
        for each in self._folder.iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(each.name), signal.SIGINT)


def _done(
    do: Callable[..., R], arguments: tuple[Any, ...], folder: str | None
) -> tuple[R | None, BaseException | None]:
    """Do it in another process, and return what came of it. A file in the folder says who is at work."""
    mark = None if folder is None else Path(folder, str(os.getpid()))
    try:
        if mark is not None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            mark.touch()
        return do(*arguments), None
    except BaseException as error:
        error.add_note(f"In process {os.getpid()}:\n{traceback.format_exc()}")
        return None, error
    finally:
        if mark is not None:
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # one that waits for more to do would end, and all others with it
            mark.unlink(missing_ok=True)


def check_jobs(jobs: object) -> None:
    """Raise a `ValueError` unless this is a number of processes."""
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs == 0:
        raise ValueError(f"jobs is {jobs!r}: give how many processes, or -1 for as many as there are processors")


@contextlib.contextmanager
def _parallel(joblib: Any, jobs: int, dask: str | None) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        how: dict[str, Any] = {"backend": "loky", "n_jobs": jobs, "idle_worker_timeout": _IDLE}
        if dask is not None:
            told = "dask.distributed, in the cluster's version: pip install distributed"
            distributed = _needed("distributed", told, jobs, dask)
            how = {"backend": "dask", "client": stack.enter_context(distributed.Client(dask, set_as_default=False))}
        with joblib.parallel_config(**how):
            parallel = joblib.Parallel(**_USUAL)
        yield parallel


def _needed(module: str, told: str, jobs: int, dask: str | None) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        asked, named = (f"jobs={jobs}", "jobs") if dask is None else (f"dask={dask!r}", "dask")
        raise ModuleNotFoundError(f"{asked} needs {told}; or leave {named} out", name=module) from None
