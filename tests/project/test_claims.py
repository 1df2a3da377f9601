"""What the course sets out to show: each claim is shown by a cell, asserted, and taken to where it stops being true.

The claims are those of the tutorial that the course grew out of. A cell is named by its lesson and by how it begins.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"

#: The seven parts, and the lessons of each.
PARTS = {
    "Introduction": ["00"],
    "Redis Stream": ["01"],
    "Consumer Group": ["02"],
    "Scenario": ["03", "04", "05", "06"],
    "Development": ["07"],
    "Recovering from failures": ["08", "09", "10", "11", "12"],
    "Conclusion": ["13", "14", "15"],
}


@dataclass(frozen=True)
class Claim:
    """A claim, and the cells that bear it out: each a lesson and the beginning of a cell."""

    words: str
    shown: tuple[str, str]
    asserted: tuple[str, str]
    ends: tuple[tuple[str, str], ...]
    """Where it stops being true."""


CLAIMS = (
    Claim(
        "producers and consumers work at different paces",
        ("00", "alone = Lab(shop)"),
        ("00", "waiting = zip("),
        (("00", "helped = Lab(shop)"),),
    ),
    Claim(
        "there is more than one kind of consumer, each with its own needs and pace",
        ("00", "r.delete(ORDERS)\nbacklogs ="),
        ("00", "r.delete(ORDERS)\nbacklogs ="),
        (("05", "r.xtrim(ORDERS, maxlen=1, approximate=False)"),),
    ),
    Claim(
        "in a perfect world nothing is lost and no backlog builds; in the real one it is, and it does",
        ("00", "perfect = Lab("),
        ("00", "perfect = Lab("),
        (("00", "random_paces ="), ("00", "received = r.publish"), ("05", "trimmed = Lab(")),
    ),
    Claim(
        "a stream is like a log file opened for append only",
        ("01", 'r.delete(ORDERS)\nr.xadd(ORDERS, {"item": "tea"}, id="1000-0")'),
        ("01", 'try:\n    r.xadd(ORDERS, {"item": "juice"}'),
        (("01", 'r.xadd(ORDERS, {"item": "soup"}'), ("01", "n_removed = r.xtrim(ORDERS, maxlen=5")),
    ),
    Claim(
        "with blocking reads that wait for new entries",
        ("01", 'print("without BLOCK:"'),
        ("01", 'print("without BLOCK:"'),
        (("01", 'r.xadd(ORDERS, {"number": 28}'),),
    ),
    Claim(
        "a group takes from one stream and serves many consumers, each entry to one of them",
        ("02", "async def work_off("),
        ("02", "assert given =="),
        (("02", "def alice_has():"), ("02", "r.xadd(NEWER"), ("06", 'crash = Lab("crash")')),
    ),
    Claim(
        "slower consumers are relieved",
        ("04", "uneven = four.with_consumer"),
        ("04", "shares = {name:"),
        (("06", "lame = burst.with_consumer"),),
    ),
    Claim(
        "scenario 1: one producer, one consumer",
        ("03", "clockwork = Scenario("),
        ("03", "busy = run.consumers"),
        (("03", "rows = []\nfor service in"), ("03", "lam, mu =")),
    ),
    Claim(
        "scenario 2: at 800 messages a second and 4 consumers, each consumes 200 a second",
        ("04", "equal = Lab(four)"),
        ("04", "assert equal.added == 8000"),
        (("04", "uneven = four.with_consumer"),),
    ),
    Claim(
        "scenario 3: N producers, one consumer that consumes everything they produce",
        ("05", 'named = Lab("many-to-one")'),
        ("05", "def as_numbers"),
        (("05", "rows = []\nfor n in (4, 6, 8, 10)"), ("05", "trimmed = Lab(")),
    ),
    Claim(
        "scenario 4: messages 1 to 7 go to C1, C2, C3, C1, C2, C3, C1",
        ("06", "dealt = Lab(seven)"),
        ("06", "names = [name for _, name in dealt"),
        (("06", "SLOW_SERVICE_TIME ="), ("06", "varied ="), ("06", "burst =")),
    ),
    Claim(
        "no message goes to two consumers",
        ("06", "for run in (dealt,"),
        ("06", "for run in (dealt,"),
        (("06", 'crash = Lab("crash")'),),
    ),
)


def lesson(number: str) -> Any:
    (path,) = FOLDER.glob(f"{number}_*.ipynb")
    return nbformat.read(path, as_version=4)


def cell(place: tuple[str, str]) -> Any:
    """Return the one cell that begins so."""
    number, beginning = place
    found = [cell for cell in lesson(number).cells if cell.cell_type == "code" and cell.source.startswith(beginning)]
    assert len(found) == 1, f"{len(found)} cells of lesson {number} begin with {beginning!r}"
    return found[0]


def asserts(source: str) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.words)
def test_is_shown_asserted_and_taken_to_its_end(claim: Claim) -> None:
    """The cells are there, show something, and assert; where the claim ends is shown, and asserted there or next."""
    assert cell(claim.shown).outputs or asserts(cell(claim.shown).source)
    assert asserts(cell(claim.asserted).source)
    for place in claim.ends:
        code = [each for each in lesson(place[0]).cells if each.cell_type == "code"]
        at = next(i for i, each in enumerate(code) if each.id == cell(place).id)
        assert any(asserts(each.source) for each in code[at : at + 3]), place
        assert any(each.outputs for each in code[at : at + 3]), place


@pytest.mark.parametrize("part", PARTS)
def test_the_parts_are_found_under_their_names(part: str) -> None:
    """In the titles of their lessons, in the first lesson's table of contents, and in the README's."""
    for number in PARTS[part]:
        title = lesson(number).cells[0].source.splitlines()[0]
        assert title.startswith(f"# {part}"), title
    contents = "\n".join(cell.source for cell in lesson("00").cells if re.search(r"^\| part", cell.source, re.M))
    readme = (ROOT / "README.md").read_text()
    for text in (contents, readme):
        row = next(line for line in text.splitlines() if re.match(rf"\|[^|]*{part}", line))
        at = text.index(row)
        for number in PARTS[part]:
            if text is contents and number == "00":
                assert "this one" in row
                continue
            assert re.search(rf"\({'' if text is contents else 'notebooks/'}{number}_\w+\.ipynb\)", text[at:])


def test_every_lesson_is_in_a_part() -> None:
    """But for the appendix, which the tables of contents name as well."""
    numbers = {path.name[:2] for path in FOLDER.glob("*.ipynb")} - {"A_"}
    assert numbers == {number for part in PARTS.values() for number in part}
    assert "A_inside_the_model.ipynb" in (ROOT / "README.md").read_text()
    assert any("A_inside_the_model.ipynb" in cell.source for cell in lesson("00").cells)


def test_minutes_are_the_lessons_own() -> None:
    """In the table for teachers and in the table of contents: what each lesson says of itself."""
    teaching = (FOLDER / "TEACHING.md").read_text()
    contents = "\n".join(cell.source for cell in lesson("00").cells)
    for path in sorted(FOLDER.glob("*.ipynb")):
        text = "\n".join(cell.source for cell in lesson(path.name.partition("_")[0]).cells)
        (minutes,) = re.findall(r"It takes about (\d+) minutes", text)
        row = re.search(rf"^\| {path.name.partition('_')[0]} .*\| (\d+) \|$", teaching, re.M)
        assert row is not None, path.name
        assert row[1] == minutes, path.name
        link = "this one" if path.name.startswith("00") else rf".*\({path.name}\)"
        in_contents = re.search(rf"^\|[^|]*\| {link} \| (\d+) \|$", contents, re.M)
        assert in_contents is not None, path.name
        assert in_contents[1] == minutes, path.name
