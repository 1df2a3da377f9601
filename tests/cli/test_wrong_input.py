"""What is wrong is said in one line, before anything runs; a result that was computed is shown, whatever follows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamlab.cli import main
from streamlab.lab.lab import Lab
from streamlab.results.run import Run
from streamlab.scenario import ScenarioError


def no_run(*_: object, **__: object) -> None:
    raise AssertionError("the run had begun before this was looked at")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Give a function that runs a command, which has to be refused before it runs; it returns what was said."""

    def refuse(command: str) -> str:
        with monkeypatch.context() as nothing_runs:
            nothing_runs.setattr(Lab, "run", no_run)
            nothing_runs.setattr("streamlab.lab.both.run_both", no_run)
            assert main(command.split()) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("streamlab: ")
        assert said.err.count("\n") == 1
        return said.err

    return refuse


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--save {tmp}/nowhere/run.jsonl", "there is no folder"),
        ("--save {tmp}", "is a folder"),
        ("--html {tmp}/nowhere/run.html", "there is no folder"),
        ("--html {tmp}", "is a folder"),
        ("--engine both --html {tmp}/run.html", "--html keeps one run"),
        ("--plot {tmp}/nowhere/run.png", "there is no folder"),
        ("--plot {tmp}/run.xyz", "the name has to end in"),
        ("--plot {tmp}/run", "the name has to end in"),
        ("--json --events", "take one of them"),
        ("--engine both --save {tmp}/run.jsonl", "--save keeps one run"),
        ("--redis redis://localhost", "add --engine live"),
    ],
)
def test_outputs_are_checked_before_the_run(
    options: str, words: str, refused: Callable[[str], str], tmp_path: Path
) -> None:
    assert words in refused(f"run crash {options.format(tmp=tmp_path)}")


def test_a_missing_extra_is_found_before_the_run(
    refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """matplotlib for --plot: which package, and how to get it."""
    monkeypatch.setattr("streamlab.cli.files.find_spec", lambda name: None)
    assert "pip install 'consumer-group-lab[course]'" in refused(f"run crash --plot {tmp_path}/x.png")


def test_the_report_is_printed_whatever_fails_after_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A disk that is full by the time a run is saved: the result is on the screen."""

    def full(self: Run, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Run, "save", full)
    assert main(["run", "crash", "--save", str(tmp_path / "x")]) == 1
    said = capsys.readouterr()
    assert "added 500 · processed 500" in said.out
    assert said.err.startswith("streamlab: [Errno 28] No space left on device")
    assert said.err.count("\n") == 1


# ---- a shell that is not as usual ----------------------------------------------------------------------


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command.replace("streamlab", f"{sys.executable} -m streamlab")],
        env={**os.environ, **environment},
        capture_output=True,
        encoding="latin-1",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_encoding_will_do(encoding: str) -> None:
    """What cannot be written in it is replaced, and nothing is lost or raised."""
    done = shell("streamlab run crash; streamlab doctor; streamlab --help", PYTHONIOENCODING=encoding)
    assert done.stderr == ""
    assert "added 500" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_outputs_may_be_closed(closed: str) -> None:
    assert shell(f"streamlab run crash {closed}").returncode == 0
    assert shell(f"streamlab run nowhere {closed}").returncode == 2


def test_needs_no_database_of_time_zones() -> None:
    """As on Windows and slim images: the departures know New York's days by themselves."""
    code = "import sys; sys.modules['tzdata'] = None; from streamlab.cli import main; sys.exit(main(sys.argv[1:]))"
    for scenario in ("crash", "departures-day"):
        done = subprocess.run(
            [sys.executable, "-c", code, "run", scenario],
            env={**os.environ, "PYTHONTZPATH": "/nowhere"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


# ---- files -----------------------------------------------------------------------------------------------

REPLAY = """
[[producers]]
name = "P1"
[producers.arrivals]
kind = "replay"
source = "{source}"
"""
ONE = """
{limit}
[[producers]]
name = "P1"
[producers.arrivals]
kind = "{kind}"
rate = {rate}
[[consumers]]
name = "C1"
[consumers.service]
kind = "lognormal"
cv = {cv}
"""


@pytest.mark.parametrize("engine", ["simulated", "live"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "needs one called 'at'"),
        (b"at,x\nzz,1\n", "is not a number"),
        (b"at,x\n1,1\n0,1\n", "sort the rows"),
        (b"at,x\n0,1\n1,2\n2,zz,3\n", "not as many values"),
        (b"at,x\n" + b"9" * 6000 + b",1\n", "sort the rows"),
        (b"at,x\n0," + b"y" * 200_000 + b"\n", "field larger than field limit"),
        (b"at,x\n0,\xe9\n", "not text in UTF-8"),
    ],
)
def test_a_wrong_csv_file_is_wrong_use_on_both_engines(
    engine: str, content: bytes, words: str, refused: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "data.csv").write_bytes(content)
    (tmp_path / "replay.toml").write_text(REPLAY.format(source=tmp_path / "data.csv"))
    assert words in refused(f"run {tmp_path}/replay.toml --engine {engine}")


def test_a_byte_order_mark_is_not_part_of_a_file(tmp_path: Path) -> None:
    """As spreadsheets write it, before a CSV file and before TOML."""
    (tmp_path / "data.csv").write_bytes(b"\xef\xbb\xbfat,x\n0,1\n1,2\n")
    text = REPLAY.format(source=tmp_path / "data.csv")
    (tmp_path / "replay.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert Lab(tmp_path / "replay.toml").run().acked == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (REPLAY.format(source="departures:a:b:c:d"), "says too much"),
        (REPLAY.format(source="departures:JFK:2013-13-01"), "is not a day"),
        (ONE.format(limit="entries = 5", kind="constant", rate=10, cv="1e200"), "service.cv"),
        (ONE.format(limit="entries = 5", kind="constant", rate=10, cv="nan"), "service.cv"),
        (ONE.format(limit=f"entries = {'9' * 6000}", kind="constant", rate=10, cv=1), "not TOML"),
        (ONE.format(limit="entries = 5", kind="poisson", rate="1e-308", cv=1), "days"),
        ("a = " + "[" * 100_000, "not TOML"),
        ("a." * 5000 + "b = 1", "unknown key"),
    ],
)  # fmt: skip
def test_nonsense_in_toml_is_one_line(text: str, words: str, refused: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    assert words in refused(f"run {tmp_path}/x.toml")


@pytest.mark.parametrize(
    "options",
    [
        "one-to-one --entries 9 --rate 0.00005",  # by entries
        "one-to-one --duration 100000",
        "departures",
    ],
)
def test_a_live_run_that_lasts_for_days_is_refused(options: str, refused: Callable[[str], str]) -> None:
    assert "days" in refused(f"run {options} --engine live")


def test_a_late_start_counts_as_well(tmp_path: Path) -> None:
    """One entry, in two days' time."""
    late = ONE.format(limit="entries = 1", kind="constant", rate="10\nstart = 200000.0", cv=1)
    (tmp_path / "late.toml").write_text(late)
    with pytest.raises(ScenarioError, match="lasts 2 days"):
        Lab(tmp_path / "late.toml", engine="live")
    began = time.monotonic()
    assert Lab(tmp_path / "late.toml").run().acked == 1
    assert time.monotonic() - began < 20
