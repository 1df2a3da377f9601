"""``streamlab sweep``: variations of a scenario, with many seeds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streamlab import Lab, Run, load_scenario, sweep_over
from streamlab.cli import main

SHORT = "sweep one-to-one --entries 40 --seeds 3"


def told(capsys: pytest.CaptureFixture[str], command: str) -> str:
    assert main(command.split()) == 0
    return capsys.readouterr().out


def test_a_row_for_each_combination(capsys: pytest.CaptureFixture[str]) -> None:
    """Plain text in a pipe: what was swept over, the figures, and how far to trust them."""
    lines = told(capsys, f"{SHORT} --over consumers=1..3 --over service=2ms,4ms").splitlines()
    assert lines[0] == "one-to-one over consumers and service: 18 simulated runs"
    assert lines[1].endswith("of the sojourn time, 3 seeds each; ± is half of the 95 % confidence interval")
    assert re.split(r"  +", lines[3])[:4] == ["consumers", "service", "busy", "entries/s"]
    rows = [re.split(r"  +", line) for line in lines[4:]]
    assert [row[:2] for row in rows] == [[str(n), f"{ms} ms"] for n in (1, 2, 3) for ms in (2, 4)]
    assert all(re.fullmatch(r"\d+\.\d±\d+\.\d", cell) for row in rows for cell in row[4:6])
    assert not re.search("\x1b|[─-╿]", "".join(lines))


def test_as_json_it_is_what_python_has(capsys: pytest.CaptureFixture[str]) -> None:
    """The same from two processes; seeds go from --seed on."""
    asked = f"{SHORT} --seed 7 --over consumers=1,2 --json"
    (line,) = told(capsys, asked).splitlines()
    base = load_scenario("one-to-one").replace(entries=40, duration=None)
    swept = sweep_over(base, consumers=[1, 2], seeds=[7, 8, 9])
    assert json.loads(line) == swept.summary()
    p99 = json.loads(line)["rows"][1]["sojourn_p99"]
    assert p99 == {"value": round(swept.rows[1].estimate("sojourn_p99").value, 6), "margin": p99["margin"]}
    assert told(capsys, f"{asked} --jobs 2") == line + "\n"


def test_all_of_a_run_s_options_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    """One of two is dead from the start, and the sweep goes on with what the options made of the scenario."""
    asked = f"{SHORT} --consumers 2 --over rate=50,100 --service 0.001 --json".split()
    assert main([*asked, "--fault", "kill C1 at 0s"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    scenario = load_scenario("one-to-one").with_consumers(2).with_service(0.001).with_faults("kill C1 at 0s")
    swept = sweep_over(scenario.replace(entries=40, duration=None), rate=[50, 100], seeds=range(1, 4))
    assert rows == swept.summary()["rows"]


def test_where_nothing_was_done_there_is_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has no NaN."""
    dead = ["--fault", "kill C1 at 0s", "--json", "--over", "rate=100"]
    assert main([*SHORT.split(), *dead]) == 0
    (row,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["rows"]
    assert row["sojourn_p99"] == {"value": None, "margin": None}
    assert row["left"]["value"] == 40


def test_a_broken_invariant_is_exit_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "broken", lambda run: ["tea is gone"] if run.scenario.seed == 2 else [])
    assert main([*SHORT.split(), "--over", "consumers=2"]) == 1
    said = capsys.readouterr()
    assert "consumers" in said.out
    assert said.err == "streamlab: broken: consumers 2, seed 2: tea is gone\n"


def test_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the course extra is not installed")
    drawn = tmp_path / "sweep.png"
    told(capsys, f"{SHORT} --over consumers=1,2 --plot {drawn}")
    assert drawn.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "nothing is swept over: add --over consumers=1..8"),
        ("--over consmers=1..3", "--over consmers is no parameter of a scenario: did you mean consumers? known are"),
        ("--over consumers=3..1", "--over consumers=3..1: 3..1 goes down: write the smaller one first"),
        ("--over consumers=1 --consumers 2", "consumers is both swept over and given by --consumers: leave one out"),
        ("--over min-idle=1s --min-idle 2s", "min_idle is both swept over and given by --min-idle"),
        ("--over consumers=0,1", "consumers 0: the number of consumers is 0: give a whole number"),
        ("--over consumers=1 --seeds 0", "--seeds is 0: give a whole number of at least 1"),
        ("--over consumers=1 --jobs 0", "--jobs is 0: give how many processes, or -1"),
        ("--over consumers=1 --plot nowhere/x.png", "there is no folder nowhere"),
        ("--over consumers=1 --plot x.xyz", "the name has to end in"),
        ("--over consumers=1 --engine live", "no such option: --engine"),
    ],
)
def test_nonsense_is_refused_before_anything_runs(
    options: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lab, "run", lambda lab: pytest.fail("something has run"))
    assert main(["sweep", "one-to-one", *options.split()]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1


def test_without_joblib_it_says_what_to_install() -> None:
    """In one line, as everywhere."""
    code = "import sys; sys.modules['joblib'] = None; from streamlab.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *SHORT.split(), "--over", "consumers=1", "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("streamlab: --jobs=2 needs joblib: pip install 'consumer-group-lab[jobs]'")
    assert done.stderr.count("\n") == 1
