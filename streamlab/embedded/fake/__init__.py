"""fakeredis with its stream type taken out and the model put in: all that depends on fakeredis' insides.

fakeredis keeps the keys, their expiry, WATCH, MULTI, pub/sub and every type but streams. Commands on streams never
reach it: they go to the same grammar that a simulation uses. `contract` lists what of fakeredis is relied on.
"""

from .connections import AsyncConnection, SyncConnection
from .databases import StreamServer

__all__ = ["AsyncConnection", "StreamServer", "SyncConnection"]
