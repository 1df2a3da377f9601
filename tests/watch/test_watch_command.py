"""``streamlab watch``: what a terminal, a pipe and a program are given; how it ends."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streamlab.cli import main
from tests.cli.test_shell import ESCAPE, STREAMLAB, environment, imported, in_a_pipe, on_a_terminal
from tests.watch.watched import DEAD, GROUP, STREAM, Place


@contextmanager
def watching(*args: str, every: str = "100ms") -> Iterator[subprocess.Popen[str]]:
    """Run the command in a pipe; end it with the test."""
    command = [*STREAMLAB, "watch", *args, "--every", every]
    env = environment()
    env.pop("PYTHONUNBUFFERED", None)  # or nothing would show whether each look is flushed
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def blocks(process: subprocess.Popen[str], n: int) -> list[str]:
    """Read until so many blocks have come; each ends with an empty line after the oldest pending entries."""
    assert process.stdout is not None
    found, lines = [], list[str]()
    for line in process.stdout:
        lines.append(line)
        if line == "\n" and "oldest pending entries\n" in lines and lines[-2] not in ("\n", "oldest pending entries\n"):
            found.append("".join(lines))
            lines = []
            if len(found) == n:
                break
    return found


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_block_of_text_for_each_look_until_it_is_stopped(real: Place, signum: signal.Signals, status: int) -> None:
    """As each look comes; the second has rates. Ctrl-C is its usual end, of which nothing is said."""
    with watching(real.url, STREAM, "--dead-letters", DEAD) as process:
        first, second = blocks(process, 2)
        real.others.xadd(STREAM, {"a": "1"})
        process.send_signal(signum)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (status, "")
    for block in (first, second):
        assert not re.search(rf"{ESCAPE}|[─-╿]", block)
        assert f"2 dead letters in {DEAD}" in block
        assert re.search(r"^C1 +billing +10 ", block, re.MULTILINE)
    assert "added per second" not in first
    assert "30 entries, 0.0 added per second" in second
    assert re.search(r"^billing +2 +0 +17 +10 +–$", first, re.MULTILINE)
    assert re.search(r"^billing +2 +0 +17 +10 +0\.0$", second, re.MULTILINE)


def test_a_table_that_is_renewed_on_a_terminal(real: Place) -> None:
    """In the same place; Ctrl-C ends it, the last look stays, and the cursor is given back."""
    status, said = on_a_terminal("watch", real.url, STREAM, "--every", "100ms", interrupt_at="0.0 added per second")
    assert status == 0
    assert f"{ESCAPE}[1A" in said
    assert "─" in said
    assert said.rindex(f"{ESCAPE}[?25h") > said.rindex(f"{ESCAPE}[?25l")
    assert not re.search("Traceback|interrupted", said)


def test_all_tables_fit_on_a_low_terminal(real: Place) -> None:
    """By leaving out rows: the lines of a look are no more than the terminal has."""
    for number in range(20):
        real.others.xgroup_createconsumer(STREAM, GROUP, f"W{number}")
    more = {"interrupt_at": "0.0 added per second", "LINES": "24"}
    _, said = on_a_terminal("watch", real.url, STREAM, "--every", "100ms", **more)
    last = re.sub(r"\x1b\[[\d;?]*\w", "", said.rpartition(f"{ESCAPE}[2K")[2]).split("\r\n")
    assert len(last) <= 24
    assert last[0].startswith(f"{STREAM} at ")
    assert sum("… " in line for line in last) == 2
    assert "delivery count" in "".join(last)


@pytest.mark.parametrize("columns", ["60", "100"])
def test_it_keeps_within_a_terminal(real: Place, columns: str) -> None:
    _, said = on_a_terminal("watch", real.url, STREAM, "--once", COLUMNS=columns)
    lines = re.sub(r"\x1b\[[\d;]*m", "", said).splitlines()
    assert any("delivery count" in line for line in lines)
    assert max(map(len, lines)) <= int(columns)


def test_one_look_as_text_and_as_json(real: Place) -> None:
    """The options choose the group, the threshold, and how many pending entries are listed."""
    real.others.xgroup_create(STREAM, "mail", "0")
    chosen = ("--group", GROUP, "--dead-after", "1.5s", "--oldest", "2", "--once")
    done = in_a_pipe("watch", real.url, STREAM, *chosen)
    assert (done.returncode, done.stderr) == (0, "")
    assert "idle for 1.50 s or longer" in done.stdout
    assert "mail" not in done.stdout
    done = in_a_pipe("watch", real.url, STREAM, *chosen, "--json")
    (line,) = done.stdout.splitlines()
    look = json.loads(line)
    assert (look["stream"], look["length"], look["dead_after"], look["dead_letters"]) == (STREAM, 30, 1.5, None)
    assert [group["name"] for group in look["groups"]] == [GROUP]
    assert [entry["id"] for entry in look["groups"][0]["oldest"]] == ["1-0", "2-0"]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_look_comes_at_once(real: Place, option: list[str]) -> None:
    """Not when the pipe is full, nor with the next one; and Ctrl-C is not kept waiting for that either."""
    with watching(real.url, STREAM, *option, every="10min") as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 20)[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_line_of_json_for_each_look(real: Place) -> None:
    with watching(real.url, STREAM, "--json") as process:
        assert process.stdout is not None
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
    assert first["added_per_second"] is None
    assert second["added_per_second"] == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere"], f"there is no stream 'nowhere' at .*; streams there are: '{DEAD}', '{STREAM}'"),
        ([STREAM, "--group", "mail"], "has no group 'mail'; its groups are: 'billing'"),
        ([STREAM, "--every", "soon"], "--every: 'soon' is not a time"),
        ([STREAM, "--every", "10ms"], "--every 10ms is too short: give 100ms at least"),
        ([STREAM, "--dead-after", "0s"], "--dead-after 0s is too short"),
        ([STREAM, "--oldest", "-1"], "oldest=-1 makes no sense"),
        ([], "missing argument 'STREAM'"),
    ],
)
def test_wrong_use(real: Place, args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what to do, and status 2."""
    assert main(["watch", real.url, *args]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.search(words, said.err)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("url", ["redis://:s3cr3t@127.0.0.1:1/0", "redis://:s3/cr3t@localhost", "http://:s3cr3t@x"])
def test_a_server_that_cannot_be_used(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, and no password."""
    assert main(["watch", url, STREAM]) == 2
    said = capsys.readouterr().err
    assert said.startswith("streamlab: ")
    assert "cr3t" not in said


def test_in_a_pipe_it_imports_no_more_than_it_needs(real: Place) -> None:
    """rich draws on terminals only."""
    run = "from streamlab.__main__ import main; main()"
    assert imported(run, "watch", real.url, STREAM, "--once") == {"typer", "redis", "asyncio"}  # which redis-py imports
