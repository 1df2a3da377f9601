"""``streamlab torture --seeds``: one seed after the other, or some at once, up to the first that fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamlab.cli import main
from tests.conftest import Eventually
from tests.process_table import descendants, runs

WORKER = f"{sys.executable} {Path(__file__).parents[1] / 'lab/programs/consumer.py'}"
SHORT = ("--effects", "effects", "--duration", "1s", "--rate", "50", "--consumers", "2", "--every", "250ms")

real = pytest.mark.real_time("runs processes, and kills them")


@real
@pytest.mark.redis
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_seed_has_its_line(jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the seeds, whoever is done first: other faults for each, and the same as by itself."""
    asked = ["torture", "--worker", WORKER, *SHORT, "--faults", "random", "--json"]
    assert main([*asked, "--seed", "3", "--seeds", "2", "--jobs", jobs]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["seed"], line["verdict"], line["processed"]) for line in lines] == [
        (3, "survived", 50),
        (4, "survived", 50),
    ]
    assert main([*asked, "--seed", "4"]) == 0
    assert lines[0]["faults"] != lines[1]["faults"] == json.loads(capsys.readouterr().out)["faults"]


@real
@pytest.mark.redis
def test_the_first_that_fails_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its story and its hint, and a page that says what to type for this seed alone."""
    page = tmp_path / "page.html"
    asked = ["torture", "--worker", f"{WORKER} acks-first", *SHORT, "--drain", "1s", "--html", str(page)]
    assert main([*asked, "--faults", "random", "--seed", "3", "--seeds", "50", "--jobs", "2"]) == 1
    said = capsys.readouterr()
    *survived, last = [line for line in said.out.splitlines() if line.startswith("seed ")]
    assert len(survived) < 10
    assert all(": survived, " in line for line in survived)
    assert ": broken, " in last
    assert "acknowledged before it was processed" in said.err
    assert f"--seed {last.split()[1].rstrip(':')}" in page.read_text()
    assert "--seeds" not in page.read_text()


@real
@pytest.mark.redis
@pytest.mark.parametrize("whom", ["the command", "the terminal's group"])
def test_ctrl_c_leaves_nothing(whom: str, tmp_path_factory: pytest.TempPathFactory, eventually: Eventually) -> None:
    """Neither the processes that run the seeds, nor their servers, nor the programs; and no folder of theirs."""
    folder = tmp_path_factory.mktemp("t")  # of a short name: what has a socket goes elsewhere if its path is too long
    command = [sys.executable, "-m", "streamlab", "torture", "--worker", WORKER, "--duration", "60s"]
    asked = subprocess.Popen(
        [*command, "--faults", "random", "--seeds", "2", "--jobs", "2"], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(folder)}, process_group=0,
    )  # fmt: skip
    below: dict[int, str] = {}

    def all_have_begun() -> bool:
        below.update(descendants(asked.pid))
        return sum("consumer.py" in words for words in below.values()) == 6

    eventually(all_have_begun, "three programs run for each seed", timeout=60)
    assert len(os.listdir(folder)) >= 2
    (os.kill if whom == "the command" else os.killpg)(asked.pid, signal.SIGINT)
    _, said = asked.communicate(timeout=60)
    assert asked.returncode == 130
    assert said.endswith("interrupted: workers and private servers have been ended\n")
    eventually(lambda: not any(map(runs, below)), "all processes end", timeout=60)
    assert [name for name in os.listdir(folder) if name.startswith("streamlab-")] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seeds", "0", "--faults", "random"], "--seeds is 0: give a whole number of at least 1"),
        (["--seeds", "2"], "only where faults are drawn by a seed: add --faults random"),
        (["--jobs", "0"], "--jobs is 0: give how many processes, or -1"),
        (["--jobs", "2", "--redis", "redis://localhost:1"], "leave --jobs and --dask out"),
        (["--dask", "here:1", "--redis", "redis://localhost:1"], "leave --jobs and --dask out"),
    ],
)
def test_what_makes_no_sense_is_refused(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything runs, in a line that says what to do."""
    assert main(["torture", "--worker", WORKER, *options]) == 2
    assert words in capsys.readouterr().err
