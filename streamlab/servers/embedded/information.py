"""The reply to INFO: little, but true."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence

_ALL = {"all", "default", "everything"}


def information(
    sections: Sequence[str],
    *,
    version: tuple[int, int, int],
    n_clients: int,
    n_blocked: int,
    uptime: float,
    sizes: Mapping[int, int],
) -> bytes:
    """Lay out the sections of INFO that are asked for; all, if none is."""
    known: dict[str, dict[str, object]] = {
        "Server": {
            "redis_version": ".".join(map(str, version)),
            "redis_mode": "standalone",
            "server_name": "streamlab embedded",
            "os": platform.system(),
            "process_id": os.getpid(),
            "uptime_in_seconds": int(uptime),
        },
        "Clients": {"connected_clients": n_clients, "blocked_clients": n_blocked},
        "Persistence": {"loading": 0, "aof_enabled": 0},
        "Replication": {"role": "master", "connected_slaves": 0},
        "Keyspace": {f"db{number}": f"keys={n},expires=0,avg_ttl=0" for number, n in sizes.items() if n},
    }
    wanted = {section.lower() for section in sections} or _ALL
    lines: list[str] = []
    for name, fields in known.items():
        if name.lower() in wanted or wanted & _ALL:
            lines += [f"# {name}", *(f"{field}:{value}" for field, value in fields.items()), ""]
    return "\r\n".join(lines).encode()
