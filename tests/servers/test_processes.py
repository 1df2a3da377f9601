"""A guarded process ends with its owner, and a guarded folder goes with it, whatever becomes of the owner."""

from __future__ import annotations

import gc
import os
import secrets
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from streamlab.servers.processes import GuardedFolder, GuardedProcess, LastAct, guarded_popen
from tests.process_table import group_runs, runs

from .starting import STARTS

pytestmark = pytest.mark.real_time("counts processes, and how soon they end")

Eventually = Callable[[Callable[[], object], str], None]

Start = Callable[[str], GuardedProcess]

SLEEPING = "import time; time.sleep(60)"
SLEEP = [sys.executable, "-c", SLEEPING]

both_ways = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "exit", "os._exit", "raise"])
@pytest.mark.parametrize("way", STARTS)
def test_ends_with_its_owner(way: str, end: str, paused: bool, tmp_path: Path, eventually: Eventually) -> None:
    """However the owner ends: the child, its own child, the guard, the folder and who forked it go; stopped or not."""
    # Started from a thread that has ended by then: a guard bound to the thread would strike at once.
    code = f"""
        import os, sys, threading
        from streamlab.servers.processes import GuardedFolder
        from tests.servers.starting import STARTS
        children = []
        def start():
            children.append(GuardedFolder({str(tmp_path)!r}))
            (children[0].path / "file").touch()
            children.append(STARTS[{way!r}](
                "import os, subprocess, sys, time;"
                "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
                "print('ready', os.getppid(), flush=True); time.sleep(60)"))
        thread = threading.Thread(target=start); thread.start(); thread.join()
        folder, child = children
        ready, parent = child.stdout.readline().split()
        assert ready == b"ready"
        if {paused}:
            child.pause()
        above = int(parent) if {way!r} == "forked" else child.pid
        print(child.pid, os.getpgid(child.pid), above, folder.path, flush=True)
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
        *numbers, folder = owner.stdout.readline().split()
        pid, group, above = map(int, numbers)
        assert runs(pid)
        assert runs(above)
        assert os.listdir(folder) == [b"file"]
        if end.startswith("SIG"):
            owner.send_signal(getattr(signal, end))
        else:
            owner.stdin.write(b"\n")
            owner.stdin.flush()
        owner.wait(5)
    eventually(lambda: not group_runs(group), "the child, its child and the guard end")
    assert not runs(pid)
    eventually(lambda: not runs(above), "what has forked it ends")
    eventually(lambda: os.listdir(tmp_path) == [], "the folder goes")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("way", STARTS)
def test_a_fork_of_the_owner_keeps_nothing_alive(way: str, eventually: Eventually) -> None:
    """A forked child of the owner holds no copy of the pipe, so the owner's end is still noticed."""
    code = f"""
        import os, sys, time
        from tests.servers.starting import STARTS
        child = STARTS[{way!r}]("import time; time.sleep(60)")
        forked = os.fork()
        if forked == 0:
            time.sleep(60)
        print(child.pid, forked, flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        pid, forked = map(int, owner.stdout.readline().split())
        owner.kill()
        owner.wait(5)
    try:
        eventually(lambda: not runs(pid), "the child ends although a fork of the owner lives")
        assert runs(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


@both_ways
def test_pipes_and_exit_status(start: Start) -> None:
    """The standard streams are pipes; the exit status is the process's own."""
    code = "import sys; print(sys.stdin.readline().upper(), end='', flush=True); sys.exit(7)"
    with start(code) as process:
        assert process.stdin
        assert process.stdout
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
        [sys.executable, "-c", code], env={**os.environ, "STREAMLAB_WORD": "word"}, cwd=tmp_path, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.read().decode().split() == ["word", str(tmp_path.resolve())]


@both_ways
def test_kill_takes_the_whole_group(start: Start, eventually: Eventually) -> None:
    """SIGKILL reaches what the process started, and no guard is left."""
    code = (
        "import subprocess, sys, time;"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True);"
        "time.sleep(60)"
    )
    with start(code) as process:
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


def test_a_folder_lives_as_long_as_it_is_wanted(tmp_path: Path) -> None:
    """It is its owner's alone; it is removed when that is asked for, twice is allowed, or when it is dropped."""
    folder = GuardedFolder(str(tmp_path))
    assert folder.path.parent == tmp_path
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    (folder.path / "file").touch()
    folder.close()
    folder.close()
    folder = GuardedFolder(str(tmp_path))
    assert os.listdir(tmp_path) == [folder.path.name]
    del folder
    gc.collect()
    assert os.listdir(tmp_path) == []


def test_a_folder_is_gone_also_if_two_remove_it_at_once(tmp_path: Path) -> None:
    """As Python ends, what is being closed in a thread is finalised as well: whoever is first, nothing is left."""
    for pause in (0.0, 0.001, 0.002, 0.003) * 5:
        folder = GuardedFolder(str(tmp_path))
        for name in map(str, range(300)):
            (folder.path / name).touch()
        assert folder._last_act is not None
        failed: list[BaseException] = []
        finalising = threading.Thread(target=folder._last_act._finalizer)
        finalising.start()
        time.sleep(pause)
        try:
            folder.close()
        except OSError as error:
            failed.append(error)
        finalising.join()
        assert (failed, os.listdir(tmp_path)) == ([], [])


def test_a_folder_of_somebody_else_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that exists already is passed over, also if it comes to exist at the last moment."""
    names = iter(["taken", "late", "free"])
    monkeypatch.setattr(secrets, "token_hex", lambda n: next(names))
    taken, late = tmp_path / "streamlab-taken", tmp_path / "streamlab-late"
    taken.mkdir()
    mkdir = Path.mkdir

    def slowly(path: Path, mode: int) -> None:
        if path == late:
            mkdir(path, mode)
        mkdir(path, mode)

    monkeypatch.setattr(Path, "mkdir", slowly)
    folder = GuardedFolder(str(tmp_path))
    assert folder.path == tmp_path / "streamlab-free"
    folder.close()
    assert taken.exists()
    assert late.exists()


#: What makes a folder: each ends with the process being killed.
MAKERS = {
    "at the moment it is made": """
        from pathlib import Path
        from streamlab.servers.processes import GuardedFolder
        Path.mkdir = lambda path, mode: (os.mkdir(path, mode), die())
        GuardedFolder()""",
    "embedded server": """
        from streamlab.servers.embedded import EmbeddedServer
        server = EmbeddedServer()
        assert server.url
        die()""",
    "proxy": """
        from streamlab.servers.proxy import Proxy
        async def main():
            proxy = await Proxy("redis://127.0.0.1:1").start()
            die()
        asyncio.run(main())""",
    "server": """
        from streamlab.servers.private import PrivateServer
        server = PrivateServer(persistence="aof").start()
        die()""",
    "server that is down": """
        from streamlab.servers.private import PrivateServer
        server = PrivateServer(persistence="aof").start()
        server.kill()
        die()""",
    "panel": """
        from streamlab.views.panel.app import served
        from streamlab.scenario import load_scenario
        with served(load_scenario("crash")):
            die()""",
    "exercise with a database": """
        from streamlab.checks import books_once
        books_once(lambda db, entry_id, order: die())""",
}


@pytest.mark.parametrize(
    "maker",
    [
        pytest.param(name, marks=pytest.mark.redis) if "server that" in name or name == "server" else name
        for name in MAKERS
    ],
)
def test_every_folder_goes_with_its_owner(
    maker: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, eventually: Eventually
) -> None:
    """Whoever makes one, and at whatever moment the owner is killed: nothing stays where temporary files are."""
    code = (
        "import asyncio, os, signal\n"
        "def die():\n"
        "    open({print!r}, 'w').write(str(os.listdir(os.environ['TMPDIR'])))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    ) + textwrap.dedent(MAKERS[maker])
    code = code.replace("{print!r}", repr(str(tmp_path / "print")))
    folder = tmp_path_factory.mktemp("t")  # of a short name: what has a socket goes elsewhere if its path is too long
    env = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    assert "streamlab-" in (tmp_path / "print").read_text()  # there was one
    eventually(lambda: os.listdir(folder) == [], "the folder goes", timeout=15.0)  # type: ignore[call-arg]


@pytest.mark.parametrize("end", ["killed", "ended", "dropped", "told", "called off"])
def test_a_last_act_is_done(end: str, tmp_path: Path, eventually: Eventually) -> None:
    """Once its owner has ended, or it is told to, or dropped: with what it was told last. Unless it is called off."""
    file = tmp_path / "file"
    code = f"""
        import os, signal
        from streamlab.servers.processes import LastAct
        act = LastAct(["/bin/sh", "-c", 'cat > "$1"', "sh", {str(file)!r}])
        act.tell("first")
        act.tell("second \\\\n %s " + 100_000 * "x")
        if {end!r} == "killed":
            os.write(act._guard.stdin.fileno(), b"half a l")
            os.kill(os.getpid(), signal.SIGKILL)
        if {end!r} == "dropped":
            del act
            assert os.path.exists({str(file)!r})
        if {end!r} == "told":
            assert act.do() and os.path.exists({str(file)!r})
        if {end!r} == "called off":
            act.call_off()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == (-signal.SIGKILL if end == "killed" else 0)
    if end == "called off":
        assert not file.exists()
    else:
        eventually(lambda: file.exists() and file.read_text().endswith("x\n"), "it is done")
        assert file.read_text().startswith("second \\n %s xx")


def test_a_last_act_that_fails_is_told() -> None:
    """Whether the command could do it."""
    assert LastAct(["true"]).do()
    assert not LastAct(["false"]).do()
    killed = LastAct(["true"])
    killed._guard.kill()
    killed._guard.wait()
    killed.tell("too late")
    assert not killed.do()


@both_ways
def test_pause_and_resume(start: Start, eventually: Eventually) -> None:
    """A paused process does nothing and is alive; it goes on where it was."""
    code = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with start(code) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"one\n"
        process.pause()
        eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it has stopped")
        assert process.alive
        process.stdin.write(b"two\n")
        process.stdin.flush()
        os.set_blocking(process.stdout.fileno(), False)
        assert not process.stdout.read()
        os.set_blocking(process.stdout.fileno(), True)
        process.resume()
        assert process.stdout.readline() == b"two\n"


@both_ways
def test_terminate_wakes_a_paused_process(start: Start) -> None:
    """SIGTERM ends a paused process too, and its handler may run."""
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5));"
        "print('ready', flush=True); time.sleep(60)"
    )
    with start(code) as process:
        assert process.stdout
        process.stdout.readline()
        process.pause()
        process.terminate()
        assert process.wait(5) == 5


@both_ways
def test_wait_has_a_limit(start: Start) -> None:
    """Waiting for a process that goes on raises after the time given, and leaves it running."""
    with start(SLEEPING) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.alive


@both_ways
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_dropped_process_ends(start: Start) -> None:
    """Nobody can hold on to a process whose object is gone."""
    process = start(SLEEPING)
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


def test_an_interrupt_while_a_process_is_started_leaves_none(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Ctrl-C at a moment when the process is there and nobody has hold of it."""
    started: list[int] = []
    popen = subprocess.Popen

    def interrupted(args: list[str], **kwargs: object) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = popen(args, **kwargs)  # type: ignore[call-overload]
        started.append(process.pid)
        if args == SLEEP:
            process.returncode = 0  # or dropping it would give a warning
            raise KeyboardInterrupt
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        guarded_popen(SLEEP)
    assert len(started) == 2
    eventually(lambda: not any(map(runs, started)), "neither process nor guard is left")
