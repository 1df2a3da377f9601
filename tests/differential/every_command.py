"""Every command that a server has, as the server itself describes it, with arguments that make sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .wire import Connection

Words = tuple[str, ...]

KEYS = {
    "string": "text",
    "bitmap": "text",
    "list": "list",
    "set": "set",
    "sorted-set": "sorted",
    "hash": "hash",
    "stream": "stream",
    "hyperloglog": "log",
    "geo": "places",
}
"""Of a command's group, the key that it is tried with; another one for the rest."""
PREPARED: tuple[str, ...] = (
    "SET text 12",
    "RPUSH list 1 2 3",
    "SADD set 1 2 3",
    "ZADD sorted 1 a 2 b",
    "HSET hash f 1 g 2",
    "XADD stream 1-1 f 1",
    "XGROUP CREATE stream g 0",
    "XREADGROUP GROUP g c STREAMS stream >",
    "PFADD log a b",
    "GEOADD places 13.4 52.5 a 2.3 48.8 b",
)
_VALUES = {
    **{"timeout": "0.01", "milliseconds": "10", "seconds": "10", "field": "f", "member": "a", "cursor": "0"},
    **{"numkeys": "1", "numfields": "1", "count": "2", "db": "1", "index1": "0", "index2": "1", "index": "0"},
    **{"group": "g", "consumer": "c", "min-idle-time": "0", "start": "0", "end": "1", "stop": "1", "offset": "0"},
    **{"longitude": "13", "latitude": "52", "radius": "1000", "width": "100", "height": "100", "bit": "1"},
    **{"username": "u", "password": "p", "iterator": "0", "protover": "3", "libname": "x", "rank": "1"},
    **{"encoding": "u8", "value": "1", "element": "1", "pivot": "1", "min": "0", "max": "9", "score": "1"},
    **{"member1": "a", "member2": "b", "unit": "km", "key1": "text", "key2": "text", "id": "1-1", "lastid": "1-1"},
    **{"numreplicas": "0", "numlocal": "0", "host": "localhost", "port": "1", "ttl": "10", "command": "GET"},
}  # fmt: skip
# Where the description does not say what makes sense, or what would not end.
_BY_HAND: dict[str, tuple[str, ...]] = {
    "acl|deluser": ("nosuch",),
    "acl|dryrun": ("default GET text",),
    "acl|getuser": ("default", "nosuch"),
    "acl|cat": ("", "read", "nosuch"),
    "acl|log": ("", "RESET"),
    "acl|setuser": ("default on nopass", "u nosuch"),
    "auth": ("p", "default p"),
    "bitfield": ("text", "text GET u8 0", "text SET u8 0 1 INCRBY u8 0 1"),
    "bitfield_ro": ("text", "text GET u8 0"),
    "bitop": ("AND new text text", "NOT new text", "NOT new list", "NOSUCH new text"),
    "blmpop": ("0.01 1 list LEFT", "0.01 2 nosuch list RIGHT COUNT 2", "0.01 0 list LEFT", "0.01 1 text LEFT"),
    "bzmpop": ("0.01 1 sorted MIN", "0.01 2 nosuch sorted MAX COUNT 2", "0.01 0 sorted MIN", "0.01 1 text MIN"),
    "lmpop": ("1 list LEFT", "2 nosuch list RIGHT COUNT 2", "0 list LEFT", "1 text LEFT"),
    "zmpop": ("1 sorted MIN", "2 nosuch sorted MAX COUNT 2", "0 sorted MIN", "1 text MIN"),
    "sintercard": ("1 set", "2 set nosuch", "2 set nosuch LIMIT 1", "0 set", "1 text", "1 set LIMIT -1"),
    "client|caching": ("YES",),
    "client|import-source": ("ON",),
    "client|kill": ("ID 99999", "TYPE pubsub SKIPME yes", "127.0.0.1:1"),
    "client|list": ("", "TYPE normal", "ID 1"),
    "client|pause": ("1", "1 WRITE"),
    "client|reply": ("ON",),
    "client|setinfo": ("LIB-NAME x", "LIB-VER 1", "NOSUCH x"),
    "client|tracking": ("ON", "OFF"),
    "client|unblock": ("99999", "99999 ERROR"),
    "command|docs": ("GET", ""),
    "command|getkeys": ("GET text", "NOSUCH x"),
    "command|getkeysandflags": ("GET text",),
    "command|info": ("GET", "nosuch", ""),
    "command|list": ("", "FILTERBY PATTERN x*"),
    "config|get": ("maxmemory", "*"),
    "config|set": ("maxmemory 0", "nosuch 1"),
    "copy": ("text list", "text new", "text list REPLACE", "nosuch new", "text text2 DB 1"),
    "eval": ("return(1) 0",),
    "eval_ro": ("return(1) 0",),
    "evalsha": ("0123 0",),
    "evalsha_ro": ("0123 0",),
    "georadius": ("places 13 52 1000 km", "places 13 52 1000 km WITHDIST COUNT 1 ASC"),
    "georadius_ro": ("places 13 52 1000 km", "places 13 52 1000 km WITHDIST COUNT 1 ASC"),
    "georadiusbymember": ("places a 1000 km", "nosuch a 1 km", "places nosuch 1 km"),
    "georadiusbymember_ro": ("places a 1000 km", "nosuch a 1 km"),
    "geosearch": ("places FROMLONLAT 13 52 BYRADIUS 1000 km", "places FROMMEMBER a BYBOX 100 100 km ASC WITHCOORD"),
    "geosearchstore": ("new places FROMLONLAT 13 52 BYRADIUS 1000 km",),
    "hello": ("", "2", "3", "4"),
    "info": ("", "server", "nosuch"),
    "latency|histogram": ("", "get"),
    "linsert": ("list BEFORE 1 x", "list AFTER nosuch x", "nosuch BEFORE 1 x"),
    "migrate": ("localhost 1 nosuch 0 10",),
    "move": ("text 1", "text 0", "nosuch 1"),
    "module|load": ("nosuch",),
    "module|loadex": ("nosuch",),
    "object|encoding": ("text", "nosuch"),
    "object|freq": ("text", "nosuch"),
    "pfdebug": ("ENCODING log",),
    "rename": ("text new", "nosuch new"),
    "renamenx": ("text new", "text list", "nosuch new"),
    "replconf": ("listening-port 1",),
    "replicaof": ("NO ONE",),
    "slaveof": ("NO ONE",),
    "restore": ("new 0 x",),
    "restore-asking": ("new 0 x",),
    "rpoplpush": ("list list", "list new", "nosuch list", "text list"),
    "script|debug": ("NO",),
    "select": ("1", "99"),
    "setrange": ("text 1 x", "nosuch 0 x"),
    "sort": ("list", "list DESC LIMIT 0 1 ALPHA", "list STORE new", "text"),
    "sort_ro": ("list", "list DESC LIMIT 0 1 ALPHA"),
    "swapdb": ("0 1", "0 99"),
    "wait": ("0 1",),
    "waitaof": ("0 0 1",),
    "xadd": ("stream * f 1", "stream 1-1 f 1", "stream NOMKSTREAM MAXLEN ~ 5 * f 1", "stream IDMPAUTO p * f 1"),
    "xautoclaim": ("stream g d 0 0", "stream g d 0 0 COUNT 1 JUSTID", "stream nosuch d 0 0"),
    "xclaim": ("stream g d 0 1-1", "stream g d 0 1-1 JUSTID", "stream nosuch d 0 1-1"),
    "xack": ("stream g 1-1", "stream nosuch 1-1"),
    "xackdel": ("stream g IDS 1 1-1",),
    "xdelex": ("stream IDS 1 1-1",),
    "xcfgset": ("stream IDMP-DURATION 10",),
    "xidmprecord": ("stream p i 1-1",),
    "xnack": ("stream g FAIL IDS 1 1-1",),
    "xgroup|create": ("stream h 0", "stream g 0", "nosuch g 0", "nosuch g 0 MKSTREAM"),
    "xgroup|setid": ("stream g 0", "stream nosuch 0"),
    "xgroup|createconsumer": ("stream g d", "stream nosuch d"),
    "xgroup|delconsumer": ("stream g c", "stream nosuch d"),
    "xgroup|destroy": ("stream g", "stream nosuch", "nosuch g"),
    "xinfo|consumers": ("stream g", "stream nosuch"),
    "xinfo|groups": ("stream", "nosuch"),
    "xinfo|stream": ("stream", "nosuch", "stream FULL"),
    "xpending": ("stream g", "stream g - + 10", "stream nosuch"),
    "xrange": ("stream - +", "stream - + COUNT 1", "nosuch - +", "text - +"),
    "xrevrange": ("stream + -", "stream + - COUNT 1", "nosuch + -"),
    "xread": ("STREAMS stream 0", "STREAMS stream $", "BLOCK 5 STREAMS stream $"),
    "xreadgroup": ("GROUP g c STREAMS stream >", "GROUP g c STREAMS stream 0", "GROUP nosuch c STREAMS stream >"),
    "xsetid": ("stream 9-9", "stream 0-1", "nosuch 9-9"),
    "xtrim": ("stream MAXLEN 0", "stream MINID ~ 1"),
    "zadd": ("sorted 1 a", "sorted NX GT 1 a", "sorted INCR 1 a", "sorted XX CH 3 a 4 z", "text 1 a"),
    "zrange": ("sorted 0 -1", "sorted 0 9 BYSCORE LIMIT 0 1 WITHSCORES", "sorted [a (c BYLEX", "text 0 1"),
    "zrangebylex": ("sorted [a (c", "sorted a c"),
    "zrevrangebylex": ("sorted (c [a",),
    "zlexcount": ("sorted [a (c",),
    "zremrangebylex": ("sorted [a (c",),
    "zrevrangebyscore": ("sorted 9 0", "sorted 9 0 WITHSCORES LIMIT 0 1"),
    "zrangestore": ("new sorted 0 -1",),
}  # fmt: skip
NOT_SENT = {"shutdown", "debug", "sync", "psync"}
"""What would end the server, is refused by its configuration, or makes a replica of a connection."""


def lines_of(connection: Connection) -> Iterator[Words]:
    """Make lines of every command that a server lists: with what it needs, and with each of its options."""
    docs = connection.ask("COMMAND", "DOCS")
    described = _as_map(docs)
    for name in sorted(described, key=str.lower):
        yield from _of(name.lower(), _as_map(described[name]), (name.upper(),))


def names_of(connection: Connection) -> list[str]:
    """Return all names that a server lists, subcommands (``xgroup|create``) included."""
    return [str(name).lower() for name in connection.ask("COMMAND", "LIST")]  # type: ignore[union-attr]


def _of(name: str, docs: dict[str, Any], words: Words) -> Iterator[Words]:
    subcommands = _as_map(docs.get("subcommands", []))
    for full_name, its_docs in subcommands.items():
        yield from _of(full_name.lower(), _as_map(its_docs), (*words, full_name.split("|")[1].upper()))
    if name in NOT_SENT or subcommands:
        return
    if name in _BY_HAND:
        for line in _BY_HAND[name]:
            yield (*words, *line.split())
        return
    arguments = [_as_map(each) for each in docs.get("arguments", [])]
    key = KEYS.get(str(docs.get("group")), "text")
    needed = _words(arguments, key, None)
    yield (*words, *needed)
    for number, argument in enumerate(arguments):
        if "optional" in argument.get("flags", []):
            yield (*words, *_words(arguments, key, number))
    if key in needed:
        yield (*words, *("nosuch" if word == key else word for word in needed))
        other = "list" if key == "text" else "text"
        yield (*words, *(other if word == key else word for word in needed))


def _words(arguments: list[dict[str, Any]], key: str, option: int | None) -> list[str]:
    return [
        word
        for number, argument in enumerate(arguments)
        if "optional" not in argument.get("flags", []) or number == option
        for word in _argument(argument, key)
    ]


def _argument(argument: dict[str, Any], key: str) -> list[str]:
    kind, token, name = argument["type"], argument.get("token"), str(argument["name"])
    words = [] if token is None else [str(token)]
    inner = [_as_map(each) for each in argument.get("arguments", [])]
    if kind == "pure-token":
        return words
    if kind == "oneof":
        return words + _argument(inner[0], key)
    if kind == "block":
        return words + _words(inner, key, None)
    if kind == "key":
        is_new = name in ("destination", "newkey")
        return [*words, "new" if is_new else key]
    if kind == "integer" and name == "timeout":
        return [*words, "1"]
    usual = {"integer": "1", "double": "1", "pattern": "*", "unix-time": "9999999999"}.get(kind, "x")
    return [*words, _VALUES.get(name, usual)]


def _as_map(flat: Any) -> dict[str, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
