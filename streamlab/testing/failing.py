"""`ConsumerFailed`: what went wrong, under which schedule, the story of the first entry, and how to see it again."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from streamlab.checks.attempts import BY_ITSELF, name_of
from streamlab.checks.schedules import Schedule
from streamlab.checks.unexpected_ends import Diagnosis
from streamlab.results.run import Run
from streamlab.testing.trying import Trial

_ENTRY: Final = re.compile(r"\b\d+-\d+\b")
_NO_GROUP: Final = re.compile(r"NOGROUP No such key '(.*?)' or consumer group '(.*?)'")
_OWN_ERROR: Final = (
    "an error that a consumer lets pass ends it, as it would end a pod. Its traceback is above; catch what may happen, "
    "leave the entry pending, and go on."
)


class ConsumerFailed(AssertionError):
    """A consumer has lost, left or doubled something, or did not go on.

    Attributes
    ----------
    seed
        Of the schedule.
    words, hint, story
        What went wrong, what to think of, and what happened to the first entry that it befell.
    schedule
        What goes wrong in the smallest schedule that was found to fail in the same way.
    run
        Its run; None if it never came to an end.
    entry
        The id of the entry that it is about; "" if it is about none.
    """

    def __init__(self, consumer: Any, failed: Trial, drawn: Schedule, given: Mapping[str, Any]) -> None:
        assert failed.found is not None
        found = failed.found
        self.seed: int = drawn.scenario.seed
        self.words, self.hint, self.story = found.words, _hint(found, failed.schedule), found.story
        self.schedule, self.run = failed.schedule, failed.run
        in_words = _ENTRY.search(found.words)
        self.entry = in_words[0] if in_words else ""
        name = name_of(consumer)
        lines = [
            f"{name}, with seed {self.seed}: {self.words}",
            f"  Hint: {self.hint}",
            "",
            f"What goes wrong in this schedule ({_size(failed.schedule, drawn)}):",
            *(f"  - {line}" for line in failed.schedule.told()),
        ]
        if self.story:
            heading = () if self.story[0].endswith(":") else ("What happened to the entry:",)
            lines += [*heading, *(line if line.endswith(":") else f"  {line}" for line in self.story)]
        lines += ["To see it again:", *_again(name, self.seed, self.entry, self.run, given)]
        super().__init__("\n".join(lines))


def _hint(found: Diagnosis, schedule: Schedule) -> str:
    """Return the hint; of an error in words that fit a program of one's own."""
    if found.error is None:
        return found.hint
    scenario = schedule.scenario
    if (of := _NO_GROUP.search(str(found.error))) and of.groups() != (scenario.stream, scenario.group):
        return (
            f"the trial's stream is {scenario.stream!r} and its group {scenario.group!r}. Ask for them by parameters, "
            f"stream and group; or say assert_survives(…, stream={of[1]!r}, group={of[2]!r})."
        )
    return _OWN_ERROR if found.hint == BY_ITSELF else found.hint


def _size(schedule: Schedule, drawn: Schedule) -> str:
    """Return how much of what was drawn is left."""
    small, whole = schedule.scenario, drawn.scenario
    parts = {
        "faults": (len(small.faults), len(whole.faults)),
        "entries": (small.entries or 0, whole.entries or 0),
        "consumers": (len(small.consumers), len(whole.consumers)),
    }
    told = ", ".join(f"{left} of {of} {what}" for what, (left, of) in parts.items() if of)
    return told if schedule == drawn else f"as small as it gets: {told}"


def _again(name: str, seed: int, entry: str, run: Run | None, given: Mapping[str, Any]) -> list[str]:
    """Return what to type."""
    called = name if name.isidentifier() else "…"
    options = "".join(f", {what}={_written(value)}" for what, value in given.items())
    lines = []
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if test and "pytest" in sys.modules:  # and not in a process that a test has started, such as a notebook's
        lines.append(f'  pytest "{test}" --streams-seed {seed}')
    lines.append(f"  assert_survives({called}, seed={seed}, schedules=1{options})")
    if run is not None:
        again = f"({called}, seed={seed}{options})"
        about = f', "{entry}"' if entry else ""
        lines += [
            "As a picture, and in the control panel of a notebook:",
            "  from streamlab import Panel, plots; from streamlab.testing import replay, replay_lab",
            f'  plots.recovery(replay{again}{about}).savefig("seed-{seed}.png")',
            f"  Panel(replay_lab{again})",
        ]
    return lines


def _written(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if callable(value):
        return name_of(value) if name_of(value).isidentifier() else "…"
    text = repr(value)
    return text if len(text) <= 60 else "…"
