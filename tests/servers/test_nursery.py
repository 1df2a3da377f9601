"""A nursery forks what it has imported: its children are guarded, end by themselves, and are told of to the end."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from streamlab.lab import live_process
from streamlab.lab.live_process import Workers
from streamlab.servers import processes
from streamlab.servers.nursery import CAN_FORK, CannotFork, Nursery
from streamlab.servers.processes import GuardedProcess
from tests.process_table import group_runs, runs

from .starting import nursery_of

pytestmark = [
    pytest.mark.real_time("counts processes, and how soon they end"),
    pytest.mark.skipif(not CAN_FORK, reason="nothing is forked here"),
]

Eventually = Callable[[Callable[[], object], str], None]

SLEEPING = "import time; time.sleep(60)"
#: Ends as it is told.
OBEYING = """
import os, sys
what = sys.stdin.readline().split()
if what[0] == "exit":
    sys.exit(int(what[1]))
if what[0] == "kill":
    os.kill(os.getpid(), int(what[1]))
raise LookupError(what[0])
"""


@contextlib.contextmanager
def nursery(code: str) -> Iterator[Nursery]:
    made = nursery_of(code)
    try:
        yield made
    finally:
        made.close()


def pid_of(nursery: Nursery) -> int:
    return nursery._process.pid


def tell(child: GuardedProcess, words: str) -> None:
    assert child.stdin is not None
    child.stdin.write(words.encode() + b"\n")


@pytest.mark.parametrize(
    ("words", "status"), [("exit 0", 0), ("exit 7", 7), ("kill 9", -9), ("kill 15", -15), ("fail", 1)]
)
def test_the_status_is_the_childs_own(words: str, status: int) -> None:
    with nursery(OBEYING) as one, one.popen() as child, one.popen() as another:
        tell(child, words)
        assert child.wait(10) == status
        assert child.returncode == status
        assert not child.alive
        assert another.alive
        assert child.stderr is not None
        said = child.stderr.read().decode()
        assert said.splitlines()[-1:] == (["LookupError: fail"] if words == "fail" else [])


def test_a_pid_is_nobody_elses_until_its_status_is_known(eventually: Eventually) -> None:
    """What has ended stays in the process table: a signal that comes too late hits nobody. Then it is gone."""
    with nursery(SLEEPING) as one, one.popen() as child:
        os.kill(child.pid, signal.SIGKILL)
        eventually(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, "it has ended")
        child.pause()  # too late, and no error
        assert not psutil.pid_exists(child.pid)
        assert child.returncode == -signal.SIGKILL
        child.terminate()
        child.kill()


def test_a_child_has_nothing_of_others() -> None:
    """No file but its standard streams and the one that tells of its end; and it collects garbage as usual."""
    code = "import os, sys; print(*os.listdir('/proc/self/fd'), flush=True); sys.stdin.readline()"
    with nursery(code) as one, one.popen(), one.popen() as child:
        assert child.stdout is not None
        handles = child.stdout.readline().split()
        assert {b"0", b"1", b"2"} < set(handles)
        assert len(handles) == 3 + 1 + 1  # and the one by which it looks
        assert os.getpgid(child.pid) not in (os.getpgid(0), os.getpgid(pid_of(one)))


def test_many_at_once_by_many_threads() -> None:
    """Each gets its own: answers are not mixed up."""
    with nursery(OBEYING) as one:

        def use(number: int) -> int:
            with one.popen() as child:
                tell(child, f"exit {number}")
                return child.wait(30)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(use, range(40))) == list(range(40))
        assert psutil.Process(pid_of(one)).children() == []


def test_a_wait_ends_although_another_thread_sees_the_end_first() -> None:
    with nursery(OBEYING) as one, one.popen() as child:
        statuses: list[int] = []
        threads = [threading.Thread(target=lambda: statuses.append(child.wait(30))) for _ in range(4)]
        for thread in threads:
            thread.start()
        tell(child, "exit 5")
        for thread in threads:
            thread.join()
        assert statuses == [5] * 4


@pytest.mark.parametrize("end", ["killed", "closed"])
def test_without_a_nursery_children_go_on(end: str, eventually: Eventually) -> None:
    """They are still guarded, and their end is seen; who they were forked by is needed for new ones only."""
    with nursery("print('ready', flush=True);" + SLEEPING) as one, one.popen() as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        if end == "killed":
            os.kill(pid_of(one), signal.SIGKILL)
            eventually(lambda: not runs(pid_of(one)), "it ends")
        else:
            one.close()
        for _ in range(2):
            with pytest.raises(CannotFork):
                one.popen()
        assert child.alive
        group = os.getpgid(child.pid)
        child.kill()
        assert child.returncode == -signal.SIGKILL
        eventually(lambda: not group_runs(group), "child and guard end")


def test_an_interrupt_mixes_up_no_answers(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> None:
    """Ctrl-C when a child has been asked for and nobody has hold of it: it ends, and nobody gets its answer."""
    groups: list[int] = []
    with nursery(SLEEPING) as one:
        ask = one._ask
        monkeypatch.setattr(one._socket.__class__, "recv", interrupted, raising=False)
        start_guard = processes._start_guard

        def note(*args: str) -> subprocess.Popen[bytes]:
            guard = start_guard(*args)
            groups.append(guard.pid)
            return guard

        monkeypatch.setattr(processes, "_start_guard", note)
        with pytest.raises(KeyboardInterrupt):
            one.popen()
        monkeypatch.undo()
        with pytest.raises(CannotFork):
            ask("status 1")
        eventually(lambda: not group_runs(groups[0]), "neither child nor guard is left")
        eventually(lambda: not runs(pid_of(one)), "nobody asks it any more")


def interrupted(*_: object) -> bytes:
    raise KeyboardInterrupt


def test_no_more_files_or_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an `OSError`, as with any other process; nothing is left, and it goes on when there is room again."""
    with nursery(OBEYING) as one:
        one.popen().close()
        before = set(os.listdir("/proc/self/fd"))
        usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = itertools.islice((n for n in itertools.count() if str(n) not in before), 7)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1 + max(free), usual[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                one.popen()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        resource.prlimit(pid_of(one), resource.RLIMIT_NOFILE, (6, usual[1]))
        with pytest.raises(OSError, match="Too many open files"):
            one.popen()
        resource.prlimit(pid_of(one), resource.RLIMIT_NOFILE, usual)
        assert set(os.listdir("/proc/self/fd")) == before
        with one.popen() as child:
            tell(child, "exit 3")
            assert child.wait(10) == 3


def test_where_there_are_threads_nothing_is_forked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fork would copy whatever lock another thread holds at that moment."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=[60], daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with nursery(OBEYING) as one:
        for _ in range(2):
            with pytest.raises(CannotFork):
                one.popen()
        assert psutil.Process(pid_of(one)).children() == []


def assert_is_worker(process: GuardedProcess) -> None:
    """See that it does what a worker does that is given no task: it says who starts it."""
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 2
    assert process.stderr is not None
    assert b"is started by the lab" in process.stderr.read()


@pytest.mark.parametrize("why", ["killed", "does not begin", "cannot be started", "not on this system"])
def test_workers_start_by_themselves_where_none_can_be_forked(
    why: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """A run goes on, and is told what is wrong by the worker itself."""
    if why == "not on this system":
        monkeypatch.setattr(live_process, "CAN_FORK", False)
    with monkeypatch.context() as at_first:
        if why == "cannot be started":
            at_first.setattr(live_process, "_command", lambda name: ["/no/such/program"])
        if why == "does not begin":
            at_first.setattr(live_process, "_command", lambda name: [sys.executable, "-c", "no_such_name"])
        workers = Workers()
    try:
        if why == "killed":
            assert workers._nursery is not None
            os.kill(pid_of(workers._nursery), signal.SIGKILL)
        for _ in range(2):
            with workers.start() as worker:
                process = psutil.Process(worker.pid)
                eventually(lambda process=process: process.cmdline()[-1:] == ["worker"], "it runs its program")  # type: ignore[misc]
                assert_is_worker(worker)
    finally:
        workers.close()


def test_workers_are_forked_where_they_can_be() -> None:
    workers = Workers()
    try:
        with workers.start() as worker:
            assert workers._nursery is not None
            assert psutil.Process(worker.pid).ppid() == pid_of(workers._nursery)
            assert_is_worker(worker)
    finally:
        workers.close()
