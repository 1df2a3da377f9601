"""fakeredis with its stream type taken out and the model put in: all that depends on fakeredis' insides.

fakeredis keeps the keys, their expiry, WATCH, MULTI, pub/sub and every type but streams. Commands on streams never
reach it: they go to the same grammar that a simulation uses. `contract` lists what of fakeredis is relied on.
"""

from importlib import metadata


def _refuse_what_does_not_fit() -> None:
    """Look into a fakeredis that was not tried: what reads as before does as before."""
    from . import contract

    if ".".join(_VERSION.split(".")[:2]) not in contract.TRIED and (changes := contract.changes()):
        raise ImportError(changes[0])


_VERSION = metadata.version("fakeredis")
try:
    _refuse_what_does_not_fit()
    from .connections import AsyncConnection, SyncConnection
    from .databases import StreamServer
except ImportError as error:
    raise ImportError(
        f"the embedded server does not fit fakeredis {_VERSION}, whose insides it uses ({error}): "
        "pip install 'fakeredis<2.42'"
    ) from error

__all__ = ["AsyncConnection", "StreamServer", "SyncConnection"]
