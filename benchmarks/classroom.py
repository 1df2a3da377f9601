"""What a learner costs: memory and processor time of each lesson, run once from its first cell to its last.

    python benchmarks/classroom.py                  # all lessons, some minutes; a table
    python benchmarks/classroom.py 00 08 --write    # only some; --write puts the table into docs/class.md

Memory is counted as PSS, the part of what is shared divided by those who share it (Linux only): the most that the
kernel took, and that all of the lesson's processes took together, servers and workers included.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from harness import written
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
LESSONS = ROOT / "notebooks" / "solutions"
PAGE = ROOT / "docs" / "class.md"
BEGIN, END = "<!-- table: python benchmarks/classroom.py -->", "<!-- end of table -->"
#: Seconds between two looks at the processes.
EVERY = 0.2
#: In the environment of a lesson's kernel, and so of all that it starts.
MARK = "STREAMLAB_CLASSROOM"
_TICKS = os.sysconf("SC_CLK_TCK")
_MB = 1024**2


@dataclass(frozen=True)
class Cost:
    """What one lesson took: bytes, and seconds of processor time of all its processes that were seen."""

    lesson: str
    kernel: int
    all: int
    processes: int
    cpu: float


class Meter(threading.Thread):
    """Looks at all processes with a mark in their environment, again and again."""

    def __init__(self, mark: str) -> None:
        super().__init__(daemon=True)
        self._mark = f"{MARK}={mark}".encode()
        self._is_over = threading.Event()
        self._cpu: dict[int, float] = {}
        self.kernel = self.all = self.processes = 0

    def run(self) -> None:
        """Look until it is over."""
        while not self._is_over.wait(EVERY):
            found = [*self._look()]
            self.kernel = max([self.kernel, *(pss for is_kernel, pss in found if is_kernel)])
            self.all = max(self.all, sum(pss for _, pss in found))
            self.processes = max(self.processes, len(found))

    def stop(self) -> float:
        """Look no more; return the seconds of processor time."""
        self._is_over.set()
        self.join()
        return sum(self._cpu.values())

    def _look(self) -> Iterator[tuple[bool, int]]:
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal():
                continue
            try:
                if self._mark not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                is_kernel = b"ipykernel_launcher" in (folder / "cmdline").read_bytes()
                rollup = (folder / "smaps_rollup").read_text()
                # After the name in brackets, which may hold anything: the 14th and 15th field are user's and system's.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended, or is a stranger's
            pid = int(folder.name)
            self._cpu[pid] = (int(fields[11]) + int(fields[12])) / _TICKS
            yield is_kernel, sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def cost_of(path: Path) -> Cost:
    """Run a lesson, and return what it took."""
    notebook = nbformat.read(path, as_version=4)
    mark = uuid.uuid4().hex
    meter = Meter(mark)
    meter.start()
    try:
        client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": LESSONS}})
        client.execute(env=os.environ | {MARK: mark, "PYTHONPATH": str(ROOT)})
    finally:
        cpu = meter.stop()
    return Cost(path.stem, meter.kernel, meter.all, meter.processes, cpu)


def table_of(costs: list[Cost]) -> str:
    """Return the costs as a table in Markdown."""
    lines = [
        "| lesson | kernel, at most (MB) | with its servers and workers (MB) | processes | processor time (s) |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {cost.lesson} | {cost.kernel / _MB:.0f} | {cost.all / _MB:.0f} | {cost.processes} | {cost.cpu:.0f} |"
        for cost in costs
    ]
    return "\n".join(lines)


def main() -> int:
    """Do as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", help="with what their names begin (all)")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        print(
            "classroom: this system does not tell a process's PSS (/proc/self/smaps_rollup): take Linux",
            file=sys.stderr,
        )
        return 2
    paths = [path for path in sorted(LESSONS.glob("*.ipynb")) if path.name.startswith(tuple(options.lessons) or "")]
    if not paths:
        known = ", ".join(sorted(path.stem for path in LESSONS.glob("*.ipynb")))
        parser.error(f"no lesson begins so: there are {known}")
    costs = []
    for path in paths:
        print(f"{path.stem} …", file=sys.stderr, flush=True)
        costs.append(cost_of(path))
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs]))
    else:
        print(table_of(costs))
    if options.write:
        PAGE.write_text(written(PAGE, BEGIN, END, table_of(costs)), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
