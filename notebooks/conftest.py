"""How pytest reads this folder (``pytest --nbval notebooks``)."""

from __future__ import annotations

from pathlib import Path

import pytest

#: Sources are not compared, having no outputs: tests/project/test_notebooks.py runs them.
collect_ignore = ["solutions"]


def pytest_configure(config: pytest.Config) -> None:
    # A figure's pixels differ from one matplotlib to the next; its alternative text, which is compared, does not.
    if getattr(config.option, "nbval_sanitize_with", "") is None:
        config.option.nbval_sanitize_with = str(Path(__file__).with_name("not_compared.cfg"))
