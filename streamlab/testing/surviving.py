"""`assert_survives`: fail unless a consumer comes through random schedules of faults with everything done."""

from __future__ import annotations

from typing import Any, Final

from streamlab.testing.asked import ASKED
from streamlab.testing.failing import ConsumerFailed
from streamlab.testing.plan import Faults, Payload, plan
from streamlab.testing.trying import first_failure

DEFAULTS: Final[dict[str, Any]] = {
    "faults": None, "version": "7.0.15", "entries": 200, "poison": False, "handler": None, "stream": "orders",
    "group": "workers",
}  # fmt: skip


def assert_survives(
    consumer: Any,
    *,
    schedules: int = 200,
    seed: int = 1,
    faults: Faults | None = None,
    version: str | tuple[int, ...] = "7.0.15",
    entries: int | Payload = 200,
    poison: bool = False,
    handler: Any = None,
    stream: str = "orders",
    group: str = "workers",
    jobs: int = 1,
    dask: str | None = None,
) -> None:
    """Run a consumer under random schedules of faults, in virtual time; fail if it loses, leaves or doubles anything.

    In each schedule, four of it share the entries of a stream. They are killed, stand still, lose replies and
    connections; the server goes away, the group is destroyed. Some of the dead are started again, others are not.

    Parameters
    ----------
    consumer
        An async function, or anything that returns a coroutine when it is called: once for each life. Its parameters
        are filled by their names: ``client`` (a ``redis.asyncio.Redis`` of text) or ``connect`` (which makes one),
        ``stream``, ``group``, ``consumer``, ``handler`` and ``stop`` (an `asyncio.Event`). One that asks for no client
        makes its own: any ``redis.asyncio.Redis(…)`` or ``from_url(…)`` reaches the simulation meanwhile. One that does
        not ask for ``stop`` is cancelled when it is to end.
    handler
        The async function that does the work for an entry, if that is not the parameter ``handler``: it is replaced by
        the trial's own, wherever it is found by its name. Entries are recognised by their id or their fields.
    schedules, seed
        How many schedules, and the seed of the first; a failure tells its own.
    faults
        Kinds to draw from (``"kill"``, ``["lost-reply", "server-down"]``), or faults to the letter
        (``["crash-before-ack C2 nth 5"]``); all, if not given, in ten kinds of schedules which come in turn.
    version
        The version of Redis that the simulated server behaves as.
    entries
        How many; or what they hold: a list of dicts, or a function of the entry's number that returns one.
    poison
        Whether there are entries that kill whatever touches them.
    stream, group
        Where entries come from, for a consumer that does not ask for it.
    jobs
        How many processes to use, -1 for as many as there are processors; needs joblib (``consumer-group-lab[jobs]``).
        The verdict is the same.
    dask
        The address of a Dask scheduler, whose workers are used instead; needs ``dask.distributed`` as well.

    Raises
    ------
    ConsumerFailed
        An `AssertionError` which tells of the first schedule that went wrong, made as small as it gets.
    TypeError, ValueError
        If the consumer cannot be called, or what was asked for makes no sense.
    """
    __tracebackhide__ = True
    given = {
        "faults": faults, "version": version, "entries": entries, "poison": poison, "handler": handler,
        "stream": stream, "group": group,
    }  # fmt: skip
    schedules = schedules if ASKED.schedules is None else ASKED.schedules
    jobs, dask = jobs if ASKED.jobs is None else ASKED.jobs, dask if ASKED.dask is None else ASKED.dask
    if schedules < 1:
        raise ValueError(f"schedules is {schedules!r}: give a whole number of at least 1")
    seeds = range(seed, seed + schedules) if ASKED.seed is None else [ASKED.seed]
    planned = plan(faults=faults, version=version, entries=entries, poison=poison, stream=stream, group=group)
    failed = first_failure(consumer, handler, planned, seeds, jobs=jobs, dask=dask)
    if failed is not None:
        drawn = planned.schedule(failed.schedule.scenario.seed)
        others = {name: value for name, value in given.items() if value is not DEFAULTS[name]}
        assert failed.found is not None
        raise ConsumerFailed(consumer, failed, drawn, others) from failed.found.error
