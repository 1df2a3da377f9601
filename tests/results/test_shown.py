"""What a scenario, a lab, a run, a snapshot and a comparison show of themselves: a table, the same in text and HTML."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from streamlab import Comparison, Lab, load_scenario
from streamlab.scenario.small_table import SmallTable, length

RUN = Lab("crash").run()


def lab_at(seconds: float) -> Lab:
    lab = Lab("crash")
    lab.run_until(seconds)
    return lab


SHOWN: dict[str, tuple[Any, str]] = {
    "scenario": (load_scenario("crash"), "crash: 5.00 s, seed 1, recovery"),
    "replay": (load_scenario("departures-day"), "departures-day: a replay, seed 1"),
    "run": (RUN, f"added 500 · processed 500 · acked 500 · lost 0 · duplicates {RUN.duplicates}"),
    "comparison": (Comparison(RUN, RUN), "crash: the two runs agree"),
    "snapshot": (lab_at(2.0).snapshot(), "at 2.00 s: "),
    "lab": (lab_at(2.0), "(simulated, at 2.00 s)"),
    "lab not begun": (Lab("crash", engine="live"), "(live, at 0.00 ms)"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_text_and_html_say_the_same(name: str) -> None:
    """Each line, the names of the columns, and each cell, in this order."""
    thing, words = SHOWN[name]
    table = thing.as_table()
    said = [*table.lines, *table.head, *(cell for row in table.rows for cell in row)]
    assert table.rows
    assert words in str(thing)
    html = re.findall(r"(?:<b>|<div>|<th[^>]*>|<td[^>]*>)([^<]*)</", thing._repr_html_())
    assert [unescape(cell) for cell in html] == said
    assert re.sub(r"\s+", "", str(thing)) == re.sub(r"\s+", "", "".join(said))


def test_what_can_go_wrong_is_told() -> None:
    """Faults that are planned, and what was done by hand."""
    lab = lab_at(1.0)
    lab.kill("C2")
    faults = [str(fault) for fault in load_scenario("crash").faults]
    assert lab.as_table().lines[1:] == [*faults, "kill C2 at 1s"]


def test_columns_stand_below_each_other() -> None:
    """The first to the left, the others to the right; and no markup comes from a name."""
    table = SmallTable(["<b>"], ("name", "n"), [("a<i>", "1,000"), ("bb", "2")])
    assert table.as_text() == "<b>\n\nname      n\na<i>  1,000\nbb        2"
    assert "<i>" not in table.as_html()
    assert table.as_html().count("<b>") == 1


def test_of_many_rows_the_first_are_shown() -> None:
    """And it is said how many more there are."""
    many = load_scenario("one-to-many").with_consumers(1000)
    assert len(many.as_table().rows) == 1001
    assert str(many).splitlines()[-1] == "… 982 more"
    assert str(many.with_consumers(19)).splitlines()[-1].startswith("C19 ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (float("nan"), "–"),
        (0.0021, "2.10 ms"),
        (0.9999, "999.90 ms"),
        (1.0, "1.00 s"),
        (90.0, "90.00 s"),
        (7200, "2.0 h"),
    ],
)
def test_lengths(seconds: float, text: str) -> None:
    """In the unit that suits them."""
    assert length(seconds) == text
