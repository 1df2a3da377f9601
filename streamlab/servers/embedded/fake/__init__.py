"""fakeredis with its stream type taken out and the model put in: all that depends on fakeredis' insides.

fakeredis keeps the keys, their expiry, WATCH, MULTI, pub/sub and every type but streams. Commands on streams never
reach it: they go to the same grammar that a simulation uses. `contract` lists what of fakeredis is relied on.
"""

from importlib import metadata

try:
    from .connections import AsyncConnection, SyncConnection
    from .databases import StreamServer
except ImportError as error:
    raise ImportError(
        f"the embedded server does not fit fakeredis {metadata.version('fakeredis')}, whose insides it uses "
        f"({error}): install streamlab again, which asks for one that fits"
    ) from error

__all__ = ["AsyncConnection", "StreamServer", "SyncConnection"]
