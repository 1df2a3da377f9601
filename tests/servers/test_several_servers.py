"""Private servers that belong together: replicas with Sentinels, and a cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis

from streamlab.servers.client import sync_stream_client
from streamlab.servers.cluster import PrivateCluster
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary, ServerStartError
from streamlab.servers.replicas import PrivateReplicas
from streamlab.servers.together import PrivateServers, ask, free_ports
from tests.process_table import runs

Eventually = Callable[..., None]

#: Small ones: what does not depend on numbers is tried with them.
SMALL: dict[str, Callable[[ServerBinary], PrivateServers]] = {
    "replicas": lambda binary: PrivateReplicas(binary, n_replicas=1, n_sentinels=1),
    "cluster": lambda binary: PrivateCluster(binary, n_primaries=1, n_replicas=1),
}


@pytest.fixture(params=SMALL)
def small(request: pytest.FixtureRequest, default_server_binary: ServerBinary) -> PrivateServers:
    """Servers of either kind, not started yet."""
    return SMALL[request.param](default_server_binary)


def role(server: PrivateServer) -> str:
    return str(ask(server, "ROLE")[0])


def set_and_copy(primary: PrivateServer, key: str, n_replicas: int, within_ms: int = 5000) -> None:
    """Set a key on a primary, and wait until so many replicas have it: ``WAIT`` is for what its connection wrote."""
    with sync_stream_client(primary.url) as client:
        client.set(key, "value")
        assert client.wait(n_replicas, within_ms) == n_replicas


def all_of(servers: PrivateServers) -> list[PrivateServer]:
    return [*servers.servers, *getattr(servers, "sentinels", [])]


def test_a_primary_with_replicas_and_sentinels(server_binary: ServerBinary) -> None:
    """Once started, replicas have what the primary gets, and the Sentinels agree that they could replace it."""
    with PrivateReplicas(server_binary) as servers:
        assert [role(server) for server in servers.servers] == ["master", "slave", "slave"]
        assert servers.replicas == servers.servers[1:]
        for sentinel in servers.sentinels:
            assert "3 usable Sentinels" in ask(sentinel, "SENTINEL", "CKQUORUM", "lab")
        set_and_copy(servers.primary, "key", 2)
        assert [ask(replica, "GET", "key") for replica in servers.replicas] == ["value"] * 2


@pytest.mark.real_time("a server that does not get to answer is taken for dead")
def test_a_replica_is_promoted(default_server_binary: ServerBinary, eventually: Eventually) -> None:
    """When the primary is killed, a replica takes over with its data."""
    with PrivateReplicas(default_server_binary, n_replicas=1) as servers:
        first = servers.primary
        set_and_copy(first, "key", 1)
        first.kill()
        eventually(lambda: servers.primary is servers.servers[1], "the replica is promoted", 30)
        eventually(lambda: role(servers.servers[1]) == "master", "it knows that it is")
        assert ask(servers.primary, "GET", "key") == "value"
        assert ask(servers.primary, "SET", "key", "newer")


def test_a_cluster(server_binary: ServerBinary) -> None:
    """Three primaries share the slots, each with a replica that has its data."""
    with PrivateCluster(server_binary) as cluster:
        assert [role(server) for server in cluster.servers] == ["master"] * 3 + ["slave"] * 3
        keys = ["{b}", "{c}", "{a}"]  # in slots 3300, 7365, 15495
        primaries = [cluster.primary_of(key) for key in keys]
        assert primaries == cluster.servers[:3]
        for key, primary, replica in zip(keys, primaries, cluster.servers[3:], strict=True):
            set_and_copy(primary, key, 1)
            with pytest.raises(redis.exceptions.MovedError):
                ask(primary, "SET", "{b}" if key == "{a}" else "{a}", "value")
            assert ask(replica, "KEYS", "*") == [key]


@pytest.mark.real_time("a server that does not get to answer is taken for dead")
def test_a_cluster_replaces_a_primary(default_server_binary: ServerBinary, eventually: Eventually) -> None:
    """A killed primary's replica takes its slots; restarted, it is that one's replica at once."""
    with PrivateCluster(default_server_binary) as cluster:
        first = cluster.primary_of("{b}")
        set_and_copy(first, "{b}", 1)
        first.kill()
        eventually(lambda: cluster.primary_of("{b}") is cluster.servers[3], "the replica takes over", 30)
        eventually(lambda: "cluster_state:ok" in ask(cluster.servers[3], "CLUSTER", "INFO"), "it serves", 30)
        assert ask(cluster.servers[3], "GET", "{b}") == "value"
        first.restart()
        eventually(lambda: role(first) == "slave", "the old primary is a replica")


def test_they_are_private(small: PrivateServers) -> None:
    """All listen on 127.0.0.1 alone, want the password, and show it to nobody; another run has another one."""
    with small as servers:
        password = servers.url.partition("//:")[2].partition("@")[0]
        for server in all_of(servers):
            listening = [each for each in psutil.Process(server.pid).net_connections("inet") if each.status == "LISTEN"]
            assert listening
            assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
            assert server.port in {each.laddr.port for each in listening}
            stranger = sync_stream_client(f"redis://127.0.0.1:{server.port}")
            with stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            assert password not in " ".join(psutil.Process(server.pid).cmdline())
        assert password not in repr(servers)


def test_stopping_leaves_nothing(small: PrivateServers) -> None:
    """Processes and folders are gone, of killed and paused servers as well; then they can be started anew."""
    with small as servers:
        before = [(server, server.pid, server.folder) for server in all_of(servers)]  # dropped, they would end anyway
        servers.servers[0].kill()
        servers.servers[1].pause()
        with pytest.raises(RuntimeError, match="runs already"):
            servers.start()
    assert not [pid for _, pid, folder in before if runs(pid) or folder.exists()]
    servers.stop()
    with pytest.raises(RuntimeError, match="call start"):
        _ = servers.url


def test_an_interrupted_start_leaves_nothing(
    small: PrivateServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the servers look for each other ends all that have been started."""

    def interrupt(*_: object) -> None:
        started.extend((server, server.pid) for server in all_of(small))
        raise KeyboardInterrupt

    started: list[tuple[PrivateServer, int]] = []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for module in ("replicas", "cluster"):
        monkeypatch.setattr(f"streamlab.servers.{module}.wait_until", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small.start()
    assert len(started) == 2
    assert not [pid for _, pid in started if runs(pid)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", SMALL)
def test_they_end_with_their_owner(
    kind: str, default_server_binary: ServerBinary, tmp_path: Path, eventually: Eventually
) -> None:
    """When the process that has started them is killed, nothing of them stays."""
    code = f"""
        import sys
        from streamlab.servers.programs import identify_server
        from tests.servers.test_several_servers import SMALL, all_of
        with SMALL[{kind!r}](identify_server({default_server_binary.path!r})) as servers:
            print(*(server.pid for server in all_of(servers)), flush=True)
            sys.stdin.readline()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as owner:
        assert owner.stdout
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == (3 if kind == "replicas" else 2)
        owner.kill()
    eventually(lambda: not any(map(runs, pids)), "the servers end after their owner")
    eventually(lambda: not list(tmp_path.iterdir()), "their folders are removed")


def test_a_port_that_was_taken_is_no_obstacle(small: PrivateServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a program has taken a port before the server could, others are tried."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        asked: list[int] = []

        def ports(n: int) -> list[int]:
            asked.append(n)
            return free_ports(n) if len(asked) > 1 else [taken.getsockname()[1], *free_ports(n - 1)]

        for module in ("replicas", "cluster"):
            monkeypatch.setattr(f"streamlab.servers.{module}.free_ports", ports)
        with small as servers:
            assert all(server.alive for server in all_of(servers))
        assert len(asked) == 2


def test_what_makes_no_sense_is_refused() -> None:
    """Numbers, and a server that is too old for a cluster."""
    for numbers in ({"n_replicas": -1}, {"n_sentinels": -1}, {"down_after": 0}):
        with pytest.raises(ValueError, match="above 0"):
            PrivateReplicas(**numbers)  # type: ignore[arg-type]
    for numbers in ({"n_primaries": 0}, {"n_replicas": -1}, {"node_timeout": 0}):
        with pytest.raises(ValueError, match="one primary at least"):
            PrivateCluster(**numbers)  # type: ignore[arg-type]
    with pytest.raises(ServerStartError, match="needs Redis 7"):
        PrivateCluster(ServerBinary("redis-server", "redis", (6, 2, 0))).start()


@pytest.mark.real_time("a replica that still has to tell that it is there is a second late")
def test_a_replica_has_at_once_what_is_written_first(default_server_binary: ServerBinary) -> None:
    """A server that counts as started gets what is written from then on."""
    with PrivateReplicas(default_server_binary, n_replicas=1, n_sentinels=0) as servers:
        set_and_copy(servers.primary, "key", 1, within_ms=300)


def test_without_sentinels_nobody_is_promoted(default_server_binary: ServerBinary) -> None:
    """Then the URL is the first server's, whatever happens."""
    with PrivateReplicas(default_server_binary, n_replicas=1, n_sentinels=0) as servers:
        assert servers.url == servers.servers[0].tcp_url
        servers.primary.kill()
        assert servers.primary is servers.servers[0]
