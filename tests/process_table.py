"""What runs on this machine, for tests that kill.

A killed process whose parent has gone stays in the table as a zombie until init collects it, and some take a second
or more for that; so `os.kill(pid, 0)` is not the question to ask.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil


def runs(pid: int) -> bool:
    """Tell whether a process runs; a zombie that nobody has collected yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self/stat").exists()


def group_runs(group: int) -> bool:
    """Tell whether anything runs in a process group, its guard included."""
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # gone while we looked
            continue
        if int(its_group) == group and state != "Z":
            return True
    return False


def descendants(pid: int) -> dict[int, str]:
    """Return what runs below a process: each one's number, and its arguments. Without /proc, nothing."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # gone while we looked
            continue
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    below: dict[int, str] = {}
    found = {pid}
    while found:
        found = {child for child, parent in parents.items() if parent in found}
        for child in found:
            try:
                args = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                args = b""
            below[child] = args.decode(errors="replace")
    return below


def workers(below: dict[int, str]) -> list[int]:
    """Return who of these processes is a lab's worker, and not what workers are forked from."""
    ours = [pid for pid, args in below.items() if "__main__.py worker" in args]
    above = set()
    for pid in ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            above.add(psutil.Process(pid).ppid())
    return [pid for pid in ours if pid not in above]


def sockets(pid: int) -> set[str]:
    """Return the inodes of a process's sockets: its descriptors are files that come and go while we look."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kind, _, inode = os.readlink(entry).partition("[")
        except FileNotFoundError:  # closed since it was listed
            continue
        if kind == "socket:":
            inodes.add(inode.rstrip("]"))
    return inodes


def tcp_sockets(pid: int) -> set[str]:
    """Return the inodes of all TCP sockets that the kernel lists where a process lives."""
    tables = [Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:] for table in ("tcp", "tcp6")]
    return {line.split()[9] for table in tables for line in table}
