"""What the tests of the site for a browser alone share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Path:
    return Path(request.config.getoption("--lite"))
