"""What it costs a server to be watched: a stream of N entries, of which some are pending, and a look every so often.

    python benchmarks/watch.py [--entries N] [--pending N] [--seconds S] [--every S] [--json]

On a private server of the first program on the PATH: how long the first look takes, the connection included, and how
much processor time the server spends while it is watched and while it is not (``INFO cpu``), both for as long. Besides,
the time it spends in the watch's own commands (``INFO commandstats``).
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from harness import machine

from streamlab import PrivateServer, Watch, sync_stream_client

GROUP, N_CONSUMERS, AT_ONCE = "group", 8, 10_000


def fill(client: Any, n_entries: int, n_pending: int) -> None:
    """Add the entries, and let the consumers be given as many as shall be pending."""
    for start in range(0, n_entries, AT_ONCE):
        pipe = client.pipeline(transaction=False)
        for number in range(start, min(start + AT_ONCE, n_entries)):
            pipe.xadd("s", {"number": number})
        pipe.execute()
    client.xgroup_create("s", GROUP, "0")
    for number in range(N_CONSUMERS):
        share = n_pending // N_CONSUMERS + (number < n_pending % N_CONSUMERS)
        if share:
            client.xreadgroup(GROUP, f"C{number}", {"s": ">"}, count=share)


def server_seconds(client: Any) -> float:
    """Return the processor time that the server has used, user and system."""
    cpu = client.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def in_commands(client: Any) -> float:
    """Return the seconds that the server has spent in the commands of a watch."""
    stats = client.info("commandstats")
    return sum(int(each["usec"]) for name, each in stats.items() if "xinfo" in name or "xpending" in name) / 1e6


def measure(n_entries: int, n_pending: int, seconds: float, every: float) -> dict[str, Any]:
    """Fill a server, watch it, and leave it alone for as long."""
    with PrivateServer() as server, sync_stream_client(server.url) as client:
        fill(client, n_entries, n_pending)
        began = time.perf_counter()
        watch = Watch(server.url, "s")
        look = watch.look()
        first = time.perf_counter() - began
        found: dict[str, Any] = {
            "server": server.binary.path,
            "entries": look.length,
            "pending": look.group(GROUP).pending,
            "first_look_s": first,
        }
        before, commands, n_looks = server_seconds(client), in_commands(client), 0
        ends = time.perf_counter() + seconds
        for _ in watch.every(every):
            n_looks += 1
            if time.perf_counter() + every > ends:
                break
        time.sleep(max(0.0, ends - time.perf_counter()))
        found |= {
            "looks": n_looks,
            "watched": (server_seconds(client) - before) / seconds,
            "in_commands": (in_commands(client) - commands) / seconds,
        }
        watch.close()
        before = server_seconds(client)
        time.sleep(seconds)
        return found | {"not_watched": (server_seconds(client) - before) / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="in the stream (%(default)s)")
    parser.add_argument("--pending", type=int, default=100_000, help="of them (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="to be watched (%(default)s)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if not 0 < options.pending <= options.entries or not 0 < options.every <= options.seconds:
        parser.error("give at least one pending entry, no more of them than entries, and time for a look")
    found = measure(options.entries, options.pending, options.seconds, options.every)
    if options.json:
        print(json.dumps({"machine": machine(), **found}))
        return
    print(f"{machine()}; {found['server']}; {found['entries']:,} entries, {found['pending']:,} of them pending\n")
    print("| first look | looks | server, watched | not watched | in the watch's commands |")
    print("|--:|--:|--:|--:|--:|")
    shares = " | ".join(f"{found[each]:.3%}" for each in ("watched", "not_watched", "in_commands"))
    print(f"| {found['first_look_s'] * 1000:,.1f} ms | {found['looks']} | {shares} |")


if __name__ == "__main__":
    main()
