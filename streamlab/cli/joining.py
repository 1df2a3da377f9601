"""``streamlab worker --join``: part of a live run that is led from elsewhere."""

from __future__ import annotations

from streamlab.scenario import ScenarioError


def join_run(url: str | None, run: str | None, consumer: str | None, group: str | None) -> int:
    """Take part in a run; or do the task that a lab writes to standard input. Return the exit status."""
    if url is None and run is None and consumer is None and group is None:
        from streamlab.lab import worker

        return worker.main()
    if url is None or run is None:
        raise ScenarioError("joining a run takes both: --join URL, its server, and --run NAME, as it was opened")
    from streamlab.lab.joining import join

    return join(url, run, consumer=consumer, group=group)
