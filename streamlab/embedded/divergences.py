"""What is still different from a real server, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Divergence:
    """One known difference between the embedded server and a real one of the same version."""

    what: str
    """The command or the subject."""
    real: str
    """What a real server does."""
    embedded: str
    """What the embedded server does."""
    try_it: tuple[str, ...] = ()
    """Commands whose last reply shows it, if commands can."""


DIVERGENCES: tuple[Divergence, ...] = ()
