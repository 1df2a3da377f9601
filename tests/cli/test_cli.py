"""The command line: what it prints, and one clear line for whatever makes no sense."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from streamlab import __version__
from streamlab.cli import main
from streamlab.results.run import Run


def listens(port: int) -> bool:
    with contextlib.closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def lines_of(capsys) -> list[str]:
    out: str = capsys.readouterr().out
    return out.splitlines()


def test_one_to_many_as_json(capsys):
    """The source's claim: 8,000 entries in 10 s, 2,000 to each of four, nothing pending or lost."""
    assert main(["run", "one-to-many", "--json"]) == 0
    (line,) = lines_of(capsys)
    summary = json.loads(line)
    assert list(summary) == [
        "scenario", "engine", "server", "seed", "duration", "wall", "wall_parts", "added", "processed",
        "acked",
        "redelivered", "duplicates", "dead_lettered", "trimmed", "lost", "pending", "undelivered",
        "backlog_max", "sojourn", "consumers", "recovery",
    ]  # fmt: skip
    assert (summary["added"], summary["processed"], summary["acked"]) == (8000, 8000, 8000)
    assert {name: c["acked"] for name, c in summary["consumers"].items()} == dict.fromkeys(
        ["C1", "C2", "C3", "C4"], 2000
    )
    assert (summary["pending"], summary["lost"], summary["undelivered"], summary["duplicates"]) == (0, 0, 0, 0)
    assert summary["duration"] == pytest.approx(10, abs=0.1)
    assert list(summary["sojourn"]) == ["p50", "p95", "p99", "max"]
    assert set(summary["consumers"]["C1"]) == {
        "delivered", "processed", "acked", "claimed", "pending", "utilisation"
    }  # fmt: skip


def test_many_to_many_assigns_as_in_the_diagram(capsys):
    """1→C1, 2→C2, 3→C3, 4→C1, 5→C2, 6→C3, 7→C1; no entry to two consumers."""
    assert main(["run", "many-to-many", "--entries", "7", "--consumers", "3", "--events"]) == 0
    events = [json.loads(line) for line in lines_of(capsys)]
    ids = [e["id"] for e in events if e["kind"] == "added"]
    given = {e["id"]: e["consumer"] for e in events if e["kind"] == "delivered"}
    assert [given[entry_id] for entry_id in ids] == ["C1", "C2", "C3", "C1", "C2", "C3", "C1"]
    assert len([e for e in events if e["kind"] == "delivered"]) == 7


def test_the_same_seed_gives_the_same_bytes(capsys):
    """And another seed gives other arrivals, where they are random."""
    outputs = []
    for seed in ("5", "5", "6"):
        main(["run", "one-to-one", "--entries", "50", "--seed", seed, "--events"])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0] != outputs[2]


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    """Whatever the hash seed of the interpreter."""
    command = [sys.executable, "-m", "streamlab", "run", "one-to-one", "--entries", "50", "--events"]
    outputs = {
        subprocess.run(command, capture_output=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_options_change_the_scenario(capsys):
    """Producers, consumers, rate, service, count and duration are the ones asked for."""
    options = "--producers 2 --consumers 3 --rate 10 --service 0.5 --count 2 --duration 4 --json"
    main(["run", "one-to-many", *options.split()])
    summary = json.loads(lines_of(capsys)[0])
    assert summary["added"] == 80
    assert list(summary["consumers"]) == ["C1", "C2", "C3"]
    assert summary["sojourn"]["p50"] >= 0.5


def test_a_report_for_reading(capsys):
    """Without options: figures, and a line for each consumer."""
    assert main(["run", "many-to-many", "--duration", "1"]) == 0
    out = capsys.readouterr().out
    assert "added 300 · processed 300 · acked 300 · lost 0" in out
    assert "C3          100  33.3%" in out


def test_a_run_is_kept_and_drawn(tmp_path, capsys):
    """``--save`` writes what `Run.load` reads; ``--plot`` a picture."""
    pytest.importorskip("matplotlib", reason="the course extra is not installed")
    saved, drawn = tmp_path / "run.jsonl", tmp_path / "run.png"
    assert main(["run", "many-to-many", "--entries", "30", "--save", str(saved), "--plot", str(drawn)]) == 0
    assert Run.load(saved).added == 30
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_a_toml_file_is_run(tmp_path, capsys):
    """A scenario of one's own."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nentries = 12\n[[consumers]]\nname = "A"\n[[consumers]]\nname = "B"\n')
    assert main(["run", str(file), "--json"]) == 0
    summary = json.loads(lines_of(capsys)[0])
    assert (summary["scenario"], summary["added"], list(summary["consumers"])) == ("mine", 12, ["A", "B"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run one-to-mny", "did you mean one-to-many?"),
        ("run", "missing argument 'NAME|FILE.toml' (see: streamlab run --help)"),
        ("run one-to-one --rate -1", "producers.0.arrivals.rate is -1.0: give a number of entries per second above 0"),
        ("run one-to-one --rate 0", "arrivals.rate is 0.0: give a number"),
        ("run one-to-one --rate nan", "arrivals.rate is nan: give a number"),
        ("run one-to-one --service -1", "consumers.0.service.mean is -1.0: give a number of seconds of at least 0"),
        ("run one-to-one --consumers 0", "the number of consumers is 0: give a whole number"),
        ("run one-to-one --producers -2", "the number of producers is -2"),
        ("run one-to-one --count 0", "count is 0"),
        ("run one-to-one --entries 0", "entries is 0"),
        ("run one-to-one --duration inf", "duration is inf: give a number of seconds above 0"),
        ("run one-to-one --seed -1", "seed is -1"),
        ("run one-to-one --speed 0", "speed is 0.0"),
        ("run one-to-one --entries many", "invalid value for '--entries': 'many' is not a valid int"),
        ("run one-to-one --engine virtual", "'virtual' is not one of 'simulated', 'live', 'both'"),
        ("run one-to-one --redis redis://localhost", "add --engine live"),
        ("run nowhere.toml", "cannot read nowhere.toml: No such file"),
        ("run departures --engine live", "lasts 365 days: "),
        ("run departures --producers 2", "a replay cannot be given to several producers"),
        ("run one-to-one --engine live --redis redis://127.0.0.1:1", "no Redis server can be reached at 127.0.0.1:1"),
        ("run one-to-one --engine live --redis localhost", "not a Redis URL"),
        ("eat", "no such command 'eat'"),
        ("rum one-to-one", "Did you mean 'run'?"),
        ("run one-to-one --recvery none", "no such option: --recvery (Possible options: --producers, --recovery)"),
        ("run one-to-one --entries", "'--entries' requires an argument (see: streamlab run --help)"),
        ("run one-to-one many-to-one", "unexpected extra argument"),
    ],
)
def test_nonsense_is_answered_in_one_line(arguments, words, capsys):
    """Exit status 2, nothing on standard output, and a line that says what to write instead."""
    status = main(arguments.split())
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("streamlab: ")
    assert words in err


def test_toml_with_a_wrong_key_names_the_file(tmp_path, capsys):
    """The line says where to look."""
    file = tmp_path / "mine.toml"
    file.write_text("[[consumers]]\nservce = { mean = 1 }\n")
    assert main(["run", str(file)]) == 2
    assert f"{file}: consumers.0.servce is an unknown key: did you mean service?" in capsys.readouterr().err


def test_a_broken_invariant_is_exit_status_1(capsys, monkeypatch):
    """Entries that are lost are told, run by run, and the status says so."""
    monkeypatch.setattr(Run, "broken", lambda self: ["1 of 5 entries are lost"])
    assert main(["run", "one-to-one", "--entries", "5"]) == 1
    assert "streamlab: broken (simulated): 1 of 5 entries are lost" in capsys.readouterr().err


def test_a_worker_that_nobody_started_says_so():
    """Typed by hand it gets no task."""
    done = subprocess.run([sys.executable, "-m", "streamlab", "worker"], input=b"", capture_output=True, check=False)
    assert done.returncode == 2
    assert b"streamlab run --engine live" in done.stderr


def test_the_course_opens_in_jupyterlab(tmp_path):
    """``streamlab lab`` serves a copy of the notebooks on 127.0.0.1 only, behind its token, until Ctrl-C."""
    pytest.importorskip("jupyterlab", reason="the course extra is not installed")
    private = {name: str(tmp_path) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    lab: Any = subprocess.Popen(
        [sys.executable, "-m", "streamlab", "lab", "--no-browser", "--folder", str(tmp_path / "mine")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | private | {"PYTHONWARNINGS": "ignore"},
        start_new_session=True,
    )
    try:
        for line in lab.stderr:
            found = re.search(r"http://(localhost|127\.0\.0\.1):(\d+)/lab\S*[?&]token=(\w+)", line)
            if found:
                break
        else:
            pytest.fail(f"JupyterLab did not start: {lab.wait()}")
        port, token = int(found[2]), found[3]
        deadline = time.monotonic() + 30  # it says so a moment before it listens
        while not listens(port):
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.05)
        base = f"http://127.0.0.1:{port}/api/contents/00_start_here.ipynb"
        with urllib.request.urlopen(f"{base}?token={token}", timeout=30) as answer:
            opened = json.load(answer)
        assert opened["type"] == "notebook"
        code = [cell for cell in opened["content"]["cells"] if cell["cell_type"] == "code"]
        assert not any(cell["outputs"] for cell in code)  # what is below a "Predict" is not told
        assert str(tmp_path / "mine") in lab.stdout.readline()
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(base, timeout=30)
        refused.value.close()
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(30)
        lab.stdout.close()
        lab.stderr.close()


def test_a_copy_and_nothing_else(tmp_path, capsys, monkeypatch):
    """``--copy-only``, for who prepares a machine for others: JupyterLab need not be installed."""
    monkeypatch.setattr("streamlab.cli.opening.find_spec", lambda package: None)
    assert main(["lab", "--copy-only", "--folder", str(tmp_path / "course")]) == 0
    assert str(tmp_path / "course") in capsys.readouterr().out
    assert (tmp_path / "course" / "00_start_here.ipynb").is_file()
    assert main(["lab", "--folder", str(tmp_path / "course")]) == 2


def test_no_copy_of_the_course_in_the_course(capsys):
    """``streamlab lab --folder notebooks`` would make the course its own copy: one line, status 2."""
    course = Path(__file__).parents[2] / "notebooks"
    assert main(["lab", "--no-browser", "--folder", str(course)]) == 2
    assert capsys.readouterr().err.startswith("streamlab: ")


def test_help_and_version(capsys):
    """No command: help; ``--version``: the version."""
    assert main([]) == 0
    assert "doctor" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"streamlab {__version__}\n"


def test_a_reader_that_has_had_enough_is_no_traceback():
    """``streamlab run … --events | head -1``."""
    command = f"{sys.executable} -m streamlab run one-to-many --events | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert (done.stdout.count(b"\n"), done.stderr) == (1, b"")
