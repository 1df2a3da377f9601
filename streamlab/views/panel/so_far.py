"""The run of a lab that goes on, as far as its events tell: the server is not asked, which may be down."""

from __future__ import annotations

from streamlab.lab.lab import Lab
from streamlab.lab.simulated_server import name_of_model
from streamlab.results.final_state import FinalState
from streamlab.results.run import Run


def run_so_far(lab: Lab) -> Run:
    """Return the run up to this moment, to be played back; the lab goes on."""
    recent = lab.recent
    pending = {entry_id: delivery.consumer for entry_id, delivery in recent.ledger.pending.items()}
    return Run(
        scenario=lab.scenario.replace(by_hand=lab.actions),
        engine=lab.engine,
        server=name_of_model(lab.scenario) if lab.engine == "simulated" else "a Redis server",
        events=recent.events(),
        final=FinalState(pending=pending),
    )
