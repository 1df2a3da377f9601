"""Random fault schedules break no invariant; each known mutation is caught by them.

More of them: ``python -m tests.schedules --schedules 10000``.
"""

from __future__ import annotations

import os

import pytest

from streamlab.scenario import from_toml, to_toml
from tests.further import beyond

from .draw import draw
from .mutations import MUTATIONS
from .trial import run, shrunk, wrong

N_SCHEDULES = int(os.environ.get("STREAMLAB_SCHEDULES", "300"))
#: Schedules within which a mutation has to be caught.
ENOUGH = 200
#: Where some of them were caught, which is looked at first: for as long as schedules are drawn alike, it is enough.
CAUGHT_BY = {"history_always_from_0": 38, "dead_letter_by_multi": 17, "remove_unchecked": 118}


@pytest.mark.parametrize("part", beyond(3, range(10), "more seeds"))
def test_nothing_that_goes_wrong_breaks_an_invariant(part: int) -> None:
    """Kills, pauses, lost replies, poison, a server that is down …: right strategies survive all of it."""
    for seed in range(part, N_SCHEDULES, 10):
        scenario = draw(seed)
        found = wrong(scenario)
        if found:
            small = shrunk(scenario)
            found = wrong(small)
            pytest.fail(f"seed {seed}: {found[0]}\n{to_toml(small)}", pytrace=False)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known to go wrong does, and the invariants say so."""
    change = MUTATIONS[name](monkeypatch)
    for seed in dict.fromkeys([CAUGHT_BY.get(name, 0), *range(ENOUGH)]):
        scenario = draw(seed)
        found = wrong(change(scenario) if change else scenario)
        if found:
            rules = ", ".join(verdict.rule for verdict in found)
            print(f"{name}: caught by seed {seed}: {rules}\n{found[0]}")
            return
    pytest.fail(f"{name} was not caught within {ENOUGH} schedules")


@pytest.mark.parametrize("seed", range(0, 60, 6))
def test_the_same_seed_gives_the_same_bytes(seed: int) -> None:
    """Event by event, faults and all (I10); also from a scenario that went through a file."""
    scenario = draw(seed)
    one, other = run(scenario), run(from_toml(to_toml(scenario)))
    assert [e.to_json() for e in one.events] == [e.to_json() for e in other.events]
    assert one.final == other.final
