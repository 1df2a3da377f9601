"""`EmbeddedServer`: a Redis within the process, for a machine that has none."""

from .divergences import DIVERGENCES, Divergence
from .server import EmbeddedServer

__all__ = ["DIVERGENCES", "Divergence", "EmbeddedServer"]
