"""connect(): the best server there is, shared by name, shown in one line, private, and gone with its owner."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

import streamlab
from streamlab import close_servers, connect, connect_async
from streamlab.servers.client import ServerUnusable
from streamlab.servers.connect import _shared
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary
from tests.conftest import Eventually
from tests.process_table import runs, sockets, tcp_sockets

pytestmark = pytest.mark.real_time("counts servers and who uses them")

PASSWORD = "s3cr3t"


@pytest.fixture(autouse=True)
def nothing_shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end without servers; whatever the environment names is out of the picture."""
    monkeypatch.delenv("STREAMLAB_REDIS_URL", raising=False)
    close_servers()
    yield
    close_servers()


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder for the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def one_program(no_program: Path, default_server_binary: ServerBinary) -> ServerBinary:
    """A PATH on which there is one server (and what its guard needs)."""
    (no_program / "redis-server").symlink_to(default_server_binary.path)
    for tool in ("sh", "rm"):
        (no_program / tool).symlink_to(f"/bin/{tool}")
    return default_server_binary


def script(folder: Path, text: str) -> None:
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


# ---- which server ------------------------------------------------------------------------------


def test_without_a_program_it_is_embedded(no_program: Path) -> None:
    """With nothing installed there is the embedded server, and the client says so."""
    with connect() as client:
        client.xadd("s", {"f": "1"})
        assert client.connected.how == "embedded"
        assert repr(client) == (
            "<Redis client: embedded in this process, streams as of Redis 7.0.15; without "
            "persistence, Lua scripts, XACKDEL, XDELEX (Redis 8.2), XREADGROUP CLAIM (Redis 8.4), XADD IDMP "
            "(Redis 8.6)>"
        )


def test_a_program_is_started_privately(one_program: ServerBinary) -> None:
    """With a program on the PATH, its server is started, on no TCP port, and keeps nothing."""
    with connect() as client:
        assert client.connected.how == "private"
        assert client.connected.server.version == one_program.version
        told = client.info("server")
        assert told["tcp_port"] == 0
        settings = client.config_get("save", "appendonly", "bind")
        assert (settings["save"], settings["appendonly"]) == ("", "no")
        socket = Path(client.connection_pool.connection_kwargs["path"])
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_no_tcp_port_is_open(one_program: ServerBinary) -> None:
    """The kernel knows of no TCP socket on which the server would listen."""
    with connect() as client:
        pid = client.info("server")["process_id"]
    assert sockets(pid)
    assert not sockets(pid) & tcp_sockets(pid)


def test_the_environment_comes_before_the_path(
    one_program: ServerBinary, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STREAMLAB_REDIS_URL is used even if there is a program; an explicit URL comes before both."""
    monkeypatch.setenv("STREAMLAB_REDIS_URL", redis_url)
    with connect() as client:
        assert client.connected.how == "url"
    assert _shared == {}
    monkeypatch.setenv("STREAMLAB_REDIS_URL", "redis://localhost:1")
    with connect(redis_url) as client:
        assert client.ping()
    with connect("embedded://") as client:
        assert client.connected.how == "embedded"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("echo 'Redis server v=6.0.16 sha=0'", "is Redis 6.0.16, too old: groups need 6.2"),
        ('[ "$1" = --version ] && echo "Redis server v=7.0.15 sha=0" || { echo no luck; exit 1; }', "does not start"),
        ("echo nonsense", ""),
    ],
    ids=["too old", "broken", "no server"],
)
def test_a_program_that_is_no_use(no_program: Path, text: str, note: str) -> None:
    """A program that is too old or does not start is passed over, and the client says so."""
    for tool in ("sh", "rm"):
        (no_program / tool).symlink_to(f"/bin/{tool}")
    script(no_program, text)
    with connect() as client:
        assert client.connected.how == "embedded"
        assert note in repr(client)


def test_a_server_that_cannot_be_used() -> None:
    """Nothing there: the error says so in one line, and nothing is started instead."""
    with pytest.raises(ServerUnusable, match="no Redis server can be reached at localhost:1"):
        connect("redis://localhost:1")
    with pytest.raises(ServerUnusable, match="no Redis server can be reached at localhost:1"):
        asyncio.run(connect_async("redis://localhost:1"))
    assert _shared == {}


def test_within_a_running_loop(redis_url: str) -> None:
    """connect() works in a notebook's cell, too, where a loop is running already."""

    async def cell() -> bool:
        with connect(redis_url) as client:
            return bool(client.ping())

    assert asyncio.run(cell())


# ---- what the client is like -------------------------------------------------------------------


@pytest.fixture(params=["embedded", "private", "url"])
def place(request: pytest.FixtureRequest) -> str | None:
    """The URL to give to `connect`: of the embedded server, none for a private one, of somebody's."""
    if request.param == "embedded":
        return "embedded://"
    # The first program on the PATH is enough, and is there if there is any.
    url = str(request.getfixturevalue("redis_url"))
    return url if request.param == "url" else None


def test_bytes(place: str | None) -> None:
    """Without decode_responses replies are bytes, whatever they are; with it, text, with surrogates for what is not."""
    raw = b"\x00\xff"

    async def read(*, decode_responses: bool) -> object:
        async with await connect_async(place, decode_responses=decode_responses) as client:
            return await client.xrange("s")

    with connect(place, decode_responses=False) as client:
        client.delete("s")
        client.xadd("s", {"f": raw}, id="1-0")
        assert client.xrange("s") == [(b"1-0", {b"f": raw})]
        assert asyncio.run(read(decode_responses=False)) == [(b"1-0", {b"f": raw})]
    with connect(place) as client:
        assert client.xrange("s") == [("1-0", {"f": "\x00\udcff"})]
        assert asyncio.run(read(decode_responses=True)) == [("1-0", {"f": "\x00\udcff"})]
        client.delete("s")


def test_a_database(place: str | None) -> None:
    """The number of a database leads to its keys, and so does the client's url; the others have keys of their own."""

    async def read(**settings: Any) -> object:
        async with await connect_async(place, **settings) as client:
            return await client.get("k")

    with connect(place, db=3) as three, connect(place) as zero, connect(place, db=0) as null:
        three.set("k", "in 3", ex=60)
        zero.set("k", "in 0", ex=60)
        assert [three.get("k"), null.get("k")] == ["in 3", "in 0"]
        assert [asyncio.run(read(db=3)), asyncio.run(read())] == ["in 3", "in 0"]
        for client in (three, zero):
            with redis.Redis.from_url(client.url, decode_responses=True) as other:
                assert other.get("k") == client.get("k")
        assert three.delete("k") + zero.delete("k") == 2


def test_how_many_connections(place: str | None) -> None:
    """A client opens no more connections than it may."""

    async def take() -> None:
        async with await connect_async(place, max_connections=2) as client:
            pool = client.connection_pool
            held = [await pool.get_connection() for _ in range(2)]
            with pytest.raises(redis.ConnectionError, match="Too many connections"):
                await pool.get_connection()
            for connection in held:
                await pool.release(connection)

    with connect(place, max_connections=2) as client:
        held = [client.connection_pool.get_connection() for _ in range(2)]
        with pytest.raises(redis.ConnectionError, match="Too many connections"):
            client.connection_pool.get_connection()
        for connection in held:
            client.connection_pool.release(connection)
    asyncio.run(take())


def test_no_such_database(place: str | None) -> None:
    """A database that the server does not have is refused at once, in words, and leaves no connection open."""
    with pytest.raises(ServerUnusable, match=r"has no database .*lower one"):
        connect(place, db=99)
    with pytest.raises(ServerUnusable, match=r"has no database .*lower one"):
        asyncio.run(connect_async(place, db=99))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"db": -1}, "db is the number of a database"),
        ({"db": "1"}, "db is the number of a database"),
        ({"db": True}, "db is the number of a database"),
        ({"max_connections": 0}, "max_connections is how many"),
        ({"max_connections": 2.5}, "max_connections is how many"),
        ({"decode_responses": "no"}, "decode_responses is True or False"),
        ({"decode_responses": None}, "decode_responses is True or False"),
    ],
    ids=str,
)
def test_nonsense_is_refused(settings: dict[str, Any], says: str) -> None:
    """What makes no sense is said at once, before any server is started or asked."""
    with pytest.raises(ValueError, match=says):
        connect(**settings)
    with pytest.raises(ValueError, match=says):
        asyncio.run(connect_async(**settings))
    assert _shared == {}


def test_a_url_and_a_number() -> None:
    """A URL that names another database is refused, without its password; one that names the same is as good."""
    for url in (f"redis://:{PASSWORD}@localhost:1/2", f"unix://:{PASSWORD}@/nowhere?db=2"):
        with pytest.raises(ServerUnusable, match="names database 2, and db=3 another") as raised:
            connect(url, db=3)
        assert PASSWORD not in str(raised.value)
        with pytest.raises(ServerUnusable, match="no Redis server can be reached"):
            connect(url, db=2)
    with pytest.raises(ServerUnusable, match="sets max_connections itself"):
        connect("redis://localhost:1?max_connections=3", max_connections=4)


# ---- shared by name ----------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["embedded://", pytest.param(None, marks=pytest.mark.redis)])
def test_the_same_name_the_same_data(url: str | None) -> None:
    """Clients of one name share a server, with asyncio or without; those of another have another."""

    async def add() -> None:
        async with await connect_async(url) as client:
            assert isinstance(client, redis.asyncio.Redis)
            await client.xadd("s", {"f": "1"})

    with connect(url) as client, connect(url, server="other") as other:
        assert isinstance(client, redis.Redis)
        asyncio.run(add())
        assert (client.xlen("s"), other.xlen("s")) == (1, 0)
        with connect() as again:  # by its name only
            assert again.xlen("s") == 1
    assert sorted(_shared) == ["lab", "other"]


@pytest.mark.parametrize("url", ["embedded://", pytest.param(None, marks=pytest.mark.redis)])
def test_the_url_leads_others_to_the_same_server(url: str | None) -> None:
    """What another process does at `url` is seen here; it is one URL for all clients of the name, asyncio or not."""
    program = (
        "import sys, redis\n"
        "client = redis.Redis.from_url(sys.argv[1])\n"
        "print(client.xlen('s'))\n"
        "client.xadd('s', {'f': '2'})\n"
    )

    async def url_async() -> str:
        async with await connect_async(url) as client:
            return client.url

    with connect(url) as client:
        client.xadd("s", {"f": "1"})
        assert client.url == asyncio.run(url_async())
        words = [sys.executable, "-c", program, client.url]
        said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        assert said.stdout == "1\n"
        assert [fields["f"] for _, fields in client.xrange("s")] == ["1", "2"]
        with connect(client.url) as by_url:  # as if in another process
            assert by_url.connected.how == "url"
            assert by_url.url == client.url
            assert by_url.xlen("s") == 2
        with connect(url, server="other") as other:
            assert other.url != client.url


def test_the_url_of_a_closed_server(no_program: Path) -> None:
    """With the embedded server its socket goes; asking again says what to do, and a new one has another."""
    client = connect()
    folder = Path(client.url.removeprefix("unix://")).parent
    assert folder.exists()
    close_servers("lab")
    assert not folder.exists()
    with pytest.raises(ServerUnusable, match=r"connect\(\)"):
        client.url  # noqa: B018
    with connect() as again:
        assert Path(again.url.removeprefix("unix://")).parent != folder


def test_fresh(no_program: Path) -> None:
    """fresh=True empties the server, all databases, for all its clients."""
    with connect() as client:
        client.set("a", "1")
        client.move("a", 2)
        client.xadd("s", {"f": "1"})
        with connect(fresh=True):
            assert client.dbsize() == 0
            client.swapdb(0, 2)
            assert client.dbsize() == 0


def test_fresh_spares_other_people_s_data(redis_url: str) -> None:
    """A server that was given by URL is not emptied."""
    with connect(redis_url) as client:
        client.set("a", "1")
        with pytest.raises(ServerUnusable, match="not this process's own"):
            connect(redis_url, fresh=True)
        assert client.get("a") == "1"


def test_closing(one_program: ServerBinary) -> None:
    """A closed server is gone; the next one of its name begins empty; an unknown name is an error."""
    client = connect()
    client.set("a", "1")
    pid = client.info("server")["process_id"]
    close_servers("lab")
    assert not runs(pid)
    with pytest.raises(redis.ConnectionError):
        client.ping()
    with connect() as again:
        assert again.dbsize() == 0
    with pytest.raises(ValueError, match="'nosuch'"):
        close_servers("nosuch")


def test_embedded_is_not_taken_for_private(one_program: ServerBinary) -> None:
    """A name that a private server has is not given to an embedded one; the error says what to do."""
    connect().close()
    with pytest.raises(ServerUnusable, match=r"close_servers\('lab'\)"):
        connect("embedded://")
    with connect("embedded://", server="second") as client:
        assert client.connected.how == "embedded"


def test_a_private_server_that_died(one_program: ServerBinary, eventually: Eventually) -> None:
    """After its server was killed, connect() starts another."""
    with connect() as client:
        pid = client.info("server")["process_id"]
    os.kill(pid, 9)
    server = _shared["lab"].server
    assert isinstance(server, PrivateServer)
    eventually(lambda: not server.alive, "the server should be gone")
    with connect() as client:
        assert client.info("server")["process_id"] != pid


def test_many_threads_one_server(one_program: ServerBinary) -> None:
    """Threads that connect at the same time get one server."""

    def process_id(_: int) -> int:
        with connect() as client:
            return int(client.info("server")["process_id"])

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(process_id, range(8)))) == 1


# ---- the client --------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["embedded://", pytest.param(None, marks=pytest.mark.redis)])
def test_settings(url: str | None) -> None:
    """The clients are redis-py's own, with the settings that streams need."""

    async def asyncio_settings() -> None:
        async with await connect_async(url) as client:
            retry = client.get_retry()
            assert retry is not None
            assert retry._retries == 0
            assert client.get_connection_kwargs()["socket_timeout"] is None
            assert await client.ping()

    with connect(url) as client:
        assert client.get_retry()._retries == 0
        kwargs = client.get_connection_kwargs()
        assert (kwargs["socket_timeout"], kwargs["decode_responses"], kwargs["protocol"]) == (None, True, 2)
    asyncio.run(asyncio_settings())


def test_it_is_shown_in_one_line(no_program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook shows one line, in which names from outside are text, not markup."""
    script(no_program, "echo 'Redis server v=6.0.16 sha=0'")
    folder = no_program / "<b>bold"
    folder.mkdir()
    (no_program / "redis-server").rename(folder / "redis-server")
    monkeypatch.setenv("PATH", f"{no_program}:{folder}")
    for tool in ("sh", "rm"):
        (no_program / tool).symlink_to(f"/bin/{tool}")
    with connect() as client:
        shown = client._repr_html_()
        assert "&lt;b&gt;bold/redis-server is Redis 6.0.16" in shown
        assert "<b>" not in shown
        assert "\n" not in shown
        assert "\n" not in repr(client)
        assert "<b>bold/redis-server" in repr(client)

    async def shown_async() -> tuple[str, str]:
        async with await connect_async() as client:
            return client._repr_html_(), repr(client)

    html, text = asyncio.run(shown_async())
    assert html == shown
    assert text.startswith("<asyncio Redis client: embedded in this process")


@pytest.mark.redis
def test_no_password_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a repr nor an error nor what a notebook shows has the password in it."""
    with PrivateServer(password=PASSWORD) as server:
        wrong = server.url.replace(PASSWORD, "wr0ng")
        texts: list[str] = []
        with connect(server.url) as client:
            client.ping()
            assert client.url == server.url  # password and all: to be given on, not shown
            texts += [repr(client), str(client), client._repr_html_(), repr(client.connected)]
            texts += [repr(client.pipeline()), repr(client.connection_pool), repr(client.pubsub())]
            for call in (lambda: client.xlen(), lambda: connect(server.url, fresh=True)):
                with pytest.raises((TypeError, ServerUnusable)) as caught:
                    call()
                texts.append(str(caught.value))

        async def shown() -> None:
            async with await connect_async(server.url) as client:
                await client.ping()
                texts.extend([repr(client), client._repr_html_(), repr(client.connection_pool)])
                texts.append(repr(client.pipeline()))

        asyncio.run(shown())
        with pytest.raises(ServerUnusable) as refused:
            connect(wrong)
        texts += [str(refused.value), repr(refused.value)]
        server.stop()
        with pytest.raises(redis.ConnectionError) as gone:
            client.ping()
        texts.append(str(gone.value))
    told = "\n".join(texts) + capsys.readouterr().out
    assert PASSWORD not in told
    assert "wr0ng" not in told
    assert "***" in told


# ---- gone with its owner -----------------------------------------------------------------------


@pytest.mark.redis
@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise RuntimeError", "os.kill(os.getpid(), 9)", "os._exit(1)"])
def test_it_goes_with_its_owner(ending: str, eventually: Eventually) -> None:
    """However the process ends that connected, its private server ends, and the folder is removed."""
    program = (
        "import os, sys\n"
        "from streamlab import connect\n"
        "client = connect()\n"
        "print(client.info('server')['process_id'])\n"
        "print(client.connection_pool.connection_kwargs['path'], flush=True)\n"
        f"{ending}\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    pid, path = said.stdout.split()
    eventually(lambda: not runs(int(pid)), "the server should be gone")
    eventually(lambda: not Path(path).parent.exists(), "its folder should be gone")


@pytest.mark.redis
def test_a_fork_has_servers_of_its_own() -> None:
    """A forked child starts another server than its parent's, and does not end that one."""
    program = (
        "import os, sys\n"
        "from streamlab import connect\n"
        "client = connect()\n"
        "client.set('a', 'parent')\n"
        "connect('embedded://', server='second').set('a', 'parent')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print(connect().dbsize(), connect('embedded://', server='second').dbsize(), flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(client.get('a'))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.split() == ["0", "0", "parent"]


# ---- the package -------------------------------------------------------------------------------


def test_the_package_imports_on_demand() -> None:
    """``import streamlab`` loads nothing more; connect() loads fakeredis only when there is no other server."""
    program = (
        "import sys, streamlab\n"
        "print('redis' in sys.modules)\n"
        "from streamlab import connect\n"
        "print('redis' in sys.modules, 'fakeredis' in sys.modules)\n"
        "connect('embedded://')\n"
        "print('fakeredis' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.split() == ["False", "True", "False", "True"]
    with pytest.raises(AttributeError, match="nosuch"):
        streamlab.nosuch  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.redis
def test_another_fakeredis(tmp_path: Path) -> None:
    """With a fakeredis that does not fit, connect() serves a real server as ever; else the error says what to do."""
    (tmp_path / "fakeredis").mkdir()
    (tmp_path / "fakeredis" / "__init__.py").write_text("")
    program = (
        "from streamlab import connect\n"
        "print(connect().ping())\n"
        "try:\n"
        "    connect('embedded://', server='second')\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = said.stdout.splitlines()
    assert first == "True"
    assert "does not fit fakeredis" in second


def test_an_embedded_server_is_of_the_version_that_is_asked_for() -> None:
    """Told as major.minor or in full. A name that is taken stays what it is; where no version is given any will do."""
    with connect("embedded://8.6", server="newer") as client:
        client.xgroup_create("s", "g", id="0", mkstream=True)
        assert client.xreadgroup("g", "c", {"s": ">"}, claim_min_idle_time=1) == []
        assert str(client.connected.server) == "Redis 8.6.0"
    with connect("embedded://", server="newer") as client:
        assert client.exists("s")
    with connect("embedded://8.6.0", server="newer") as client:
        assert client.exists("s")
    with pytest.raises(ServerUnusable, match=r"the server named 'newer' is Redis 8\.6\.0 already"):
        connect("embedded://7.0", server="newer")
    with pytest.raises(ServerUnusable, match=r"'new' is no version of Redis: write embedded://8\.6"):
        connect("embedded://new", server="newest")
