"""Verdicts on the exercises: right or not yet, in words, with a hint.

An exercise is checked by running what the learner made and looking at what happened, so that every answer
that does what was asked is right, not only the one that the author had in mind.

    checks.utilisation(my_scenario, 0.80)
"""

from __future__ import annotations

from streamlab.choice_checks import choices
from streamlab.claim_checks import heartbeat
from streamlab.dead_letter_checks import gives_up, puts_back
from streamlab.effect_checks import adds_once, books_once
from streamlab.grading import recovery
from streamlab.group_checks import pending_exactly, worker
from streamlab.invariants import examine, summary
from streamlab.model_checks import left_after_trim, tiny_group
from streamlab.number_checks import drain_time, enough_maxlen, fewest_consumers, most_producers
from streamlab.recovery_checks import left_behind, survives
from streamlab.run import Run
from streamlab.scenario_checks import assignment, in_a_row, share, utilisation
from streamlab.service_checks import alarms
from streamlab.stream_checks import bookmark, pages
from streamlab.takeover_checks import take_over
from streamlab.verdict import Verdict

# ---- failures and recovery ---------------------------------------------------------------------------


def invariants(run: Run) -> Verdict:
    """Check that a run breaks no invariant; tell the story of the first entry that breaks one.

    All of them, one by one: ``streamlab.invariants.examine(run.scenario, run.events, run.final)``.
    """
    return summary(examine(run.scenario, run.events, run.final))


__all__ = [
    "Verdict", "adds_once", "alarms", "assignment", "bookmark", "books_once", "choices", "drain_time",
    "enough_maxlen", "fewest_consumers", "gives_up", "heartbeat", "in_a_row", "invariants", "left_after_trim",
    "left_behind", "most_producers", "pages", "pending_exactly", "puts_back", "recovery", "share", "survives",
    "take_over", "tiny_group", "utilisation", "worker",
]  # fmt: skip
