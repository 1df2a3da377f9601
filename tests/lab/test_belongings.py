"""What a live run may touch on a server that is somebody else's; and what cannot touch a live run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from streamlab.lab.lab import Lab
from streamlab.lab.live import LiveEngine
from streamlab.scenario import Arrivals, Scenario, Service, consumers, producers
from streamlab.servers.client import ServerUnusable, sync_stream_client
from tests.conftest import Eventually
from tests.servers.embedded_helpers import assert_nothing_left, held

pytestmark = [pytest.mark.real_time("runs worker processes, and counts its own open files"), pytest.mark.redis]

SHORT = Scenario(
    name="short",
    producers=producers(1, Arrivals("constant", rate=100)),
    consumers=consumers(2, Service("constant", mean=0.002)),
    duration=0.5,
    sink="idempotent",
).with_recovery("autoclaim", max_deliveries=3)
#: One that goes on until it is closed.
LONG = SHORT.replace(duration=600.0)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with sync_stream_client(redis_url) as client:
        yield client


def put(client: redis.Redis, kind: str, key: str) -> object:
    """Put something of somebody else's under a key; return what it looks like."""
    client.delete(key)
    if kind == "string":
        client.set(key, "mine")
    elif kind == "hash":
        client.hset(key, "name", "mine")
    elif kind == "stream":
        client.xadd(key, {"mine": "1"}, id="1-1")
    else:
        client.rpush(key, "mine")
    return client.dump(key)


def test_a_run_leaves_nothing(client: redis.Redis, redis_url: str) -> None:
    """Stream, ledger and dead letters are gone afterwards; what else is there is not touched."""
    theirs = put(client, "stream", "theirs")
    run = Lab(SHORT, engine="live", redis_url=redis_url).run()
    assert run.acked == run.added > 0
    assert (client.keys(), client.dump("theirs")) == (["theirs"], theirs)


@pytest.mark.parametrize("kind", ["string", "stream"])
def test_dead_letters_asked_for_later_are_checked_then(kind: str, client: redis.Redis, redis_url: str) -> None:
    """``set_recovery(dead_letter="precious")``: a key that exists is refused, nothing changes, nothing is deleted."""
    precious = put(client, kind, "precious")
    with Lab(LONG, engine="live", redis_url=redis_url) as lab:
        lab.play()
        with pytest.raises(ServerUnusable, match="'precious' exists already"):
            lab.set_recovery("claim", dead_letter="precious", max_deliveries=3)
        assert lab.recovery.strategy == "autoclaim"
        lab.set_recovery("claim", dead_letter="free", max_deliveries=3)
        lab.set_recovery("claim", dead_letter="free", max_deliveries=4)  # ours by now
        assert client.type("free") == "stream"
    assert client.keys() == ["precious"]
    assert client.dump("precious") == precious


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (SHORT.stream, "stream"),
        (SHORT.stream, "string"),
        (SHORT.ledger_key_of(SHORT.group), "hash"),
        (SHORT.ledger_key_of(SHORT.group), "stream"),
        (SHORT.dead_letter_key, "stream"),
        (SHORT.dead_letter_key, "list"),
    ],
)
def test_what_somebody_has_put_in_the_place_of_ours_is_left(
    key: str, kind: str, client: redis.Redis, redis_url: str, eventually: Eventually
) -> None:
    """During the run a key is deleted and recreated by another program: then it is theirs."""
    lab = Lab(LONG, engine="live", redis_url=redis_url)
    lab.play()
    eventually(lambda: client.xlen(SHORT.stream) > 3, "entries are added", timeout=10)
    for name in ("P1", "C1", "C2"):
        lab.kill(name)
    theirs = put(client, kind, key)
    lab.close()
    assert client.keys() == [key]
    assert client.dump(key) == theirs


def test_a_stream_of_theirs_in_which_our_consumers_made_their_group_is_left(
    client: redis.Redis, redis_url: str, eventually: Eventually
) -> None:
    """Our group in it does not make it ours: consumers recreate a group that is gone, wherever that is."""
    lab = Lab(LONG, engine="live", redis_url=redis_url)
    lab.play()
    eventually(lambda: client.xlen(SHORT.stream) > 3, "entries are added", timeout=10)
    lab.pause("P1")  # killed, it would let the run end
    put(client, "stream", SHORT.stream)
    eventually(lambda: client.xinfo_groups(SHORT.stream), "consumers recreate their group", timeout=10)
    lab.close()
    assert client.keys() == [SHORT.stream]
    assert client.xrange(SHORT.stream) == [("1-1", {"mine": "1"})]


def test_two_labs_at_once_never_share_a_stream(client: redis.Redis, redis_url: str) -> None:
    """Of eight that are opened at once one has it, and the others are refused; ten times over."""

    def open_one(gate: threading.Barrier) -> bool:
        import asyncio

        async def main() -> bool:
            engine = LiveEngine(SHORT, redis_url=redis_url)
            gate.wait()
            try:
                async with engine:
                    gate.wait()
                    return True
            except ServerUnusable:
                gate.wait()
                return False

        return asyncio.run(main())

    for _ in range(10):
        gate = threading.Barrier(8)
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(open_one, [gate] * 8)) == 1
        assert client.keys() == []


def test_without_leave_to_delete_the_keys_are_named(
    client: redis.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A user without DEL gets the results, and is told which keys are left."""
    client.acl_setuser(
        "guest", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-del"]
    )  # fmt: skip
    try:
        url = redis_url.replace("unix://", "unix://guest:secret@")
        run = Lab(SHORT, engine="live", redis_url=url).run()
    finally:
        client.acl_deluser("guest")
    assert run.acked == run.added > 0
    said = "\n".join(caplog.messages)
    for key in (SHORT.stream, SHORT.ledger_key_of(SHORT.group), SHORT.dead_letter_key):
        assert f"{key!r} is left on the server" in said
    assert "secret" not in said
    assert set(client.keys()) == {SHORT.stream, SHORT.ledger_key_of(SHORT.group), SHORT.dead_letter_key}


# ---- what cannot touch a run -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["redis.py", "queue.py", "json.py", "streamlab.py"])
def test_a_learner_s_own_files_are_not_imported(name: str, tmp_path: Path) -> None:
    """A module of a usual name in the current folder neither breaks a live run nor is executed by it."""
    (tmp_path / name).write_text(
        f"open({str(tmp_path / 'executed')!r}, 'w').close()\nraise SystemExit('wrong module')\n"
    )
    program = Path(sys.executable).with_name("streamlab")
    command = [str(program), "run", "one-to-one", "--engine", "live", "--entries", "20"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("when", ["as Python starts", "after a fork"])
def test_what_a_worker_prints_by_accident_does_not_end_the_run(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A library that prints: more than a pipe holds, on both outputs, from each worker; the learner sees nothing."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, threading, time\n"
        "def chatter():\n"
        "    for _ in range(3000):\n"
        "        os.write(2, b'a warning of a hundred letters, which nobody has asked for ' * 2 + b'\\n')\n"
        "    time.sleep(60)\n"
        "def begin():\n"
        "    threading.Thread(target=chatter, daemon=True).start()\n"
        "    threading.Timer(0.5, print, ['printed']).start()\n"
        f"    open({str(tmp_path / 'begun')!r} + str(os.getpid()), 'w').close()\n"
        "if sys.argv[-1].startswith('worker'):\n"
        f"    begin() if {when!r} == 'as Python starts' else os.register_at_fork(after_in_child=begin)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    run = Lab(SHORT.replace(duration=1.0), engine="live").run()
    assert run.acked == run.added > 0
    assert run.errors == {}
    assert len(list(tmp_path.glob("begun*"))) >= len(SHORT.consumers) + len(SHORT.producers)
    assert capfd.readouterr() == ("", "")


def test_a_paused_worker_can_be_told_any_number_of_things(eventually: Eventually) -> None:
    """Orders that it does not read neither hang the lab nor get lost: the last one holds when it goes on."""
    with Lab(LONG, engine="live") as lab:
        lab.play()
        lab.pause("C1")
        for i in range(600):  # more than a pipe holds
            lab.set_recovery(min_idle=1.0 + i / 1000)
        before = lab.snapshot().consumer("C1").acked
        lab.resume("C1")
        eventually(lambda: lab.snapshot().consumer("C1").acked > before + 5, "C1 goes on", timeout=10)


def test_the_handles_of_workers_are_given_back() -> None:
    """Whatever pipes were opened are closed with the run."""
    before = held()
    Lab(SHORT.replace(duration=0.1), engine="live").run()
    assert_nothing_left(before)


def test_a_learner_on_a_server_for_all(client: redis.Redis, redis_url: str) -> None:
    """As the user that docs/class.md has: everything on their own keys, nothing on others'."""
    page = (Path(__file__).parents[2] / "docs" / "class.md").read_text("utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("ACL SETUSER ada ")]
    client.execute_command(*line.replace(">PASSWORD", ">secret").split())
    try:
        url = redis_url.replace("unix://", "unix://ada:secret@", 1)
        mine = SHORT.replace(stream="lab:ada:orders").with_faults("disconnect C1 at 100ms", "crash-before-ack C2 nth 5")
        run = Lab(mine.with_recovery(min_idle=0.2, restart_after=0.1), engine="live", redis_url=url).run()
        assert run.broken() == []
        assert run.acked == run.added > 0
        with pytest.raises(redis.exceptions.NoPermissionError):
            Lab(mine.replace(stream="lab:bob:orders"), engine="live", redis_url=url).run()
        with sync_stream_client(url) as ada:
            for command in ("KEYS *", "FLUSHALL", "CONFIG GET *", "GET 02:orders", "ACL LIST"):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    ada.execute_command(*command.split())
        assert client.keys() == []
    finally:
        client.execute_command("ACL", "DELUSER", "ada")
