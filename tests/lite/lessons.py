"""Run lessons on the site that `make lite` makes, with no other site within reach, and say which cells fail there.

    python -m tests.lite.lessons build/lite [00 03 …]

In the place of pandas, which cannot be fetched, is a stand-in that takes everything: so only cells fail that look into
a table or a figure, or need what a browser does not have. They are listed, and counted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.lite.site import opened, troubles
from tests.walk import walk

STAND_IN = """
import sys, types

class Anything(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name)
    def __call__(self, *_, **__): return Anything("called")
    def __getitem__(self, _): return Anything("item")
    def __setitem__(self, *_): pass
    def __iter__(self): return iter(())
    def __len__(self): return 0
    def __repr__(self): return "<stand-in>"
    def __add__(self, _): return self
    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __and__ = __or__ = __add__
    __lt__ = __gt__ = __le__ = __ge__ = __add__

sys.modules["pandas"] = Anything("pandas")
"""


def main() -> None:
    """Run those that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.lite.lessons", description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("lessons", nargs="*", metavar="NN", help="how their names begin; without them, all")
    arguments = parser.parse_args()
    n_cells = n_failed = 0
    for path in sorted((arguments.site / "files").glob("*.ipynb")):
        if arguments.lessons and not path.name.startswith(tuple(arguments.lessons)):
            continue
        with opened(arguments.site, path.name) as notebook:
            notebook.execute(STAND_IN)
            steps = list(walk(notebook.page))
            failed = [words for step in steps for words in troubles(step)]
            took = sum(step.seconds for step in steps)
            print(f"{path.name}: {len(steps)} cells in {took:.0f} s, kernel ready in {notebook.seconds:.0f} s; failed:")
            print("\n".join(f"    {words}" for words in failed) or "    none", flush=True)
            n_cells, n_failed = n_cells + len(steps), n_failed + len(failed)
    print(f"{n_failed} of {n_cells} cells failed")


if __name__ == "__main__":
    main()
