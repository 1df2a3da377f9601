"""A course and laboratory for Redis Streams consumer groups."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from streamlab.shared_servers import close_servers, connect, connect_async

__all__ = ["close_servers", "connect", "connect_async"]


def __getattr__(name: str) -> object:
    """Import on demand: the command and the workers need none of it."""
    if name in __all__:
        from streamlab import shared_servers

        return getattr(shared_servers, name)
    raise AttributeError(f"module 'streamlab' has no attribute {name!r}")
