"""Walk through lessons in JupyterLab, cell by cell, as a learner at a laptop does; say what they would stumble over.

    python -m tests.walk 07 08 [--pictures FOLDER]      (without a number: all of them)

Each lesson is opened from a working copy, in Chromium at 1366 × 768, and its cells are run one after another. What is
looked for: tracebacks, anything on stderr, warnings, errors of the page, cells that say nothing for too long, and
predictions that are not shown under their results. With ``--pictures`` every output that is a figure, a table or a
widget is kept as a PNG. Exit status 1 if anything was found.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamlab.working_copy import copy_course
from tests import browser
from tests.browser import LIMIT_MS

PREDICT = "%predict"
COURSE = Path(__file__).parent.parent / "notebooks"
WIDTH, HEIGHT = 1366, 768
#: Seconds that a cell may go on without a sign of life.
PATIENCE = 5.0

#: What is written as a prediction: letters that would cut cells out if JupyterLab took them for commands.
PREDICTION = "dd x 2 s"
#: The field that the cell shows which was run last.
FIELD = """() => window.jupyterapp.shell.currentWidget.content.activeCell.node.querySelector('input[type="text"]')"""

#: The predictions that cells show.
TOLD = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .filter(cell => cell.type === 'code')
    .flatMap(cell => cell.outputs.toJSON())
    .map(output => [output.data?.['text/plain'] ?? ''].flat().join(''))
    .filter(text => text.startsWith('You predicted:'))"""

#: Whether as many show these words, within so many milliseconds: each some moments after its result at the latest.
COMES = f"""async ([words, n, limit]) => {{
    const told = {TOLD}, began = performance.now();
    while (told().filter(text => text === words).length !== n) {{
        if (performance.now() - began > limit) return false;
        await new Promise(resolve => setTimeout(resolve, 50));
    }}
    return true;
}}"""

#: Run the cell of this index; return how long it took, the longest silence, and what it shows.
RUN_CELL = """async index => {
    const { shell, commands } = window.jupyterapp;
    const notebook = shell.currentWidget.content;
    notebook.activeCellIndex = index;
    await notebook.scrollToItem(index);
    const cell = notebook.activeCell;
    const kind = cell.model.type;
    const began = performance.now();
    let last = began, silence = 0;
    const heard = () => {
        silence = Math.max(silence, performance.now() - last);
        last = performance.now();
    };
    // What is printed later is added to an output that is there already, of which the list says nothing.
    const size = () => kind === 'code' ? JSON.stringify(cell.outputArea.model.toJSON()).length : 0;
    let seen = size();
    const looking = setInterval(() => { if (size() !== seen) { seen = size(); heard(); } }, 200);
    await commands.execute('notebook:run-cell');
    clearInterval(looking);
    heard();
    return {
        kind,
        seconds: (performance.now() - began) / 1000,
        silence: silence / 1000,
        outputs: kind === 'code' ? cell.outputArea.model.toJSON() : [],
        source: cell.model.sharedModel.getSource(),
    };
}"""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a cell."""

    number: int
    """Of the code cell, from 1 on."""
    seconds: float
    silence: float
    """The longest time without a change of what is shown, in seconds."""
    outputs: list[dict[str, Any]]
    source: str

    def complaints(self, patience: float = PATIENCE) -> list[str]:
        """Say what is wrong with it."""
        found = []
        for output in self.outputs:
            text = "".join(output.get("text", "")) or str(output.get("data", {}))
            if output["output_type"] == "error":
                found.append(f"{output['ename']}: {output['evalue']}")
            elif output.get("name") == "stderr":
                found.append(f"stderr: {text.strip()[:200]}")
            elif warning := re.search(r"\w*Warning\b.*", text):
                found.append(warning[0][:200])
        if self.silence > patience:
            found.append(f"nothing was to be seen for {self.silence:.1f} s")
        return found

    def is_picture(self) -> bool:
        """Whether it shows more than plain text."""
        return any(set(output.get("data", {})) - {"text/plain"} for output in self.outputs)


def walk(page: Any) -> Iterator[Step]:
    """Run the cells of the notebook that JupyterLab shows, one after another."""
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
    n_cells = page.evaluate(
        """async () => {
            const { shell } = window.jupyterapp;
            await shell.currentWidget.context.ready;
            await shell.currentWidget.sessionContext.ready;
            await shell.currentWidget.sessionContext.session.kernel.info;
            return shell.currentWidget.content.widgets.length;
        }"""
    )
    number = 0
    for index in range(n_cells):
        done = page.evaluate(RUN_CELL, index)
        if done["kind"] == "code":
            number += 1
            yield Step(number, done["seconds"], done["silence"], done["outputs"], done["source"])
            if done["source"] == PREDICT:
                page.wait_for_function(FIELD).as_element().type(PREDICTION)


def walk_lesson(name: str, pictures: Path | None = None, patience: float = PATIENCE) -> list[str]:
    """Walk through a lesson; print what took long, and return what is wrong."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        copy_course(COURSE, Path(folder))
        with (
            browser.jupyter(Path(folder), name=name) as url,
            browser.open_page(url, width=WIDTH, height=HEIGHT) as page,
        ):
            total, n_asked = 0.0, 0
            for step in walk(page):
                total += step.seconds
                n_asked += step.source == PREDICT
                first = step.source.splitlines()[0] if step.source else ""
                for words in step.complaints(patience):
                    found.append(f"{name} [{step.number}] {first[:50]!r}: {words}")
                if step.seconds > 2:
                    print(f"{name} [{step.number}] {step.seconds:.1f} s: {first[:60]}")
                if pictures is not None and step.is_picture():
                    page.wait_for_timeout(300)  # for what is drawn after the output has come
                    path = pictures / f"{name[:2]}-{step.number:02}.png"
                    page.screenshot(path=path)
            told = f"You predicted: {PREDICTION}"
            if not page.evaluate(COMES, [told, n_asked, LIMIT_MS]):
                found.append(f"{name}: {n_asked} predictions, and what is told of them: {page.evaluate(TOLD)}")
            print(f"{name}: {total:.1f} s in all, {n_asked} predictions")
    return found


def main() -> int:
    """Walk through the lessons that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.walk", description=__doc__)
    parser.add_argument("lessons", nargs="*", metavar="NN", help="how their names begin")
    parser.add_argument("--pictures", type=Path, help="a folder for what is to be seen")
    arguments = parser.parse_args()
    if reason := browser.missing():
        print(reason, file=sys.stderr)
        return 2
    if arguments.pictures is not None:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in COURSE.glob("*.ipynb"))
    chosen = [n for n in names if not arguments.lessons or n.startswith(tuple(arguments.lessons))]
    found = [words for name in chosen for words in walk_lesson(name, arguments.pictures)]
    print("\n".join(found) if found else "nothing to stumble over")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
