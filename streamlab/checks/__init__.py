"""Verdicts on the exercises: right or not yet, in words, with a hint.

An exercise is checked by running what the learner made and looking at what happened, so that every answer
that does what was asked is right, not only the one that the author had in mind.

    checks.utilisation(my_scenario, 0.80)
"""

from __future__ import annotations

from streamlab.checks.choices import choices
from streamlab.checks.claims import heartbeat
from streamlab.checks.dead_letters import gives_up, puts_back
from streamlab.checks.effects import adds_once, books_once
from streamlab.checks.grading import recovery
from streamlab.checks.groups import pending_exactly, worker
from streamlab.checks.models import left_after_trim, tiny_group
from streamlab.checks.numbers import (
    consumers_needed,
    drain_time,
    enough_consumers,
    enough_maxlen,
    fewest_consumers,
    most_producers,
)
from streamlab.checks.recoveries import left_behind, survives
from streamlab.checks.restoring import asks_for_copy, restores
from streamlab.checks.scenarios import assignment, in_a_row, share, utilisation
from streamlab.checks.services import alarms
from streamlab.checks.sharding import same_shard, takes_lease
from streamlab.checks.streams import bookmark, pages
from streamlab.checks.takeovers import take_over
from streamlab.results.invariants import summary
from streamlab.results.run import Run
from streamlab.results.verdict import Verdict

# ---- failures and recovery ---------------------------------------------------------------------------


def invariants(run: Run) -> Verdict:
    """Check that a run breaks no invariant; tell the story of the first entry that breaks one.

    All of them, one by one: ``run.verdicts``.
    """
    return summary(run.verdicts)


__all__ = [
    "Verdict", "adds_once", "alarms", "asks_for_copy", "assignment", "bookmark", "books_once", "choices",
    "consumers_needed", "drain_time", "enough_consumers", "enough_maxlen", "fewest_consumers", "gives_up", "heartbeat",
    "in_a_row", "invariants", "left_after_trim", "left_behind", "most_producers", "pages", "pending_exactly",
    "puts_back", "recovery", "restores", "same_shard", "share", "survives", "take_over", "takes_lease", "tiny_group",
    "utilisation", "worker",
]  # fmt: skip
