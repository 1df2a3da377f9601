"""``streamlab run --html`` and ``streamlab replay``: a run as a page, and a saved one again."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from streamlab.cli import main
from streamlab.lab.lab import Lab
from streamlab.views.playback import Playback
from tests.views.figures import recording_of

RUN = ["run", "many-to-many", "--entries", "7"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What the browser was told to open, which grows."""
    found: list[Path] = []

    def open_(address: str) -> bool:
        found.append(Path(unquote(urlparse(address).path)))
        return True

    monkeypatch.setattr(webbrowser, "open", open_)
    return found


def test_a_run_as_a_page_and_again_from_its_file(
    tmp_path: Path, opened: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """``--html`` writes a page; what ``--save`` keeps becomes one that plays the same, and the browser opens it."""
    saved, page, again = tmp_path / "a run.jsonl", tmp_path / "run.html", tmp_path / "again.html"
    assert main([*RUN, "--save", str(saved), "--html", str(page)]) == 0
    assert "added 7 · processed 7" in capsys.readouterr().out
    assert main(["replay", str(saved), "--html", str(again)]) == 0
    assert capsys.readouterr().out == f"{again}\n"
    assert opened == [again]
    one, other = (recording_of(each.read_text("utf-8")) for each in (page, again))
    assert one["ids"] == other["ids"]
    assert len(one["ids"]) == 7
    assert [found for _, found in one["frames"]][-1]["headline"] == ["calm", "The run has ended."]
    assert len(one["frames"]) == len(other["frames"])


def test_without_a_name_the_page_is_among_what_is_temporary(
    tmp_path: Path, opened: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called like the run; only its name is printed where no browser is wanted, or none can be started."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    saved = tmp_path / "mine.jsonl"
    Lab("many-to-many").run_until(0.1).save(saved)
    assert main(["replay", str(saved), "--no-browser"]) == 0
    said = capsys.readouterr()
    page = Path(said.out.strip())
    assert (page.name, page.parent.parent) == ("mine.html", tmp_path)
    assert page.read_text("utf-8") == Playback.load(saved).page()
    assert (opened, said.err) == ([], "")
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert main(["replay", str(saved)]) == 0
    assert "there is no browser" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{tmp}/none.jsonl"], "cannot read {tmp}/none.jsonl: No such file or directory"),
        (["{tmp}/wrong.jsonl"], "{tmp}/wrong.jsonl does not hold a run: "),
        (["{tmp}/wrong.jsonl", "--html", "{tmp}/nowhere/page.html"], "there is no folder {tmp}/nowhere"),
        (["{tmp}/wrong.jsonl", "--html", "{tmp}"], "--html {tmp} is a folder"),
    ],
)
def test_what_cannot_be_replayed(
    arguments: list[str], words: str, tmp_path: Path, opened: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit status 2, and nothing is opened."""
    (tmp_path / "wrong.jsonl").write_text("<p>a page</p>")
    assert main(["replay", *(each.format(tmp=tmp_path) for each in arguments)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("streamlab: ")
    assert words.format(tmp=tmp_path) in said.err
    assert said.err.count("\n") == 1
    assert (said.out, opened) == ("", [])
