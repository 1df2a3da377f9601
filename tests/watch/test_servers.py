"""Clients and servers of any kind; and what is said where there is nothing to be watched."""

from __future__ import annotations

import re
import socketserver
import threading
from typing import Any

import pytest
import redis

from streamlab import PrivateServer, Watch, connect, sync_stream_client
from streamlab.servers.client import ServerUnusable
from streamlab.servers.programs import ServerBinary
from tests.watch.watched import DEAD, GROUP, STREAM, Place, fill, serving

ODD = b"caf\xe9\x1b[31m<b>"


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_any_client_and_any_name(real: Place, decode: bool, protocol: Any) -> None:
    """Bytes or text, either protocol: the same look; and a name that is no text is shown without harm."""
    client = redis.Redis.from_url(real.url, decode_responses=decode, protocol=protocol)
    plain: Any = redis.Redis.from_url(real.url)
    plain.xgroup_create(STREAM, ODD, "0")
    plain.xreadgroup(ODD, ODD, {STREAM: ">"}, count=3)
    look = Watch(client, STREAM).look()
    usual = Watch(real.url, STREAM).look()
    groups = [(g.name, g.pending, [c.name for c in g.consumers], [e.id for e in g.oldest]) for g in look.groups]
    assert groups == [
        (g.name, g.pending, [c.name for c in g.consumers], [e.id for e in g.oldest]) for g in usual.groups
    ]
    odd = ODD.decode(errors="surrogateescape")
    assert Watch(client, STREAM, odd).look().group(odd).consumers[0].name == odd
    assert "caf··[31m<b>" in str(look)
    assert "\x1b" not in str(look)
    assert look._repr_html_().count("<b>") == len(look.as_tables())
    plain.xadd(ODD, {"a": "1"})
    assert Watch(client, odd).look().length == 1


def test_the_clients_of_connect_and_of_the_embedded_server() -> None:
    """With the URL of the embedded server, a client of it, and that of `connect`."""
    with serving("embedded") as place:
        assert Watch(place.others, STREAM).look().where == "the embedded server"
        assert Watch(place.others, STREAM).look().length == 30
    client = connect("embedded://", server="watched", fresh=True)
    fill(client)
    assert Watch(client, STREAM).look().length == Watch(client.url, STREAM).look().length == 30


def test_what_is_no_server_is_refused() -> None:
    """Nor does a number pass that makes no sense."""
    for_asyncio: Any = redis.asyncio.Redis()
    with pytest.raises(TypeError, match=r"a URL or a redis\.Redis, not redis\.asyncio\.client\.Redis"):
        Watch(for_asyncio, STREAM)
    wrong: dict[str, Any]
    for wrong in ({"dead_after": 0.0}, {"oldest": -1}, {"dead_after": float("nan")}):
        with pytest.raises(ValueError, match="makes no sense"):
            Watch("redis://localhost", STREAM, **wrong)
    with pytest.raises(ValueError, match="a look every 0 s makes no sense"):
        next(Watch("redis://localhost", STREAM).every(0))


def test_no_password_is_shown(default_server_binary: ServerBinary) -> None:
    """Not by the watch, nor a look, nor an error; and a server that wants one says so."""
    with PrivateServer(default_server_binary) as server:
        with sync_stream_client(server.url) as client:
            fill(client)
            client.config_set("requirepass", "s3cr3t")
        watch = Watch(server.url.replace("unix://", "unix://default:s3cr3t@"), STREAM)
        said = [repr(watch), str(watch.look()), watch.look().to_json(), watch.look()._repr_html_()]
        wrong = Watch(server.url.replace("unix://", "unix://default:s3cr3tly@"), STREAM)
        for refused, words in ((wrong, "refuses this user and password"), (Watch(server.url, STREAM), "a password")):
            with pytest.raises(ServerUnusable, match=words) as caught:
                refused.look()
            said.append(str(caught.value))
    with pytest.raises(ServerUnusable) as caught:
        watch.look()
    assert "s3cr3t" not in "".join([*said, str(caught.value)])


def test_a_user_who_may_do_no_more_than_is_asked_for(default_server_binary: ServerBinary) -> None:
    """What the refusal tells to allow is enough."""
    with PrivateServer(default_server_binary) as server, sync_stream_client(server.url) as client:
        fill(client)
        url = server.url.replace("unix://", "unix://watcher:s3cr3t@")
        client.execute_command("ACL SETUSER", "watcher", "on", ">s3cr3t", "+xinfo")
        with pytest.raises(ServerUnusable, match=f"this user may not look at '{STREAM}'") as caught:
            Watch(url, STREAM).look()
        allowed = str(caught.value).partition("ACL SETUSER … ")[2].removesuffix(")").split()
        client.execute_command("ACL SETUSER", "watcher", *allowed)
        assert Watch(url, STREAM).look().group(GROUP).pending == 17


class _AnotherNode(socketserver.StreamRequestHandler):
    """Answers each command as a node of a cluster does that has other keys."""

    def handle(self) -> None:
        for line in self.rfile:
            if line.startswith(b"*"):
                self.wfile.write(b"-MOVED 3999 10.0.0.7:6381\r\n")


def test_the_node_of_a_cluster_that_has_the_stream_is_named() -> None:
    """It is not followed there: the watch has one connection."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _AnotherNode) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        with (
            redis.Redis(port=server.server_address[1]) as client,
            pytest.raises(ServerUnusable, match=r"watch that at 10\.0\.0\.7:6381$"),
        ):
            Watch(client, STREAM).look()
        server.shutdown()


# ---- what is not there -----------------------------------------------------------------------------


def test_no_such_stream(place: Place) -> None:
    """The error names those that are there; other keys are none."""
    place.others.set("text", "1")
    with pytest.raises(ServerUnusable) as caught:
        Watch(place.url, "nowhere").look()
    assert str(caught.value).startswith("there is no stream 'nowhere' at ")
    assert str(caught.value).endswith(f"; streams there are: '{DEAD}', '{STREAM}'")
    with pytest.raises(ServerUnusable, match=f"has no group 'mail'; its groups are: '{GROUP}'"):
        Watch(place.url, STREAM, "mail").look()
    with pytest.raises(ServerUnusable, match=r"the key 'text' at .* holds no stream"):
        Watch(place.url, "text").look()
    with pytest.raises(ServerUnusable, match=f"the key '{STREAM}' or 'text' at .* holds no stream"):
        Watch(place.url, STREAM, dead_letters="text").look()


def test_of_many_streams_a_few_are_named(real: Place) -> None:
    """A large server is not walked through: 20 SCANs at most."""
    pipe = real.others.pipeline(transaction=False)
    for number in range(20_000):
        pipe.set(f"key:{number}", "1")
    for number in range(50):
        pipe.xadd(f"stream:{number}", {"a": "1"})
    pipe.execute()
    before = real.others.info("commandstats")["cmdstat_scan"]["calls"] if _has_scanned(real) else 0
    with pytest.raises(ServerUnusable, match=r", and maybe more$") as caught:
        Watch(real.url, "nowhere").look()
    calls = real.others.info("commandstats")["cmdstat_scan"]["calls"] - before
    assert 1 <= calls <= 20
    assert str(caught.value).count("stream:") <= 10


def _has_scanned(place: Place) -> bool:
    return "cmdstat_scan" in place.others.info("commandstats")


def test_what_goes_is_told_and_looked_for_again(place: Place) -> None:
    """A group, a stream: the next look says that it is gone, and the one after that it is there again."""
    watch = Watch(place.url, STREAM, GROUP)
    watch.look()
    place.others.xgroup_destroy(STREAM, GROUP)
    look = watch.look()
    assert look.groups == ()
    assert look.trouble.endswith("has no group 'billing' any more")
    assert look.trouble in str(look)
    place.others.delete(STREAM)
    look = watch.look()
    assert (look.length, look.groups) == (0, ())
    assert re.fullmatch(r"there is no stream '{orders}:events' at .* any more", look.trouble)
    fill(place.others)
    look = watch.look()
    assert (look.length, look.trouble, look.group(GROUP).pending) == (30, "", 17)


def test_a_server_that_is_down_is_waited_for(default_server_binary: ServerBinary) -> None:
    """The first look raises; later ones repeat what was known, and say why, until there is an answer."""
    with PrivateServer(default_server_binary) as server:
        with sync_stream_client(server.url) as client:
            fill(client)
        watch = Watch(server.url, STREAM)
        looks = watch.every(0.01)
        assert next(looks).trouble == ""
        server.kill()
        look = next(looks)
        assert look.trouble.startswith("no answer, so this is how it was: no Redis server can be reached at ")
        assert look.length == 30
        with pytest.raises(ServerUnusable):
            next(Watch(server.url, STREAM).every(0.01))
        server.start()
        assert "there is no stream" in next(looks).trouble
