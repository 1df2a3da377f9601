"""Make the course's notebooks from their sources in ``solutions/``.

    python notebooks/build.py               # all of them
    python notebooks/build.py 03 04         # those whose names begin so

A source is an ordinary notebook with the exercises solved: edit it in JupyterLab, then run this. In a cell
tagged ``solution``, each line that ends in ``# stub: TEXT`` becomes TEXT for the learner (and goes, if
there is no TEXT); the solution itself is folded away under the verdict. A text with ``**Predict.**`` in it is
followed by a field for the answer, ``%predict``, which belongs to the result: the cell tagged ``result``, if there is
one before the next such text, or else the last before more text. The first cell has links to the lessons before
and after, and a badge that opens the lesson in Binder once pyproject.toml says where the repository is. The result
of all that is executed from a fresh kernel, so that its outputs are committed with it.
"""

from __future__ import annotations

import copy
import itertools
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "solutions"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
#: Brings ``%predict`` to a lesson: see streamlab/learner/magics.py, as for how the cell that asks is called.
LOAD = "%load_ext streamlab"
PREDICT = "%predict"
ASKS = "-predict"
#: What is shown depends on who looks; on a page without a kernel there is nothing to write in.
PREDICT_TAGS = ["predict", "nbval-ignore-output", "remove-cell"]
_STUB = re.compile(r"^(?P<indent>\s*)(?P<code>.*?)\s*# stub:(?P<stub>.*)$")


def sources() -> list[Path]:
    """Return the sources, in the order of the lessons."""
    return sorted(SOURCES.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook, checked."""
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def clean(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook without outputs, and with no more metadata than the tags of its cells."""
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        fresh = NotebookNode(cell_type=cell.cell_type, id=cell.id, source=cell.source.rstrip())
        fresh.metadata = {"tags": list(tags)} if tags else {}
        if cell.cell_type == "code":
            fresh.execution_count, fresh.outputs = None, []
        cells.append(fresh)
    return nbformat.from_dict({"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})


def lesson(source: Path) -> NotebookNode:
    """Return the learner's notebook that a source makes; not executed yet."""
    notebook = with_predictions(exercise(read(source)))
    every = sources()
    place = every.index(source)
    links = [f"[← {title(every[place - 1])}]({every[place - 1].name})"] if place else []
    links += [f"[{title(path)} →]({path.name})" for path in every[place + 1 : place + 2]]
    first = notebook.cells[0]
    first.source += f"\n\n{' | '.join(links)}"
    if where := repository():
        heading, _, text = first.source.partition("\n")
        first.source = f"{heading}\n\n{badge(where, source.name)}\n{text}"
    return notebook


def repository() -> str:
    """Return ``owner/name`` of the repository on GitHub, as pyproject.toml has it; nothing as long as it does not."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project.get("urls", {}).get("Repository", "")).removeprefix("https://github.com/").rstrip("/")


def badge(repository: str, lesson: str, figures: str = "figures") -> str:
    """Return a picture that opens a lesson in Binder."""
    launch = f"https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/notebooks/{lesson}"
    return f"[![Open in Binder]({figures}/binder.svg)]({launch})"


def title(source: Path) -> str:
    """Return a lesson's title."""
    return str(read(source).cells[0].source.partition("\n")[0].removeprefix("# "))


def with_predictions(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook with a field under each question, and with what brings those."""
    cells: list[NotebookNode] = []
    for at, cell in enumerate(notebook.cells):
        cells.append(cell)
        if cell.cell_type == "markdown" and "**Predict.**" in cell.source:
            field = NotebookNode(cell_type="code", id=f"{_result(notebook.cells[at + 1 :]).id}{ASKS}", source=PREDICT)
            field.update(metadata={"tags": PREDICT_TAGS}, execution_count=None, outputs=[])
            cells.append(nbformat.from_dict(field))
    if len(cells) > len(notebook.cells):
        setup = next(cell for cell in cells if cell.cell_type == "code")
        setup.source = f"{LOAD}\n\n{setup.source}"
    notebook.cells = cells
    return notebook


def _result(following: list[NotebookNode]) -> NotebookNode:
    """Return the cell that answers a question, of those that follow it."""
    for cell in following:
        if "**Predict.**" in cell.source:
            break
        if "result" in cell.metadata.get("tags", []):
            return cell
    run = list(itertools.takewhile(lambda cell: cell.cell_type == "code", following))
    if not run:
        raise ValueError("a text with **Predict.** is followed by no code")
    return run[-1]


def exercise(solution: NotebookNode) -> NotebookNode:
    """Return the learner's notebook: the source with its solutions taken out; not executed yet.

    Each solution stands, folded, in a text cell of its own after the verdict on it.
    """
    notebook = clean(solution)
    cells: list[NotebookNode] = []
    answers: list[NotebookNode] = []
    for cell in notebook.cells:
        cells.append(cell)
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            answers.append(_folded(cell))
            cell.source = without_solution(cell.source)
            cell.metadata.tags = ["exercise" if tag == "solution" else tag for tag in tags]
        elif "verdict" in tags:
            cells += answers
            answers = []
    if answers:
        raise ValueError("a cell tagged solution is followed by no cell tagged verdict")
    notebook.cells = cells
    return notebook


def _folded(solution: NotebookNode) -> NotebookNode:
    """Return a text cell that shows a solution once it is unfolded."""
    code = "\n".join(
        line if (match := _STUB.match(line)) is None else match["indent"] + match["code"]
        for line in solution.source.splitlines()
    )
    return NotebookNode(
        cell_type="markdown",
        id=f"{solution.id}-solution",
        metadata={},
        source=f"<details><summary>A solution</summary>\n\n```python\n{code}\n```\n\n</details>",
    )


def without_solution(source: str) -> str:
    """Return a cell's code with the solution's lines replaced by what stands after ``# stub:``.

    Raises
    ------
    ValueError
        If no line has a stub, so that the solution would be given away.
    """
    lines, n_stubs = [], 0
    for line in source.splitlines():
        match = _STUB.match(line)
        if match is None:
            lines.append(line)
            continue
        n_stubs += 1
        if stub := match["stub"].strip():
            lines.append(match["indent"] + stub)
    if not n_stubs:
        raise ValueError(f"a cell tagged solution has no '# stub:' in it:\n{source}")
    return "\n".join(lines)


def execute(notebook: NotebookNode, folder: Path = HERE) -> NotebookNode:
    """Execute a notebook in its folder, on a fresh kernel; return it with outputs and nothing else new."""
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", record_timing=False, coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()  # fmt: skip
    notebook.metadata = METADATA  # the kernel adds its version
    return without_this_machine(notebook)


def without_this_machine(notebook: NotebookNode) -> NotebookNode:
    """Leave out where a file was written, in a temporary folder; and a field, which is nothing without its kernel."""
    for cell in notebook.cells:
        if cell.source.startswith(("%%writefile", PREDICT)):
            cell.outputs = []
    return notebook


def keep_outputs(made: NotebookNode, before: NotebookNode) -> NotebookNode:
    """Leave outputs as they were where no more is new than the hour, this machine and the ids of widgets.

    That is, in a cell that is the same: if its output is not compared and holds no picture, or is the same but for ids.
    """
    known = {cell.id: cell for cell in before.cells if cell.cell_type == "code"}
    for cell in made.cells:
        old = known.get(cell.id)
        if old is None or (old.source, old.execution_count) != (cell.source, cell.execution_count):
            continue
        is_compared = "nbval-ignore-output" not in cell.metadata.get("tags", [])
        if _shown(old) == _shown(cell) or not (is_compared or "image/png" in str(cell.outputs)):
            cell.outputs = old.outputs
    return made


def _shown(cell: NotebookNode) -> list[NotebookNode]:
    outputs = copy.deepcopy(cell.outputs)
    for output in outputs:
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return outputs


def main(arguments: Sequence[str]) -> int:
    """Make the notebooks whose names begin with one of the arguments; all, if there are none."""
    chosen = [s for s in sources() if not arguments or s.name.startswith(tuple(arguments))]
    if not chosen:
        print(f"no notebook begins with {' or '.join(arguments)}", file=sys.stderr)
        return 2
    for source in chosen:
        solution = clean(read(source))
        write(solution, source)
        place = HERE / source.name
        made = execute(lesson(source))
        write(keep_outputs(made, read(place)) if place.exists() else made, place)
        print(f"made {source.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
