"""The benchmarks run, and every rival does the same work. Nothing here is timed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from streamlab.servers.programs import ServerBinary

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}  # also where the package is not installed
N_ENTRIES = 60
RIVALS_NEED = {"simulation.py": ("simpy", "ciw"), "consumer.py": ("walrus", "faststream", "taskiq_redis")}


def run(benchmark: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a benchmark at a tiny size, each rival once."""
    program = ROOT / "benchmarks" / benchmark
    size = ("--entries", str(N_ENTRIES), "--repeats", "1", "--seconds", "0")
    return subprocess.run(
        [sys.executable, str(program), *size, *options],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def measured(benchmark: str, *options: str) -> dict[str, Any]:
    """Run a benchmark, and return what it says as JSON."""
    done = run(benchmark, *options, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def names(answer: dict[str, Any]) -> set[str]:
    return {row["name"] for row in answer["results"]}


@pytest.mark.parametrize("load", ["constant", "random"])
def test_all_simulate_the_same_number_of_entries(load: str) -> None:
    """Every simulator processes exactly the entries it is given, under both loads."""
    answer = measured("simulation.py", "--large", "200", *(["--random"] if load == "random" else []))
    assert answer["load"] == load
    assert {row["n_processed"] for row in answer["results"]} == {N_ENTRIES}
    ways = {"streamlab, Lab", "streamlab, Lab by coroutines"}
    expected = ways | {"streamlab, actors alone", "same actors, fakeredis"}
    if find_spec("simpy"):
        expected |= {"SimPy, Store", "SimPy with books kept", "SimPy, Resource"}
        assert answer["base"] == "SimPy, Store"
    if find_spec("ciw"):
        expected |= {"Ciw, a node with 4 servers"}
    assert expected < names(answer)
    assert {(each["way"], each["large"]) for each in answer["growth"]} == {(w, n) for w in ways for n in ("200", "256")}


@pytest.mark.redis
def test_all_consume_the_same_number_of_entries() -> None:
    """Every consumer processes all entries of the stream, and leaves none pending."""
    answer = measured("consumer.py")
    assert {row["n_processed"] for row in answer["results"]} == {N_ENTRIES}
    expected = {"streamlab, consume()", "hand-written, XACK each"}
    if find_spec("walrus"):
        expected |= {"walrus"}
    if find_spec("faststream"):
        expected |= {"FastStream, batches", "FastStream, one entry a call"}
    if find_spec("taskiq_redis"):
        expected |= {"taskiq-redis"}
    assert expected < names(answer)
    assert answer["base"].startswith("hand-written, XACK with the next read")


def test_the_table_names_its_base() -> None:
    """Without --json comes a Markdown table, and beneath it how the goals were met."""
    done = run("simulation.py", "--no-growth", "--only", "streamlab, Lab", "SimPy, Store")
    if find_spec("simpy") is None:
        assert "pip install --group bench" in done.stderr
        assert "streamlab, Lab" in done.stdout
    else:
        assert done.returncode == 0, done.stderr
        header, *rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
        assert header.rstrip(" |").endswith("SimPy, Store")
        assert len(rows) == 4
        assert "goal" in done.stdout


@pytest.mark.parametrize("benchmark", ["simulation.py", pytest.param("consumer.py", marks=pytest.mark.redis)])
def test_missing_rivals_step_aside(benchmark: str) -> None:
    """Where a rival is not installed, it is named with the extra that brings it, and the others run."""
    script = (
        "import importlib.util, runpy, sys\n"
        f"missing = {RIVALS_NEED[benchmark]!r}\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name in missing else find(name, *a)\n"
        "sys.argv = sys.argv[1:]\n"
        "sys.path.insert(0, sys.argv[0].rpartition('/')[0])\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    program = ROOT / "benchmarks" / benchmark
    size = ("--entries", "20", "--repeats", "1", "--seconds", "0", "--json")
    extra = ("--no-growth", "--only", "Lab", "Store", "Ciw") if benchmark == "simulation.py" else (
        "--only", "consume()", "walrus", "FastStream", "taskiq",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, str(program), *size, *extra],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in RIVALS_NEED[benchmark]:
        assert name in done.stderr
    assert "pip install --group bench" in done.stderr
    assert all("streamlab" in name for name in names(json.loads(done.stdout)))


def test_a_rival_that_loses_entries_is_found_out() -> None:
    """A measurement with another number of entries than was asked for is an error, not a result."""
    script = (
        "import sys\n"
        "from harness import Miscounted, Outcome, Rival, run_checked\n"
        "try:\n"
        "    run_checked(Rival('cheat', lambda n: Outcome(1.0, n - 1)), 10)\n"
        "except Miscounted as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT / "benchmarks",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "cheat processed 9 of 10 entries"


def test_the_embedded_server_is_compared() -> None:
    """Each command is measured with a long list and a short one, everywhere; only clients have a PING."""
    program = ROOT / "benchmarks" / "embedded.py"
    size = ("--pending", "2400", "--repeats", "2")
    for options in (("--json",), ()):
        done = subprocess.run(
            [sys.executable, str(program), *size, *options],
            cwd=ROOT,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        if options:
            answer = json.loads(done.stdout)
            assert answer["pending"] == [2000, 2400]
            for costs in answer["microseconds"]:
                assert set(costs.pop("PING")) == {"redis-py", "embedded", "fakeredis"}
                assert len(costs) == 3
                assert all(len(each) == 5 for each in costs.values())
            assert all(len(answer[ratio]) == 3 for ratio in answer if "_by_" in ratio)
        else:
            assert done.stdout.count("\n| ") == 5


@pytest.mark.redis
def test_a_watched_server_is_measured() -> None:
    """With as many entries, pending ones and looks as were asked for, and a share of time for each column."""
    program = ROOT / "benchmarks" / "watch.py"
    size = ("--entries", "400", "--pending", "90", "--seconds", "0.4", "--every", "0.1")
    for options in (("--json",), ()):
        done = subprocess.run(
            [sys.executable, str(program), *size, *options],
            cwd=ROOT,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        if options:
            answer = json.loads(done.stdout)
            assert (answer["entries"], answer["pending"]) == (400, 90)
            assert 1 <= answer["looks"] <= 4
            assert 0 < answer["first_look_s"] < 60
            assert all(0 <= answer[share] < 1 for share in ("watched", "not_watched", "in_commands"))
        else:
            assert re.search(r"\| [\d.]+ ms \| [1-4] \| [\d.]+% \| [\d.]+% \| [\d.]+% \|", done.stdout)


def test_several_processes_are_measured() -> None:
    """Each number of jobs takes its turn; the first is the base."""
    program = ROOT / "benchmarks" / "schedules.py"
    size = ("--schedules", "11", "--repeats", "1", "--jobs", "1", "2")
    done = subprocess.run(
        [sys.executable, program, *size], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    rows = re.findall(r"^\| (\d+) \| [\d.]+ \| [\d.]+–[\d.]+ \| ([\d.]+) \| ([\d.]+) \|$", done.stdout, re.M)
    assert [(jobs, float(processor) > 0) for jobs, _, processor in rows] == [("1", True), ("2", True)]
    assert rows[0][1] == "1.00"


@pytest.mark.redis
def test_what_a_killed_server_brings_back_is_what_its_page_says() -> None:
    """Each way to persist brings back what it must: nothing, a snapshot, all, or all but a file's torn end."""
    memory = Path("/dev/shm")  # on a slow disk, an append-only file may lag behind what was answered
    folder = {"TMPDIR": str(memory)} if memory.is_dir() else {}
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "persistence.py", "--acks", "60", "--repeats", "1", "--json"],
        env=ENVIRONMENT | folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["results"]
    ((nothing,), (snapshot,), (everysec,), (always,), (torn,), (halfway,)) = (row["runs"] for row in rows)
    assert (nothing["found"], nothing["again"], nothing["group"]) == (0, 0, False)
    for kept in (everysec, always):
        assert (kept["found"], kept["acks_lost"], kept["group"]) == (kept["added"], 0, True)
    for set_back in (snapshot, torn, halfway):
        assert set_back["found"] < set_back["added"]
        assert 0 < set_back["acks_lost"] <= set_back["again"]
    assert snapshot["found"] >= snapshot["halfway"]


def test_a_surprise_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """If acknowledged entries are gone that must not be, it says so, and exits with 1."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    persistence = import_module("persistence")
    kept = persistence.Found(added=10, found=10, unheard=0, again=2, acks_lost=0, group=True, halfway=5)
    lost = replace(kept, found=9)
    always = next(row for row in persistence.ROWS if row.persistence == "aof-always")
    server = ServerBinary("redis-server", "redis", (7, 0, 15))
    monkeypatch.setattr(persistence, "best_server", lambda: server)
    for found, status in (({always: [kept, lost]}, 1), ({always: [kept]}, 0)):
        monkeypatch.setattr(persistence, "repeated", lambda *_, found=found: found)
        assert persistence.main([]) == status
    said = capsys.readouterr()
    assert said.err.startswith("not as it must be: AOF, always: ")
    assert "| AOF, always | 10 | 10 / 9 | 0 / 1 | 2 | 0 |" in said.out


@pytest.mark.redis
@pytest.mark.real_time("what is lost is what was written in some tenths of a second")
@pytest.mark.parametrize("wait", [False, True])
def test_a_failover_loses_what_its_page_says(monkeypatch: pytest.MonkeyPatch, wait: bool) -> None:
    """What was not copied: about as much as was written since; nothing of what the replica was said to have."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    failover = import_module("failover")
    row = failover.Row(lag=0.3, wait=wait)
    found = failover.run_one(row, None)
    assert row.must(found)
    assert row.must(replace(found, lost=1, acks_lost=1)) != wait
    if not wait:
        assert 0.5 < found.lost / (row.lag * failover.RATE) < 2
        assert 0.5 < found.acks_lost / (failover.ACKED_AFTER * failover.RATE) < 2
    assert found.blocked > 0.5  # for so long the Sentinels wait before they call it dead


def test_the_whole_command_is_measured() -> None:
    """A command's simulation is a part of it, and it processes what it is told to."""
    program = ROOT / "benchmarks" / "command.py"
    options = ("--entries", "40", "80", "--no-departures", "--json")
    done = subprocess.run(
        [sys.executable, str(program), *options], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout)["results"]
    assert [row["n_entries"] for row in rows] == [40, 80]
    for row in rows:
        assert 0 < row["simulation"] < row["seconds"]
        assert row["ratio"] > 1
        assert row["megabytes"] > 10


def test_a_sweep_over_two_processes_is_measured() -> None:
    """Beside one over one process, which comes to the same numbers."""
    program = ROOT / "benchmarks" / "command.py"
    options = ("--sweep", "--seeds", "1", "--entries", "40", "--repeats", "1", "--json")
    done = subprocess.run(
        [sys.executable, str(program), *options], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["runs"] == 16
    assert found["ratio"] == found["two"] / found["one"] > 0
