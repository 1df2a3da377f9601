"""Every lesson in a browser alone, with stand-ins for what cannot be fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lite.lessons import kept_table, run_lessons, table_of

pytestmark = pytest.mark.browser


def test_each_cell_runs_or_fails_for_a_reason_that_the_page_gives(site: Path) -> None:
    """It looks into a figure, says what a page lacks, or needs a name of such a cell; docs/browser.md counts them."""
    lessons = list(run_lessons(site))
    assert [f"{ran.name} {fault}" for ran in lessons for fault in ran.faults] == []
    assert table_of(lessons) == kept_table(), "python -m tests.lite.lessons build/lite --write"
