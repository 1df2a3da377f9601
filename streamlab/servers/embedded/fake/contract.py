"""What of fakeredis' insides this package relies on, as data, and what has changed of it.

fakeredis promises none of it. A version that was not tried is taken if it reads as one that was, and refused if not.
And a test compares this list with the fakeredis that is installed. When that test fails: read what changed in
fakeredis, mend the modules beside this one, run ``python -m tests.differential --embedded all``, and only then add its
digests and its version here.
"""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

from fakeredis._clients import FakeAsyncRedisConnection, FakeRedisConnection
from fakeredis._core import CommandItem, Database, FakeServer
from fakeredis._socket import AsyncFakeSocket, FakeSocket

TRIED = ("2.40", "2.41")

DIGESTS: dict[str, str] = {
    "Database.__init__": "187169651c",
    "Database.__getitem__": "647670a6ec",
    "Database.__setitem__": "62e07a2c29",
    "Database.__delitem__": "6517c888fd",
    "Database.expired": "6e2014274d",
    "Database._remove_expired": "45a82655c5",
    "Database.schedule_expiry": "939d77ad0a",
    "Database.clear": "4621f20a06",
    "Database.notify_watch": "f8e3476da0",
    "Database.swap": "b1402c8635",
    "Database.wake_all": "d83277fb6a",
    "CommandItem.writeback": "562bd0eaf2",
    "FakeServer.__init__": "faf63b060d",
    "FakeSocket.__init__": "3cda3f57ce",
    "FakeSocket._process_command": "e28ebecde8",
    "FakeSocket._name_to_func": "1b95d83dfc",
    "FakeSocket._run_command": "3bc3dc6d8d",
    "FakeSocket._decode_error": "a37848143d",
    "FakeSocket._decode_result": "3e1a157b41",
    "FakeSocket._parse_commands": "1eebe3a03d",
    "FakeSocket._cleanup": "2c5c320c2f f31e54aeec",
    "FakeSocket.kill": "63ba7ff5b7",
    "FakeSocket.close": "f5f612362e",
    "FakeSocket.pause": "95756e17af",
    "FakeSocket.resume": "b2215cc58b",
    "FakeSocket.put_response": "63173b9703",
    "FakeSocket.exec_": "6650cf9297 1e3a8ce808",
    "FakeSocket.watch": "fca4fc8ed7",
    "FakeSocket.sendall": "830677d2ac",
    "FakeSocket.hello": "54f1dbea28",
    "FakeSocket._unsubscribe": "b3d9d8aa70",
    "FakeSocket.publish": "3c79a498bf",
    "FakeSocket._publish_to_channel": "8a9013d316",
    "FakeSocket.client_kill": "03bd1f42da",
    "FakeSocket.client_unblock": "4502cc225a",
    "FakeSocket.hincrby": "a37cf75cf6",
    "FakeSocket.copy": "efd22c2cb0 3000cad94d",
    "FakeSocket.flushdb": "13a1d11bce",
    "FakeSocket.flushall": "d3a18a56f0",
    "FakeSocket.time": "fdf3e73e92",
    "FakeSocket._blocking": "5b45b74cf7",
    "FakeSocket._bpop_pass": "cde38ba492",
    "FakeSocket._brpoplpush_pass": "8877d92083",
    "FakeSocket._blmovem_pass": "f35e03f6b8",
    "FakeSocket._lmpop": "4640425055",
    "FakeSocket._zmpop": "dd649cc1ca 09a585eca6",
    "FakeSocket._bzpop": "ee8330122d 337d9e5a4b",
    "FakeSocket.blmove": "1dd77537a9",
    "FakeSocket.hrandfield": "32961046fe c4110915e7",
    "FakeSocket.zrandmember": "0eac374569",
    "FakeSocket.sintercard": "8a0a866c49",
    "FakeSocket.client_getname": "4c77a2430c",
    "FakeSocket.client_list_cmd": "fd43567845",
    "FakeSocket._client_type": "518f1001c4",
    "FakeSocket.exists": "a6374e3a17",
    "FakeAsyncRedisConnection.can_read": "d289e61d68",
    "FakeSocket._key_value_type": "d80111f728",
    "AsyncFakeSocket.__init__": "28866db4a2",
    "AsyncFakeSocket.put_response": "1ee8456beb",
    "AsyncFakeSocket._blocking": "159caa4419",
    "FakeRedisConnection._connect": "69f71b4074",
    "FakeRedisConnection.can_read": "f7997a157e",
    "FakeRedisConnection.read_response": "0c76b9c322",
    "FakeAsyncRedisConnection._connect": "03b35d1057",
    "FakeAsyncRedisConnection.read_response": "8b229d1705",
    "FakeAsyncRedisConnection.disconnect": "b8e484da04",
}
"""Methods that are overridden, or called and relied on, with the beginning of their source's SHA-1: of one version, or
of several, the oldest first."""

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "Database": ("_dict", "_expiry_heap", "_watches", "condition", "time"),
    "FakeServer": ("closed_sockets", "connected", "dbs", "lock", "sockets"),
    "FakeSocket": (
        *("_blocked", "_client_info", "_db", "_in_transaction", "_killed", "_paused", "_pubsub"),
        *("_reply_off", "_reply_skip", "_resp_version", "_server"),
        *("_transaction", "_unblock_reason", "responses"),
    ),
}
"""Attributes that are used."""

_CLASSES: dict[str, Any] = {
    "CommandItem": CommandItem,
    "Database": Database,
    "FakeServer": FakeServer,
    "FakeSocket": FakeSocket,
    "AsyncFakeSocket": AsyncFakeSocket,
    "FakeRedisConnection": FakeRedisConnection,
    "FakeAsyncRedisConnection": FakeAsyncRedisConnection,
}


def changes() -> list[str]:
    """List what differs from what was tried, in words; nothing, if fakeredis is one that was tried."""
    found = [
        f"{name} reads differently ({now} instead of {known})"
        for name, known in DIGESTS.items()
        if (now := digest_of(name)) not in known.split()
    ]
    server = FakeServer()
    socket = FakeSocket(server, 0, client_class=object)
    for owner, thing in (("Database", server.dbs[0]), ("FakeServer", server), ("FakeSocket", socket)):
        found += [f"{owner} has no attribute {name} any more" for name in ATTRIBUTES[owner] if not hasattr(thing, name)]
    return found


def digest_of(name: str) -> str:
    """Return the digest of a method's source, or why there is none."""
    owner, _, method = name.partition(".")
    function = getattr(_CLASSES[owner], method, None)
    if function is None:
        return "it is gone"
    try:
        return hashlib.sha1(inspect.getsource(function).encode()).hexdigest()[:10]
    except OSError:
        return "its source cannot be read"
