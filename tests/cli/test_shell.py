"""The shell's looks: what a terminal, a pipe and a completing shell are given; and what it does not import."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest

from streamlab.actors.recovery import Strategy
from streamlab.cli import main, options
from streamlab.cli.helping import EXAMPLES
from streamlab.scenario import SCENARIOS, Arrivals, Scenario, Service, consumers, producers, to_toml
from streamlab.scenario.actions import FAULTS

STREAMLAB = [sys.executable, "-m", "streamlab"]
ESCAPE = "\x1b"
#: What would turn colours off, or on.
_DECIDING = ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERM", "COLUMNS")


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _DECIDING} | more


def on_a_terminal(*args: str, interrupt_at: str = "", **more: str) -> tuple[int, str]:
    """Run a command with a terminal for input, output and errors; return its status and what the terminal got.

    As soon as it has written `interrupt_at`, SIGINT is sent.
    """
    master, slave = pty.openpty()
    env = environment(**{"TERM": "xterm-256color", "COLUMNS": "100", **more})
    process = subprocess.Popen([*STREAMLAB, *args], stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    said, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                got = os.read(master, 65536)
            except OSError:  # Linux says so when nobody has the other end
                break
            if not got:
                break
            said += got
            if interrupt_at and interrupt_at in said.decode(errors="replace"):
                process.send_signal(signal.SIGINT)
                interrupt_at = ""
    status = process.wait(10)
    os.close(master)
    return status, said.decode()


def in_a_pipe(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = environment(TERM="xterm-256color", **more)
    return subprocess.run([*STREAMLAB, *args], env=env, capture_output=True, text=True, timeout=60, check=False)


# ---- terminals and pipes ---------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["run", "crash"], ["run", "--help"], ["--help"], ["run", "nowhere"]])
def test_plain_in_a_pipe(args: list[str]) -> None:
    """No escape code and no frame, also where a variable asks for colours."""
    for more in ({}, {"FORCE_COLOR": "1"}):
        done = in_a_pipe(*args, **more)
        assert not re.search(rf"{ESCAPE}|[─-╿]", done.stdout + done.stderr)


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("args", [["run", "crash"], ["run", "--help"]])
def test_plain_on_a_terminal_where_that_is_wanted(args: list[str], plain: dict[str, str]) -> None:
    status, said = on_a_terminal(*args, **plain)
    assert (status, ESCAPE in said) == (0, False)


def test_a_table_on_a_terminal() -> None:
    status, said = on_a_terminal("run", "crash")
    assert status == 0
    assert ESCAPE in said
    assert "─" in said
    assert "added 500 · processed 500" in re.sub(r"\x1b\[[\d;]*m", "", said)


@pytest.mark.parametrize("columns", ["40", "80", "100"])
def test_help_and_table_keep_within_a_terminal(columns: str) -> None:
    for args in (["run", "--help"], ["--help"], ["doctor", "--help"]):
        status, said = on_a_terminal(*args, COLUMNS=columns)
        lines = re.sub(r"\x1b\[[\d;]*m", "", said).splitlines()
        assert status == 0
        assert max(map(len, lines)) <= int(columns)


def test_a_bar_on_a_terminal_and_the_cursor_is_given_back(tmp_path: Path) -> None:
    """Progress is drawn while it runs, and gone afterwards."""
    status, said = on_a_terminal("run", "one-to-many", "--duration", "100")
    assert status == 0
    assert " events" in said
    assert said.count(f"{ESCAPE}[?25l") == said.count(f"{ESCAPE}[?25h") == 1


def test_an_interrupt_gives_the_cursor_back(tmp_path: Path) -> None:
    """Ctrl-C while the bar is drawn: one line, status 130."""
    status, said = on_a_terminal("run", "one-to-many", "--duration", "3000", interrupt_at=" events")
    assert status == 130
    assert said.endswith("interrupted: workers and private servers have been ended\r\n")
    assert said.rindex(f"{ESCAPE}[?25h") > said.rindex(f"{ESCAPE}[?25l")
    assert "Traceback" not in said


def test_a_bug_is_told_by_python_alone(tmp_path: Path) -> None:
    """A traceback without local variables: one of them may be a password."""
    code = (
        "import sys\nfrom streamlab.cli import main, run\n"
        "def scenario_of(options):\n    secret = 's3' + 'cr3t'\n    return 1 / 0\n"
        "run.scenario_of = scenario_of\nsys.exit(main(['run', 'crash']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "s3cr3t" not in done.stderr


def test_names_in_brackets_are_not_taken_for_markup(tmp_path: Path) -> None:
    """What a scenario calls itself and its consumers is shown as it is."""
    file = tmp_path / "odd.toml"
    file.write_text('name = "[bold]odd[/bold]"\nentries = 5\n[[consumers]]\nname = "[red]A"\n')
    _, said = on_a_terminal("run", str(file))
    plain = re.sub(r"\x1b\[[\d;]*m", "", said)
    assert "[bold]odd[/bold] on" in plain
    assert "[red]A" in plain


# ---- help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "replay", "sweep", "lab", "progress", "panel", "watch", "worker", "doctor"])
def test_help_of_each_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert "Examples:" in said
    for example, what in EXAMPLES[command]:
        assert example in said
        assert what in said


def test_help_of_run_lists_scenarios_and_faults(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--help"])
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in SCENARIOS)
    assert all(kind.form in said for kind in FAULTS.values())


def test_the_recoveries_of_the_shell_are_all_there_are() -> None:
    assert get_args(options.Strategy) == get_args(Strategy)


# ---- completion ------------------------------------------------------------------------------------


def completed(words: str, folder: Path) -> list[str]:
    """Return what a shell (zsh, which is told descriptions, too) is offered for the last word."""
    env = environment(_STREAMLAB_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=f"streamlab {words}")
    done = subprocess.run(STREAMLAB, env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return re.findall(r'^(?:_arguments \'\*: :\(\()?"([^"\\]+)', done.stdout, re.MULTILINE)


def test_a_shell_completes_scenarios_files_and_choices(tmp_path: Path) -> None:
    (tmp_path / "own.toml").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "deep.toml").touch()
    assert completed("run one-", tmp_path) == ["one-to-one", "one-to-many"]
    assert completed("run o", tmp_path) == ["one-to-one", "one-to-many", "own.toml"]
    assert completed("run more/", tmp_path) == ["more/deep.toml"]
    assert completed("panel cr", tmp_path) == ["crash"]
    assert completed("run crash --recovery re", tmp_path) == ["restart", "read-claim"]
    assert set(completed("d", tmp_path)) == {"doctor"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(shell: str, tmp_path: Path) -> None:
    """Into the home folder of whoever asks for it."""
    env = environment(HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    done = subprocess.run(
        [*STREAMLAB, "--install-completion", shell], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "_STREAMLAB_COMPLETE" in written


# ---- what is not imported --------------------------------------------------------------------------


def imported(code: str, *args: str) -> set[str]:
    """Return which of the shell's libraries a program has imported by its end."""
    code = f"import sys, atexit\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=environment(), input="", capture_output=True, text=True, check=False
    )
    return {"typer", "rich", "pydantic", "redis", "asyncio"} & set(done.stderr.split())


def test_neither_the_package_nor_a_worker_imports_them() -> None:
    assert imported("import streamlab") == set()
    assert imported("from streamlab.lab import worker; worker.main()") == {"redis", "asyncio"}
    assert imported("from streamlab import Lab, checks, plots, tables") & {"typer", "rich"} == set()


def test_a_run_in_a_pipe_imports_no_more_than_it_needs() -> None:
    """rich draws on terminals only; typer from 0.29 on would have pydantic read each argument.

    A simulation that goes through one loop needs neither a client nor an event loop.
    """
    run = "from streamlab.__main__ import main; main()"
    assert imported(run, "run", "one-to-one", "--entries", "9", "--json") == {"typer"}
    assert imported(run, "run", "crash", "--entries", "9", "--json") == {"typer", "redis", "asyncio"}
    assert imported(run, "--version") == {"typer"}


# ---- what is left pending --------------------------------------------------------------------------

#: C1 dies at its first entry, which it is certain to have, also beside others; and nobody comes for that.
ALONE = Scenario(
    name="alone",
    producers=producers(1, Arrivals("constant", rate=50)),
    consumers=consumers(1, Service("constant", mean=0.002)),
    entries=10,
    drain=0.5,
).with_faults("crash-before-effect C1 nth 1")


@pytest.mark.parametrize(
    ("recovery", "status", "words"),
    [
        (["--recovery", "none"], 0, ""),
        (["--recovery", "restart", "--restart-after", "100ms"], 0, ""),
        (["--recovery", "claim"], 3, "1 entry for C1 (dead), the first "),
        (["--recovery", "autoclaim", "--min-idle", "50ms"], 3, "no consumer was left to claim it"),
        (["--recovery", "autoclaim", "--consumers", "2", "--min-idle", "30s"], 3, "was not claimed before the run end"),
        (["--recovery", "restart", "--restart-after", "1min"], 3, "only its own consumer recovers it"),
    ],
)
def test_what_is_left_pending_is_not_success(
    engine: str, recovery: list[str], status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose recovery has not dealt with all there was exits with 3, and says for whom and what to do."""
    file = tmp_path / "alone.toml"
    # A busy machine may take seconds to start a process again; a run that has done all ends before.
    file.write_text(to_toml(ALONE.replace(drain=0.5 if status or "none" in recovery else 30.0)))
    assert main(["run", str(file), "--engine", engine, "--json", *recovery]) == status
    said = capsys.readouterr().err
    if status:
        assert said.startswith(f"streamlab: still pending ({engine}): 1 entry for C1")
        assert said.count("\n") == 1
        assert words in said
    else:
        assert said == ""


def test_dead_letters_have_been_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "poison"]) == 0
    assert capsys.readouterr().err == ""


def test_a_broken_invariant_is_worse_than_something_pending(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both are told; the status is that of the worse. And the invariants are asked once."""
    from streamlab.results.run import Run

    asked: list[Run] = []

    def broken(run: Run) -> list[str]:
        asked.append(run)
        return ["1 of 5 entries are lost"]

    monkeypatch.setattr(Run, "broken", broken)
    file = tmp_path / "alone.toml"
    file.write_text(to_toml(ALONE))
    assert main(["run", str(file), "--recovery", "claim"]) == 1
    assert len(asked) == 1
