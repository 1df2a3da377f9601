"""Workers of other machines join a live run: here as processes of their own, over TCP with a password."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streamlab import Lab, PrivateCluster, PrivateServer, Run, load_scenario
from streamlab.cli import main
from streamlab.lab import joining
from streamlab.lab.letterbox import SILENCE_MS, Letterbox, clock_against, offer
from streamlab.scenario import ScenarioError
from streamlab.servers.client import sync_stream_client
from tests.browser import free_port
from tests.conftest import Eventually

pytestmark = [pytest.mark.redis, pytest.mark.real_time("processes join, die, and are missed")]

SCENARIO = (
    load_scenario("one-to-one")
    .replace(duration=120.0)
    .with_rate(100)
    .with_recovery("autoclaim", min_idle=0.5, interval=0.1)
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with PrivateServer(port=free_port(), password="secret") as server:
        yield server.tcp_url


@pytest.fixture
def client(url: str, eventually: Eventually) -> Iterator[Any]:
    with sync_stream_client(url) as client:
        yield client
        eventually(lambda: client.keys("*") == [], "nothing is left", 30)


@contextlib.contextmanager
def joined(url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Let a worker join from elsewhere."""
    command = [sys.executable, "-m", "streamlab", "worker", "--join", url, "--run", "mine", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def led(url: str) -> Iterator[Lab]:
    """Lead a run that workers may join, until `ended`."""
    with Lab(SCENARIO, engine="live", redis_url=url, open_as="mine") as lab:
        lab.play()
        yield lab


def ended(lab: Lab) -> Run:
    """Let production end, and all be done; return what came of it: nothing is lost.

    The producer is killed: it may have added one more entry than it could tell of.
    """
    lab.kill("P1")
    run = lab.run()
    assert run.final.pending == {}
    assert run.final.undelivered == ()
    assert run.processed - run.added in (0, 1)
    assert run.lost == 0
    return run


def what_befell(run: Run, name: str) -> list[str]:
    return [event.kind for event in run.events if event.actor == name and not event.id]


def has_done(lab: Lab, name: str, n: int) -> bool:
    return any(each.name == name and each.acked >= n for each in lab.snapshot().consumers)


def state_of(lab: Lab, name: str) -> str:
    return next(each.state for each in lab.snapshot().consumers if each.name == name)


def test_one_that_joins_is_a_consumer_like_any_other(url: str, client: Any, eventually: Eventually) -> None:
    """It takes its share, stands still, dies and comes back as its lab says; the run is judged with it."""
    with led(url) as lab, joined(url) as process:
        eventually(lambda: has_done(lab, "C2", 10), "it takes its share", 60)
        lab.kill("C2")
        assert state_of(lab, "C2") == "dead"
        lab.restart("C2")
        eventually(lambda: state_of(lab, "C2") != "dead", "it is back", 60)
        done = next(each.acked for each in lab.snapshot().consumers if each.name == "C2")
        eventually(lambda: has_done(lab, "C2", done + 11), "it takes its share again", 60)
        lab.pause("C2")
        time.sleep(0.1)
        lab.resume("C2")
        run = ended(lab)
        lab.close()
        assert process.wait(60) == 0
        assert process.stderr is not None
        said = process.stderr.read()
    assert "secret" not in said
    assert ["C2 plays in one-to-one, life 1" in said, "life 2" in said] == [True, True]
    assert run.broken() == []
    assert run.added > 50
    assert what_befell(run, "C2") == ["started", "crashed", "started", "paused", "resumed", "stopped"]
    assert "C2" in run.waits
    # By one clock: nothing is given before it was added, and nothing done before it was given.
    # (The producer that was killed may have added one more entry than it could tell of.)
    told = [each for each in run.ledger.deliveries if each.consumer == "C2" and each.id in run.ledger.added]
    assert len(told) > 20
    assert all(each.delivered >= run.ledger.added[each.id] - 0.005 for each in told)


def test_a_run_on_a_cluster_is_joined_alike(eventually: Eventually) -> None:
    """Its keys, and what is written to each other, lie on several servers."""
    with PrivateCluster() as cluster:
        with led(cluster.url) as lab, joined(cluster.url) as process:
            eventually(lambda: has_done(lab, "C2", 10), "it takes its share", 60)
            run = ended(lab)
            lab.close()
            assert process.wait(60) == 0
        with sync_stream_client(cluster.url) as client:
            eventually(lambda: client.keys("*") == [], "nothing is left", 30)
    assert run.broken() == []


def test_a_machine_that_is_gone_is_missed(url: str, client: Any, eventually: Eventually) -> None:
    """Its worker goes with it, and others take over what it held; the run says what happened."""
    with led(url) as lab, joined(url) as process:
        eventually(lambda: has_done(lab, "C2", 5), "it takes its share", 60)
        os.killpg(process.pid, signal.SIGKILL)
        eventually(lambda: state_of(lab, "C2") == "dead", "it is missed", 30)
        run = ended(lab)
    assert what_befell(run, "C2") == ["started", "crashed"]
    assert run.broken() == ["C2 ended by itself: its machine has not been heard of for 5 s"]


def test_an_interrupt_lets_it_finish_what_it_holds(url: str, client: Any, eventually: Eventually) -> None:
    with led(url) as lab, joined(url, "--consumer", "far") as process:
        eventually(lambda: has_done(lab, "far", 5), "it takes its share", 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        run = ended(lab)
    assert what_befell(run, "far") == ["started", "stopped"]
    assert run.broken() == []
    assert run.ledger.n_redelivered == 0


def test_without_its_lab_it_ends(url: str, client: Any, eventually: Eventually) -> None:
    """As the lab's own workers do: there is nobody to say what they are to do."""
    command = ["run", "one-to-one", "--engine", "live", "--redis", url, "--open", "mine", "--duration", "60"]
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(subprocess.Popen([sys.executable, "-m", "streamlab", *command]))
        stack.callback(lab.kill)
        eventually(lambda: client.exists(Letterbox("mine").offer), "the run is open", 60)
        process = stack.enter_context(joined(url))
        eventually(lambda: any("streamlab-C2" in row["name"] for row in client.client_list()), "it plays", 60)
        lab.kill()
        assert process.wait(SILENCE_MS / 1000 + 10) == 0
        eventually(lambda: not any("streamlab-C" in row["name"] for row in client.client_list()), "its worker is gone")


def test_who_cannot_join_is_told_why(url: str, client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything has begun, in a line each."""
    box = Letterbox("mine")
    with pytest.raises(ScenarioError, match=r"no run is open under the name 'mine' at redis://:[*]+@.*--open mine"):
        joining.join(url, "mine")
    client.set(box.offer, json.dumps({"version": "0.0.7"}))
    with pytest.raises(ScenarioError, match=r"led by streamlab 0\.0\.7, and this is .*: take the same"):
        joining.join(url, "mine")
    with pytest.raises(ScenarioError, match="another run is open under the name 'mine' there"):
        Lab(SCENARIO.replace(duration=1.0), engine="live", redis_url=url, open_as="mine").run()
    client.delete(box.offer)
    with led(url) as lab:
        for given, told in ({"consumer": "C1"}, "there is a consumer 'C1' already"), ({"group": "x"}, "x"):
            with pytest.raises(ScenarioError, match=told):
                joining.join(url, "mine", **given)
        assert ended(lab).broken() == []
    for words in ["worker", "--join", url], ["worker", "--run", "mine"], ["worker", "--consumer", "C2"]:
        assert main(words) == 2
        assert "--join URL, its server, and --run NAME" in capsys.readouterr().err
    for words in ["--open", "mine"], ["--engine", "live", "--open", "mine"], ["--engine", "both", "--open", "mine"]:
        assert main(["run", "one-to-one", *words]) == 2
        assert "--engine live --redis URL" in capsys.readouterr().err
    with pytest.raises(ScenarioError, match="give redis_url"):
        Lab("one-to-one", engine="live", open_as="mine")


def test_times_are_told_by_the_clock_of_whoever_hears_them(url: str, client: Any) -> None:
    """Two machines count their seconds from different moments; the server's clock is between them."""
    assert clock_against(client) == pytest.approx(time.monotonic() - time.time(), abs=0.05)
    client.set(Letterbox("mine").offer, offer())
    other = joining._Joined(client, url, Letterbox("mine"))
    other._ahead = 1000.0
    assert list(other._in_own_time('5.25\n{"rate": 3}\nnull\n')) == ["1005.25", '{"rate": 3}', "null"]
    lines = ['{"at": 1005.25, "kind": "acked", "id": "1-0"}', '{"died": 1003.0}', '{"paused": 1001.5, "for": 1.5}']
    told = [json.loads(other._in_its_time(line)) for line in lines]
    assert [told[0]["at"], told[1]["died"], told[2]["paused"], told[2]["for"]] == [5.25, 3.0, 1.5, 1.5]
    assert other._in_its_time('noise {"ready": true}') == '{"ready": true}'
    client.delete(Letterbox("mine").offer)
