"""The certificate as it is printed: one page, of either size of paper, with all of it inside its frame."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamlab.learner.certificate import write_certificate
from streamlab.learner.exercises import Exercise, Lesson
from streamlab.learner.progress import Progress
from tests import browser

pytestmark = pytest.mark.browser


def test_it_fits_on_one_page(tmp_path: Path) -> None:
    """Also with more lessons than there are, and a name that takes several lines."""
    names = [f"{number:02}_lesson" for number in range(1, 18)]
    lessons = tuple(Lesson(name, f"A lesson: {name}", (Exercise(name, 1, ""),)) for name in names)
    done = {f"{name}/1": datetime(2026, 11, 3, tzinfo=UTC) for name in names[:9]}
    page_of = tmp_path / "certificate.html"
    write_certificate(Progress(lessons, done), " ".join(["Maximiliane"] * 9), page_of)
    with browser.open_page(page_of.as_uri()) as page:
        for paper in ("A4", "Letter"):
            assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format=paper))) == 1
        over = page.evaluate("() => (e => e.scrollHeight - e.clientHeight)(document.querySelector('.inner'))")
        assert over <= 0
