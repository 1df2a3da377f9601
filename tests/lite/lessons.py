"""Run lessons on the site that `make lite` makes, with no other site within reach, and say which cells fail there.

    python -m tests.lite.lessons build/lite [00 03 …] [--write]

With stand-ins for numpy, matplotlib and pandas (`stand_ins`), which cannot be fetched, a cell may fail for three
reasons: it looks into a figure or a table; it says that it needs what a page does not have; or it needs a name that
such a cell would have given. Anything else is a fault. With ``--write`` the table goes into docs/browser.md.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lite.site import opened, troubles
from tests.walk import Step

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/browser.md"
BEGIN, END = "<!-- table: python -m tests.lite.lessons build/lite --write -->", "<!-- end of table -->"
#: In the kernel, without leaving a name in the lesson's own.
PUT_IN_PLACE = "exec(compile({text!r}, 'stand_ins.py', 'exec'), {{'__name__': 'stand_ins'}})"
#: What a cell says that needs processes or sockets.
PLAIN_WORDS = "which a page in a browser does not have"
LOOKS, NEEDS, FOLLOWS = "looks inside", "needs processes or sockets", "follows from these"


@dataclass(slots=True)
class Ran:
    """A lesson that was run, with the numbers of the cells that failed, and why."""

    name: str
    n_cells: int = 0
    seconds: float = 0.0
    failed: dict[str, list[int]] = field(default_factory=lambda: {LOOKS: [], NEEDS: [], FOLLOWS: []})
    faults: list[str] = field(default_factory=list)
    """Of cells that failed for no such reason, and warnings."""
    lacking: set[str] = field(default_factory=set)
    """Names that cells which failed would have given."""

    def add(self, step: Step) -> None:
        """Note what became of a cell."""
        self.n_cells += 1
        self.seconds += step.seconds
        error = next((output for output in step.outputs if output["output_type"] == "error"), None)
        if error is None:
            self.faults += troubles(step)
            return
        why = self._why(str(error["ename"]), str(error["evalue"]))
        if why is None:
            self.faults += troubles(step)
        else:
            self.failed[why].append(step.number)
            self.lacking |= names_given(step.source)

    def _why(self, kind: str, words: str) -> str | None:
        if "LooksInside" in kind:
            return LOOKS
        if PLAIN_WORDS in words:
            return NEEDS
        lacks = re.match(r"name '(\w+)' is not defined", words)
        return FOLLOWS if "NameError" in kind and lacks is not None and lacks[1] in self.lacking else None

    @property
    def n_failed(self) -> int:
        return sum(map(len, self.failed.values()))


def names_given(source: str) -> set[str]:
    """Return the names that a cell gives."""
    nodes = ast.walk(ast.parse(re.sub(r"^[%!].*", "", source, flags=re.M)))
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def run_lessons(site: Path, begins: Sequence[str] = ()) -> Iterator[Ran]:
    """Run those whose names begin so, or all, in one page; while one runs, the next one's kernel starts."""
    lessons = sorted(path.name for path in (site / "files").glob("*.ipynb"))
    names = [name for name in lessons if name.startswith(tuple(begins) or "")]
    stand_ins = PUT_IN_PLACE.format(text=Path(__file__).with_name("stand_ins.py").read_text() + "\nput_in_place()\n")
    with opened(site, names[0]) as notebook:
        for name, following in zip(names, [*names[1:], None], strict=True):
            if following is not None:
                notebook.prepare(following)
            notebook.show(name)
            notebook.execute(stand_ins)
            ran = Ran(name.removesuffix(".ipynb"))
            for step in notebook.execute_cells():
                ran.add(step)
            notebook.close(name)
            yield ran


def table_of(lessons: Iterable[Ran]) -> str:
    """Return what became of lessons, as a table in Markdown; cells by their numbers."""
    lessons = list(lessons)
    lines = [f"| lesson | cells | {LOOKS} | {NEEDS} | {FOLLOWS} |", "|---|---:|---|---|---|"]
    for ran in lessons:
        cells = (", ".join(map(str, numbers)) or "–" for numbers in ran.failed.values())
        lines.append(f"| {ran.name} | {ran.n_cells} | {' | '.join(cells)} |")
    counts = [str(sum(len(ran.failed[why]) for ran in lessons)) for why in (LOOKS, NEEDS, FOLLOWS)]
    lines.append(f"| all | {sum(ran.n_cells for ran in lessons)} | {' | '.join(counts)} |")
    return "\n".join(lines)


def kept_table() -> str:
    """Return the table that docs/browser.md has."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def main() -> int:
    """Run those that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.lite.lessons", description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("lessons", nargs="*", metavar="NN", help="how their names begin; without them, all")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    lessons = []
    for ran in run_lessons(arguments.site, arguments.lessons):
        print(f"{ran.name}: {ran.n_cells} cells in {ran.seconds:.0f} s, {ran.n_failed} failed", file=sys.stderr)
        print("".join(f"    {fault}\n" for fault in ran.faults), end="", file=sys.stderr, flush=True)
        lessons.append(ran)
    print(table_of(lessons))
    if arguments.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{table_of(lessons)}\n\n{END}{rest.partition(END)[2]}")
    return 1 if any(ran.faults for ran in lessons) else 0


if __name__ == "__main__":
    sys.exit(main())
