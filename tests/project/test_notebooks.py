"""The course's notebooks: made from their sources, executed, and built as the course promises.

What is in their outputs is compared by ``pytest --nbval notebooks``; here stands what nbval does not see.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbval.plugin import get_sanitize_patterns  # type: ignore[import-untyped]

from streamlab.learner import prediction
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from streamlab.views.plots.picture import Picture
from tests.further import beyond

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = sorted(path.name for path in FOLDER.glob("*.ipynb"))
#: From this lesson on there are exercises: two, but for the appendix.
FIRST_EXERCISES, APPENDIX = "01", "A"
#: How long a lesson takes, by count: words read in a minute, and minutes for a prediction and an exercise.
WORDS_A_MINUTE, PREDICTION, EXERCISE = 200, 1, 6
LONGEST_LESSON = 30
#: Lines of a piece of a file, its magic included.
WRITTEN_PIECE = 16
#: Names of the package that a lesson imports: more are too many to learn at once.
MOST_NAMES = 5
#: HTML that a text cell may use; anything else that looks like a tag vanishes from the page.
TAGS = {"details", "summary"}
#: What a cell says that runs on a real server only.
NEEDS_SERVER = re.compile(r"engine=\"live\"|run_both\(|find_servers\(|PrivateCluster\(")

#: A cell that IPython writes to a file, or appends to one.
WRITES_FILE = re.compile(r"%%writefile (?P<append>-a )?(?P<path>\S+)\n")

every_notebook = pytest.mark.parametrize("name", NAMES)
#: Those in which the learner types commands, to whatever Redis there is.
OF_COMMANDS = [name for name in NAMES if "connect()" in (FOLDER / name).read_text()]


def load_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load_build()


def notebook(name: str) -> Any:
    return build.read(FOLDER / name)


def cells(name: str, kind: str) -> list[Any]:
    return [cell for cell in notebook(name).cells if cell.cell_type == kind]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def is_written(cell: Any) -> bool:
    """Whether a cell is not executed, but written to a file."""
    return WRITES_FILE.match(cell.source) is not None


def shown(cell: Any) -> str:
    """Return what a cell shows, as text."""
    return "".join(out.get("data", {}).get("text/plain", "") for out in cell.outputs)


def prose(cell: Any) -> str:
    """Return a text cell without its code."""
    return re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.S)


# ---- made from the sources -------------------------------------------------------------------------


def test_there_are_notebooks() -> None:
    assert {"00_start_here.ipynb", "06_many_to_many.ipynb"} <= set(NAMES)
    assert [path.name for path in build.sources()] == NAMES


@every_notebook
def test_is_what_its_source_makes(name: str) -> None:
    """If this fails, a notebook was edited and not its source: edit solutions/, run notebooks/build.py."""
    assert build.clean(notebook(name)) == build.lesson(FOLDER / "solutions" / name)


@every_notebook
def test_source_has_no_outputs(name: str) -> None:
    source = build.read(FOLDER / "solutions" / name)
    assert source == build.clean(source)


def test_a_solution_becomes_a_stub() -> None:
    source = "SCALE = 2\nanswer = 4 * SCALE  # stub: answer = ...\nif answer:  # stub:\n    f()  # stub: f(?)"
    assert build.without_solution(source) == "SCALE = 2\nanswer = ...\n    f(?)"


@every_notebook
def test_each_solution_is_folded_under_its_verdict(name: str) -> None:
    """The solution as it stands in the source, without the marks of its stubs, and nothing of it unfolded."""
    answers = [
        re.sub(r"[ \t]*# stub:.*$", "", cell.source, flags=re.M)
        for cell in build.read(FOLDER / "solutions" / name).cells
        if "solution" in tags(cell)
    ]
    folded = [
        cell.source
        for before, cell in itertools.pairwise(notebook(name).cells)
        if "verdict" in tags(before) and cell.source.startswith("<details>")
    ]
    assert len(folded) == len(answers)
    for text, answer in zip(folded, answers, strict=True):
        assert text.startswith("<details><summary>A solution</summary>")
        assert f"```python\n{answer}\n```" in text


def test_what_is_not_compared_stays_as_it_was_committed() -> None:
    """The hour, and the ids of widgets; but not a picture, what is compared, or a cell that is another one now."""

    def lesson(hour: str, **changes: Any) -> Any:
        words = {"output_type": "stream", "name": "stdout", "text": hour}
        picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": hour}}
        view = {"application/vnd.jupyter.widget-view+json": {"model_id": hour}, "text/plain": "<Panel>"}
        widget = {"output_type": "display_data", "metadata": {}, "data": view}
        ignored = {"tags": ["nbval-ignore-output"]}
        cells = [
            {"id": "hour", "metadata": ignored, "outputs": [words]},
            {"id": "picture", "metadata": ignored, "outputs": [picture]},
            {"id": "compared", "metadata": {}, "outputs": [words]},
            {"id": "widget", "metadata": {}, "outputs": [widget]},
            {"id": "changed", "metadata": ignored, "outputs": [words], **changes},
        ]
        common = {"cell_type": "code", "source": "1", "execution_count": 1}
        return nbformat.from_dict({"cells": [{**common, **cell} for cell in cells]})

    for changes in ({"source": "2"}, {"execution_count": 2}):
        made = build.keep_outputs(lesson("noon", **changes), lesson("night"))
        kept = {cell.id for cell in made.cells if "night" in str(cell.outputs)}
        assert kept == {"hour", "widget"}


@every_notebook
def test_each_prediction_has_a_field_and_a_result(name: str) -> None:
    """The field stands under its question, and before its result, which text explains."""
    all_cells = notebook(name).cells
    at = {cell.id: index for index, cell in enumerate(all_cells)}
    asked = [index for index, cell in enumerate(all_cells) if "**Predict.**" in cell.source]
    fields = [index for index, cell in enumerate(all_cells) if cell.source == build.PREDICT]
    assert asked
    assert fields == [index + 1 for index in asked]
    for field in fields:
        result = at[all_cells[field].id.removesuffix(build.ASKS)]
        assert result > field
        assert all_cells[result].cell_type == "code"
        assert all_cells[result + 1].cell_type == "markdown"


def test_a_field_is_called_as_the_kernel_takes_it() -> None:
    assert (build.ASKS, build.PREDICT) == (prediction.ASKS, "%predict")


def test_a_prediction_without_a_result_is_an_error() -> None:
    source = build.read(FOLDER / "solutions" / "03_one_to_one.ipynb")
    source.cells = source.cells[:10]
    with pytest.raises(ValueError, match="followed by no code"):
        build.with_predictions(source)


@every_notebook
def test_leads_to_the_lessons_before_and_after(name: str) -> None:
    place = NAMES.index(name)
    line = notebook(name).cells[0].source.splitlines()[-1]
    around = [NAMES[index] for index in (place - 1, place + 1) if 0 <= index < len(NAMES)]
    assert re.findall(r"\]\((\S+)\)", line) == around


def test_each_lesson_opens_in_binder_once_it_is_known_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address stands in pyproject.toml only, and badges follow from it; the README has the first lesson's."""
    source = FOLDER / "solutions" / "03_one_to_one.ipynb"
    monkeypatch.setattr(build, "repository", lambda: "owner/name")
    heading, _, shown, *_ = build.lesson(source).cells[0].source.splitlines()
    assert heading == f"# {build.title(source)}"
    target = "https://mybinder.org/v2/gh/owner/name/HEAD?urlpath=lab/tree/notebooks/03_one_to_one.ipynb"
    assert shown == f"[![Open in Binder](figures/binder.svg)]({target})"
    assert (FOLDER / "figures" / "binder.svg").exists()
    monkeypatch.undo()
    readme, where = (FOLDER.parent / "README.md").read_text(), build.repository()
    wanted = build.badge(where, NAMES[0], "notebooks/figures") if where else "mybinder.org/v2/gh/OWNER/REPOSITORY/HEAD"
    assert wanted in readme, f"the README has to have: {wanted}"


@pytest.mark.parametrize("address", ["https://github.com/owner/name", "https://github.com/owner/name/"])
def test_the_repository_is_where_pyproject_says(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "HERE", tmp_path / "notebooks")
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{address}"\n')
    assert build.repository() == "owner/name"
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    assert build.repository() == ""


def test_a_solution_without_a_verdict_is_an_error() -> None:
    source = build.read(FOLDER / "solutions" / "03_one_to_one.ipynb")
    source.cells = [cell for cell in source.cells if "verdict" not in tags(cell)]
    with pytest.raises(ValueError, match="no cell tagged verdict"):
        build.exercise(source)


def test_a_solution_without_a_stub_is_not_given_away() -> None:
    with pytest.raises(ValueError, match="no '# stub:'"):
        build.without_solution("answer = 4")


# ---- executed --------------------------------------------------------------------------------------


@every_notebook
def test_was_executed_in_order(name: str) -> None:
    """nbval compares nothing in a notebook that was never executed."""
    code = cells(name, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [out for cell in code for out in cell.outputs]
    assert outputs
    assert not [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]


@every_notebook
def test_metadata_is_minimal(name: str) -> None:
    assert notebook(name).metadata == build.METADATA
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook(name).cells)


def test_pixels_are_not_compared_and_alternative_texts_are() -> None:
    """nbval would compare a figure's bytes, which another matplotlib draws otherwise."""
    patterns = get_sanitize_patterns((FOLDER / "not_compared.cfg").read_text())
    ((pattern, replacement),) = dict(patterns).items()
    (found,) = [
        out.data["text/html"]
        for cell in cells("06_many_to_many.ipynb", "code")[:6]
        for out in cell.outputs
        if "<img" in out.get("data", {}).get("text/html", "")
    ]
    left = re.sub(pattern, replacement, found)
    assert "base64" not in left
    assert "7 entries" in left
    assert re.sub(pattern, replacement, found.replace("7 entries", "8 entries")) != left


# ---- to be solved ----------------------------------------------------------------------------------


@every_notebook
def test_exercises_are_open(name: str) -> None:
    """The learner's notebook says "not yet" to each; that the source's solutions are right, `test_answers` says."""
    unsolved = [shown(cell) for cell in cells(name, "code") if "verdict" in tags(cell)]
    assert all(text.startswith("✗ Not yet. There is no answer yet.") for text in unsolved)
    if name >= FIRST_EXERCISES:
        assert len(unsolved) >= (1 if name.startswith(APPENDIX) else 2)


# ---- the same on every Redis -----------------------------------------------------------------------


def told(notebook: Any) -> list[tuple[str, str]]:
    """Return what each cell is and shows, in words, but for those whose output is not compared."""
    return [
        (cell.source, "".join(out.get("text", "") for out in cell.outputs) + shown(cell))
        for cell in notebook.cells
        if cell.cell_type == "code" and "nbval-ignore-output" not in tags(cell)
    ]


EMBEDDED = "embedded://"
ToldOn = Callable[[Any, str], list[tuple[str, str]]]
#: Before each lesson on a kernel that has run others.
ANEW = """
%reset -sf
import os
import matplotlib.pyplot
matplotlib.pyplot.close("all")
get_ipython().extension_manager.loaded.clear()
os.environ["STREAMLAB_REDIS_URL"] = {url!r}
import streamlab
streamlab.close_servers()  # an embedded one would be taken again, whatever the URL, with what it holds
assert streamlab.connect().connected.how == {how!r}
%reset -sf
"""


@pytest.fixture(scope="session")
def told_on() -> Iterator[ToldOn]:
    """What a notebook tells on the server at a URL. One kernel runs all: to start one takes as long as a lesson."""
    clients: list[Any] = []

    def execute(notebook: Any, url: str) -> list[tuple[str, str]]:
        how = "embedded" if url == EMBEDDED else "url"
        notebook.cells.insert(0, nbformat.v4.new_code_cell(ANEW.format(url=url, how=how)))
        km = clients[0].km if clients else None
        clients.append(NotebookClient(notebook, km=km, timeout=120, kernel_name="python3", coalesce_streams=True))
        clients[-1].resources = {"metadata": {"path": str(FOLDER)}}
        clients[-1].execute(cleanup_kc=False)
        del notebook.cells[0]
        return told(build.without_this_machine(notebook))

    yield execute
    for client in clients:
        client.kc.stop_channels()
    if clients:
        run_sync(clients[0].km.shutdown_kernel)(now=True)


def test_there_are_notebooks_of_commands() -> None:
    assert [name[:2] for name in OF_COMMANDS] == ["00", "01", "02", "05", "07", "08", "09", "10", "11", "15", "A_"]


@pytest.mark.parametrize("name", beyond(3, OF_COMMANDS, "without a server"))
def test_shows_the_same_on_the_embedded_server(name: str, told_on: ToldOn) -> None:
    assert told_on(build.clean(notebook(name)), EMBEDDED) == told(notebook(name))


@pytest.mark.redis
@pytest.mark.further("on another server")
@pytest.mark.parametrize("name", OF_COMMANDS)
def test_shows_the_same_on_another_server(
    name: str, other_server_binaries: list[ServerBinary], told_on: ToldOn
) -> None:
    """On those on the PATH in turn; on the first, the lessons are run as notebooks: `make test`'s last part."""
    with PrivateServer(other_server_binaries[NAMES.index(name) % len(other_server_binaries)]) as server:
        assert told_on(build.clean(notebook(name)), server.url) == told(notebook(name))


# ---- the same story with real processes ------------------------------------------------------------


@pytest.mark.redis
@pytest.mark.further("with real processes")
def test_recovering_runs_on_a_real_server(default_server_binary: ServerBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lesson 08 with ENGINE = "live": its cells assert that C2's process is gone, its entries claimed and done."""
    lesson = build.clean(build.read(FOLDER / "solutions" / "08_recovering_from_failures.ipynb"))
    (cell,) = [c for c in lesson.cells if c.source.startswith('ENGINE = "simulated"')]
    cell.source = cell.source.replace('"simulated"', '"live"', 1)
    (proof,) = [c for c in lesson.cells if "assert pid is None or not is_running(pid)" in c.source]
    proof.source += '\nassert pid is not None\nprint("gone:", pid)'
    with PrivateServer(default_server_binary) as server:
        monkeypatch.setenv("STREAMLAB_REDIS_URL", server.url)
        made = build.execute(lesson)
    assert re.search(r"gone: \d+", told_by(made, proof.source))
    verdicts = [cell for cell in made.cells if "verdict" in tags(cell)]
    assert [shown(cell)[:7] for cell in verdicts] == ["✓ Right"] * 2


def told_by(notebook: Any, source: str) -> str:
    """Return what the cell with this source printed."""
    return next(text for cell, text in told(notebook) if cell == source)


# ---- built as the course promises ------------------------------------------------------------------


@every_notebook
def test_begins_and_ends_as_all_do(name: str) -> None:
    all_cells = notebook(name).cells
    title, plan = all_cells[0].source, all_cells[1].source
    assert re.match(r"# \S", title)
    assert plan.startswith("**In this notebook you will**")
    assert len(re.findall(r"^- ", plan, re.M)) == 3
    assert re.search(r"It takes about \d+ minutes", plan)
    headings = re.findall(r"^## (.*)$", "\n".join(c.source for c in cells(name, "markdown")), re.M)
    assert "Check your understanding" in headings
    assert headings[-1] == "You have seen"
    assert "**What next:**" in all_cells[-1].source


@every_notebook
def test_takes_the_time_that_it_says(name: str) -> None:
    """Not longer than stated, nor much shorter, and never longer than half an hour."""
    text = "\n".join(
        cell.source for cell in cells(name, "markdown") if not cell.source.startswith("<details><summary>A solution")
    )
    stated = int(re.search(r"It takes about (\d+) minutes", text)[1])  # type: ignore[index]
    n_exercises = sum("verdict" in tags(cell) for cell in cells(name, "code"))
    counted = len(text.split()) / WORDS_A_MINUTE + text.count("**Predict.**") * PREDICTION + n_exercises * EXERCISE
    assert counted <= stated <= min(counted + 5, LONGEST_LESSON), f"{counted:.1f} by count"


@every_notebook
def test_is_set_up_in_one_cell(name: str) -> None:
    code = cells(name, "code")
    assert [index for index, cell in enumerate(code) if "setup" in tags(cell)] == [0]
    late = [
        cell.source
        for cell in code[1:]
        if re.search(r"^\s*(import|from)\s", cell.source, re.M) and not is_written(cell)
    ]
    assert late == []


@every_notebook
def test_imports_few_names_of_the_package(name: str) -> None:
    setup = cells(name, "code")[0].source.removeprefix(build.LOAD)
    names = [
        alias.name
        for node in ast.walk(ast.parse(setup))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if f"{getattr(node, 'module', alias.name)}.".startswith("streamlab.")
    ]
    assert 1 <= len(names) <= MOST_NAMES, names


@every_notebook
def test_parameters_have_units(name: str) -> None:
    """The second cell holds UPPER_CASE constants, each with a comment unless it is a plain count."""
    for line in cells(name, "code")[1].source.splitlines():
        assert re.match(r"[A-Z_]+ = ", line), line
        assert "  # " in line or line.startswith("N_"), line


@every_notebook
def test_cells_are_short(name: str) -> None:
    """What is written to a file is read, a piece at a time, and not run: no piece is long, and none counts.

    Nor do the fields for predictions.
    """
    code = cells(name, "code")
    run = [n_lines(cell) for cell in code if not is_written(cell) and "predict" not in tags(cell)]
    assert 12 <= len(run) <= 25
    assert statistics.median(run) <= 5
    assert sum(length > 12 for length in run) <= 1
    assert max(run) <= 15
    assert max([n_lines(cell) for cell in code if is_written(cell)], default=0) <= WRITTEN_PIECE
    assert [line for cell in code for line in cell.source.splitlines() if len(line) > 100] == []


def n_lines(cell: Any) -> int:
    return len([line for line in cell.source.splitlines() if line.strip()])


@every_notebook
def test_texts_are_short(name: str) -> None:
    """One idea a cell; answers that the reader has to unfold are not counted."""
    for cell in cells(name, "markdown"):
        text = re.sub(r"<details>.*?</details>", "", cell.source, flags=re.S)
        assert len(text.split()) < 120, cell.source


@every_notebook
def test_nothing_vanishes_as_a_tag(name: str) -> None:
    for cell in cells(name, "markdown"):
        found = set(re.findall(r"</?([A-Za-z][\w-]*)", prose(cell)))
        assert found <= TAGS, f"write {found - TAGS} as code, or with &lt;: {cell.source}"


@every_notebook
def test_figures_are_told_in_words(name: str) -> None:
    """After each figure comes a text that says what is to be seen; the image has an alternative text."""
    all_cells = notebook(name).cells
    n_figures = 0
    for cell, following in itertools.pairwise(all_cells):
        if cell.cell_type != "code":
            continue
        assert not any("image/png" in out.get("data", {}) for out in cell.outputs)  # has no alt text
        if any("<img" in out.get("data", {}).get("text/html", "") for out in cell.outputs):
            n_figures += 1
            assert following.cell_type == "markdown", cell.source
            assert following.source.startswith("**Look.**"), cell.source
            assert len(shown(cell)) > 40
    assert n_figures >= 2


@every_notebook
def test_links_lead_somewhere(name: str) -> None:
    for cell in cells(name, "markdown"):
        for target in re.findall(r"\]\(([^)#]+)\)", prose(cell)):
            assert (FOLDER / target).exists(), target


@every_notebook
def test_what_needs_a_server_is_not_compared_and_steps_aside(name: str) -> None:
    for cell in cells(name, "code"):
        if NEEDS_SERVER.search(cell.source):
            assert "nbval-ignore-output" in tags(cell), cell.source
            assert "No server found" in cell.source


def test_a_picture_is_compared_by_its_words() -> None:
    assert repr(Picture("<img>", "A line.")) == "<Figure: A line.>"


def test_the_glossary_is_linked_from_the_lessons() -> None:
    """Each word is linked from the lesson that it names, and each link leads to a word."""
    words = re.findall(r"^### (.+)\n((?:.+\n?)+)", (FOLDER / "GLOSSARY.md").read_text(), re.MULTILINE)
    named = {
        (word.strip("`").lower().replace(" ", "-"), re.findall(r"\(\[\w+\]\((.+?)\)\)", text)[-1])
        for word, text in words
    }
    linked = {
        (word, name) for name in NAMES for word in re.findall(r"\(GLOSSARY\.md#([\w-]+)\)", (FOLDER / name).read_text())
    }
    assert len(named) == len(words) > 30
    assert linked == named
