"""Do many things at once: in processes of this machine, by joblib, or by the workers of a Dask cluster."""

from __future__ import annotations

import collections
import contextlib
import importlib
from collections.abc import Callable, Generator, Iterable, Iterator
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
    is_over = False

    def begun() -> Iterator[Any]:
        for arguments in calls:
            if is_over:
                return
            yield joblib.delayed(do)(*arguments)

    joblib = _needed("joblib", "joblib: pip install 'consumer-group-lab[jobs]'", jobs, dask)
    with _parallel(joblib, jobs, dask) as parallel:
        results = parallel(begun())
        try:
            for result in results:  # noqa: UP028  (if this is closed, joblib's own generator has to go on)
                yield result
        finally:
            is_over = True
            collections.deque(results, maxlen=0)  # what has been begun is waited for


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
