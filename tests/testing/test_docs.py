"""What docs/testing.md lists is what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from streamlab.scenario.random_faults import RANDOM_FAULTS
from streamlab.testing import assert_survives
from streamlab.testing.calling import ROLES
from streamlab.testing.surviving import DEFAULTS

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text("utf-8")
ROWS = [[re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1]] for line in TEXT.splitlines() if "|" in line]


def test_the_parameters() -> None:
    """Each with all its names, in the order in which they are looked for."""
    told = {first[0]: (first[0], *others) for first, others, *_ in (row for row in ROWS if len(row) == 3) if first}
    assert {role: told[role] for role in ROLES if role in told} == dict(ROLES)


def test_the_faults_and_the_options() -> None:
    """Each kind by its name; each option that is not told of in the text before."""
    (kinds,) = (row[1] for row in ROWS if row and row[0] == ['faults="kill"'])
    assert sorted(kinds) == sorted(RANDOM_FAULTS)
    options = {name for name, p in inspect.signature(assert_survives).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert [name for name in options if f"{name}=" not in TEXT] == []
    defaults = {name: inspect.signature(assert_survives).parameters[name].default for name in DEFAULTS}
    assert defaults == DEFAULTS
