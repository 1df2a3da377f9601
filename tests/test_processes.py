"""A guarded process ends with its owner, whatever becomes of the owner."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from streamlab.processes import GuardedProcess, guarded_popen
from tests.process_table import group_runs, runs

Eventually = Callable[[Callable[[], object], str], None]

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize(
    "end", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "exit", "os._exit", "raise"]
)
def test_ends_with_its_owner(
    end: str, paused: bool, tmp_path: Path, eventually: Eventually
) -> None:
    """However the owner ends, the child, its own child, the guard and the folder go; stopped or not."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").touch()
    # Started from a thread that has ended by then: a guard bound to the thread would strike at once.
    code = f"""
        import os, subprocess, sys, threading
        from pathlib import Path
        from streamlab.processes import guarded_popen
        children = []
        def start():
            children.append(guarded_popen(
                [sys.executable, "-c", "import subprocess, sys, time;"
                 "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
                 "print('ready', flush=True); time.sleep(60)"],
                stdout=subprocess.PIPE, folder=Path({str(folder)!r})))
        thread = threading.Thread(target=start); thread.start(); thread.join()
        child = children[0]
        assert child.stdout.readline() == b"ready\\n"
        if {paused}:
            child.pause()
        print(child.pid, os.getpgid(child.pid), flush=True)
        sys.stdin.readline()
        if {end!r} == "exit":
            sys.exit(3)
        if {end!r} == "os._exit":
            os._exit(3)
        raise RuntimeError("the owner fails")
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as owner:
        assert owner.stdin
        assert owner.stdout
        pid, group = map(int, owner.stdout.readline().split())
        assert runs(pid)
        if end.startswith("SIG"):
            owner.send_signal(getattr(signal, end))
        else:
            owner.stdin.write(b"\n")
            owner.stdin.flush()
        owner.wait(5)
    eventually(lambda: not group_runs(group), "the child, its child and the guard end")
    assert not runs(pid)
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_of_the_owner_keeps_nothing_alive(eventually: Eventually) -> None:
    """A forked child of the owner holds no copy of the pipe, so the owner's end is still noticed."""
    code = """
        import os, subprocess, sys, time
        from streamlab.processes import guarded_popen
        child = guarded_popen([sys.executable, "-c", "import time; time.sleep(60)"])
        forked = os.fork()
        if forked == 0:
            time.sleep(60)
        print(child.pid, forked, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        pid, forked = map(int, owner.stdout.readline().split())
        owner.kill()
        owner.wait(5)
    try:
        eventually(lambda: not runs(pid), "the child ends although a fork of the owner lives")
        assert runs(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


def test_pipes_and_exit_status() -> None:
    """Standard input and output are pipes as asked for; the exit status is the process's own."""
    code = "import sys; print(sys.stdin.readline().upper(), end=''); sys.exit(7)"
    with guarded_popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr is None
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"HELLO\n"
        assert process.wait(5) == 7
        assert not process.alive
        assert repr(process) == f"<GuardedProcess {process.pid}: ended with 7>"
    assert process.stdout.closed


def test_environment_and_folder_are_passed_on(tmp_path: Path) -> None:
    """``env`` and ``cwd`` reach the program."""
    code = "import os; print(os.environ['STREAMLAB_WORD'], os.getcwd())"
    with guarded_popen(
        [sys.executable, "-c", code],
        env={**os.environ, "STREAMLAB_WORD": "word"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.read().decode().split() == ["word", str(tmp_path.resolve())]


def test_kill_takes_the_whole_group(eventually: Eventually) -> None:
    """SIGKILL reaches what the process started, and no guard is left."""
    code = (
        "import subprocess, sys, time;"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True);"
        "time.sleep(60)"
    )
    with guarded_popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        grandchild = int(process.stdout.readline())
        group = os.getpgid(process.pid)
        assert group != os.getpgid(0)
        assert runs(grandchild)
        process.kill()
        assert process.returncode == -signal.SIGKILL
        eventually(lambda: not group_runs(group), "the whole group ends")
        assert not runs(grandchild)
        process.kill()  # twice is allowed


def test_a_folder_outlives_a_kill(tmp_path: Path) -> None:
    """The folder goes with the owner, not with the process: a restart needs it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for end in (GuardedProcess.kill, GuardedProcess.close):
        end(guarded_popen(SLEEP, folder=folder))
        assert folder.exists()


def test_pause_and_resume() -> None:
    """A paused process does nothing and is alive; it goes on where it was."""
    code = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with guarded_popen(
        [sys.executable, "-uc", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"one\n"
        process.pause()
        # Only a stop, not an end, is reported here; waiting for it makes what follows certain.
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert process.alive
        process.stdin.write(b"two\n")
        process.stdin.flush()
        os.set_blocking(process.stdout.fileno(), False)
        assert not process.stdout.read()
        os.set_blocking(process.stdout.fileno(), True)
        process.resume()
        assert process.stdout.readline() == b"two\n"


def test_terminate_wakes_a_paused_process() -> None:
    """SIGTERM ends a paused process too, and its handler may run."""
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5));"
        "print('ready', flush=True); time.sleep(60)"
    )
    with guarded_popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.pause()
        process.terminate()
        assert process.wait(5) == 5


def test_wait_has_a_limit() -> None:
    """Waiting for a process that goes on raises after the time given, and leaves it running."""
    with guarded_popen(SLEEP) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.alive


def test_a_dropped_process_ends() -> None:
    """Nobody can hold on to a process whose object is gone."""
    process = guarded_popen(SLEEP)
    group = os.getpgid(process.pid)
    del process
    gc.collect()
    assert not group_runs(group)


def test_a_missing_program_leaves_no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the program cannot be started the guard goes at once."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def remember(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = popen(*args, **kwargs)  # type: ignore[call-overload]
        started.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", remember)
    with pytest.raises(FileNotFoundError):
        guarded_popen(["/no/such/program"])
    assert [guard.returncode for guard in started] == [-signal.SIGKILL]


def test_windows_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows the answer names WSL and the engine that runs there."""
    monkeypatch.setattr(os, "name", "nt")
    with pytest.raises(NotImplementedError, match=r"WSL.*simulated engine"):
        guarded_popen(SLEEP)
