"""What several processes gain: many schedules of faults by `assert_survives(…, jobs=…)`, each in a fresh interpreter.

    python benchmarks/schedules.py [--schedules 10000] [--jobs 1 2] [--repeats 3]

The numbers of jobs take turns, each turn beginning with another one. On a busy machine, look at the seconds of the
processor: what several processes take together beyond what one takes is what they cost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import redis
from harness import progress

from streamlab.testing import assert_survives


async def consumer(client: Any, stream: str, group: str, consumer: str, handler: Any, stop: asyncio.Event) -> None:
    """Be a right consumer: own history, what others left, new entries, one by one."""
    start, cursor = "0", "0-0"
    while not stop.is_set():
        try:
            if start == ">":
                cursor, entries, *_ = await client.xautoclaim(stream, group, consumer, 200, cursor, 10)
            if start != ">" or (not entries and cursor == "0-0"):
                reply = await client.xreadgroup(group, consumer, {stream: start}, 1, 100)
                entries = reply[0][1] if reply else []
                start = entries[-1][0] if entries and start != ">" else ">"
            for entry_id, fields in entries:
                try:
                    if fields:
                        await handler(entry_id, fields)
                except redis.ConnectionError:
                    raise
                except Exception:
                    continue
                await client.xack(stream, group, entry_id)
        except redis.ConnectionError:
            await asyncio.sleep(0.1)
            start = "0"
        except redis.ResponseError:
            start = "0"
            try:
                await client.xgroup_create(stream, group, "0", mkstream=True)
            except (redis.ResponseError, redis.ConnectionError):
                await asyncio.sleep(0.01)


def measured(n: int, jobs: int) -> tuple[float, float]:
    """Return the seconds of the wall and of the processor that so many schedules take."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--schedules", str(n), "--jobs", str(jobs), "--here"])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=10_000, help="how many (%(default)s)")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="processes, the first is the base")
    parser.add_argument("--repeats", type=int, default=3, help="turns (%(default)s)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        assert_survives(consumer, schedules=options.schedules, jobs=options.jobs[0])
        return
    times: dict[int, list[tuple[float, float]]] = {jobs: [] for jobs in options.jobs}
    for turn in range(options.repeats):
        first = turn % len(times)
        for jobs in [*times][first:] + [*times][:first]:
            progress(f"turn {turn + 1} of {options.repeats}: {jobs} jobs")
            times[jobs].append(measured(options.schedules, jobs))
    progress("")
    base = times[options.jobs[0]]
    print(f"{options.schedules:,} schedules, {os.cpu_count()} processors\n")
    print("| jobs | seconds (median) | lowest–highest | × of the first | processor seconds |\n|--:|--:|--:|--:|--:|")
    for jobs, of in times.items():
        walls = [wall for wall, _ in of]
        ratio = statistics.median(wall / alone for wall, (alone, _) in zip(walls, base, strict=True))
        spread = f"{min(walls):.1f}–{max(walls):.1f}"
        processor = statistics.median(seconds for _, seconds in of)
        print(f"| {jobs} | {statistics.median(walls):.1f} | {spread} | {ratio:.2f} | {processor:.1f} |")


if __name__ == "__main__":
    main()
