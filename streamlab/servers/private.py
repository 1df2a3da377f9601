"""Private real servers: a redis-server or valkey-server of one's own, started, killed and paused at will.

A `PrivateServer` listens on a unix socket that only its owner may open, on a TCP port only if it is asked to, keeps
nothing unless asked to, and is gone when its owner is, with its folder.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from streamlab.servers.processes import GuardedFolder, GuardedProcess, guarded_popen
from streamlab.servers.programs import (
    Kind,
    ServerBinary,
    ServerStartError,
    Version,
    best_server,
    identify_server,
    no_server,
    usable_servers,
)

logger = logging.getLogger("streamlab")

Persistence = Literal["none", "rdb", "aof", "aof-always"]
# A socket's path must fit into sockaddr_un: 108 bytes on Linux, 104 on macOS, the closing zero included.
MAX_SOCKET_PATH = 103
_SOCKET = "redis.sock"
CONFIGURATION = "server.conf"
_LOG = "server.log"
_PERSISTENCE: dict[Persistence, list[tuple[str, str]]] = {
    "none": [("save", '""'), ("appendonly", "no")],
    "rdb": [("save", "3600 1 300 100 60 10000"), ("appendonly", "no")],
    "aof": [("save", '""'), ("appendonly", "yes"), ("appendfsync", "everysec")],
    "aof-always": [("save", '""'), ("appendonly", "yes"), ("appendfsync", "always")],
}
_OURS = frozenset({"port", "bind", "unixsocket", "unixsocketperm", "dir", "daemonize", "logfile"})


class _GivenUp(ServerStartError):
    """Nobody waits for the server any more."""


class PrivateServer:
    """A real server of one's own on a unix socket; a context manager, or `start` and `stop` it.

    ``binary`` is a program's name or path, or one of `find_servers`; by default it is the first of those that is
    new enough and starts, and `passed_over` says why others were not taken.
    ``persistence`` is "none", "rdb" (Redis' default snapshots), "aof-always" (fsync before each answer) or "aof" (fsync
    every second: while a disk is slow, even a `kill` loses what was answered in the last two seconds, unless
    ``options`` say ``{"appendfsync": "no"}``).
    ``port`` is a TCP port of 127.0.0.1 on which it listens as well: every program of this machine reaches it there.
    ``options`` are further lines of redis.conf: name and value as they would stand there. The folder
    lives until `stop`, so that `kill` and `restart` show what a persistence mode brings back.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str] | ServerBinary | None = None,
        *,
        persistence: Persistence = "none",
        password: str | None = None,
        port: int | None = None,
        options: Mapping[str, str | int] | None = None,
    ) -> None:
        self._wanted = binary
        self._persistence: Persistence = persistence
        self._password = password
        self._port = port
        self._options = dict(options or {})
        self._binary: ServerBinary | None = None
        self._folder: GuardedFolder | None = None
        self._is_given_up = threading.Event()
        self._process: GuardedProcess | None = None
        #: Why programs on the PATH were not taken that would have come first.
        self.passed_over: list[str] = []
        if persistence not in _PERSISTENCE:
            raise ValueError(f"persistence is one of {', '.join(_PERSISTENCE)}, not {persistence!r}")
        refused = _OURS & {name.lower() for name in self._options}
        if refused:
            raise ValueError(f"a private server sets {', '.join(sorted(refused))} itself")
        if any("\n" in f"{name}{value}" for name, value in self._options.items()) or "\n" in (password or ""):
            raise ValueError("a line of redis.conf cannot hold a line break")

    @property
    def binary(self) -> ServerBinary:
        """The program that runs, or would."""
        if self._binary is None:
            self._binary = self._choose()
        return self._binary

    @property
    def kind(self) -> Kind:
        """Whether this is Redis or Valkey."""
        return self.binary.kind

    @property
    def version(self) -> Version:
        """The server's version, as three numbers."""
        return self.binary.version

    @property
    def folder(self) -> Path:
        """The private folder: socket, log, and what the server persists."""
        if self._folder is None:
            raise RuntimeError("the server has not been started: call start()")
        return self._folder.path

    @property
    def socket_path(self) -> Path:
        """The unix socket on which the server listens."""
        return self.folder / _SOCKET

    @property
    def url(self) -> str:
        """The URL for redis-py, ``unix:///…``; it holds the password, if there is one."""
        return f"unix://{self._secret}{quote(str(self.socket_path))}"

    @property
    def tcp_url(self) -> str:
        """The URL for clients that know no unix sockets, ``redis://127.0.0.1:…``: of a server that was given a port."""
        if self._port is None:
            raise RuntimeError("the server listens on no TCP port: give it one, PrivateServer(port=…)")
        return f"redis://{self._secret}127.0.0.1:{self._port}"

    @property
    def port(self) -> int | None:
        """The TCP port of 127.0.0.1 on which it listens as well."""
        return self._port

    @property
    def _secret(self) -> str:
        return f":{quote(self._password, safe='')}@" if self._password else ""

    @property
    def pid(self) -> int:
        """The process id of the running server, or of the one last killed."""
        return self._started().pid

    @property
    def alive(self) -> bool:
        """Whether the server process exists; a paused one does."""
        return self._process is not None and self._process.alive

    def start(self, timeout: float = 10.0) -> Self:
        """Start the server and wait until it answers (``PING``), at most ``timeout`` seconds.

        Raises `ServerStartError` with the server's last log lines if it does not.
        """
        if self.alive:
            raise RuntimeError(f"{self!r} runs already")
        if self._folder is not None:  # it was killed: with what it has kept
            self._launch(timeout)
        elif self._wanted is not None:
            self._start(self._choose(), timeout)
        else:
            self._start_best(timeout)
        return self

    def _start_best(self, timeout: float) -> None:
        """Start the first program on the PATH that is new enough and starts."""
        usable, self.passed_over = usable_servers()
        for binary in usable:
            try:
                self._start(binary, timeout)
            except _GivenUp:
                raise
            except ServerStartError as error:
                self.passed_over.append(f"{binary.path} does not start: {_in_one_line(str(error))}")
            else:
                for words in self.passed_over:
                    logger.warning("passed over: %s", words)
                return
        raise no_server(self.passed_over)

    def _start(self, binary: ServerBinary, timeout: float) -> None:
        self._binary = binary
        self._folder = private_folder(_SOCKET)
        try:
            _write_private(self.folder / CONFIGURATION, self._configuration())
            self._launch(timeout)
        except BaseException:
            self.stop()
            raise

    def give_up(self) -> None:
        """Let a `start` or `restart` that another thread waits in end soon, with `ServerStartError`: for good."""
        self._is_given_up.set()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash does: nothing is saved, the folder stays for `restart`."""
        self._started().kill()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): it accepts connections and answers nothing."""
        self._started().pause()

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._started().resume()

    def restart(self, timeout: float = 10.0) -> Self:
        """Start the server again in its folder, so that it loads what it had persisted.

        A server that still runs is shut down in good order first (SIGTERM). The URL stays the same.
        Raises `ServerStartError` as `start` does; the folder is then kept.
        """
        process = self._started()
        if process.alive:
            process.terminate()
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
        self._launch(timeout)
        return self

    def stop(self) -> None:
        """End the server and remove its folder. Stopping twice is allowed."""
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def log(self, lines: int = 20) -> str:
        """Return the last lines of the server's log."""
        path = self.folder / _LOG
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _started(self) -> GuardedProcess:
        if self._process is None:
            raise RuntimeError("the server has not been started: call start()")
        return self._process

    def _choose(self) -> ServerBinary:
        if isinstance(self._wanted, ServerBinary):
            return self._wanted
        if self._wanted is not None:
            program = shutil.which(self._wanted)
            if program is None:
                raise ServerStartError(f"no program {os.fspath(self._wanted)!r} on the PATH")
            return identify_server(program)
        return best_server()

    def _configuration(self) -> str:
        # In a file, since arguments are shown to everybody by `ps`, a password with them.
        settings = [
            ("port", str(self._port or 0)),
            ("bind", "127.0.0.1"),
            ("unixsocket", _quoted(str(self.socket_path))),
            ("unixsocketperm", "700"),
            ("dir", _quoted(str(self.folder))),
            ("daemonize", "no"),
            ("logfile", '""'),
            # A server with nothing else to do ends a read whose BLOCK is over at its next tick: of 10 a second, by
            # default, and so up to 100 ms late. Nobody can tell a simulation how much that was.
            ("hz", "100"),
            *_PERSISTENCE[self._persistence],
        ]
        if self._password:
            settings.append(("requirepass", _quoted(self._password)))
        settings += [(name, str(value)) for name, value in self._options.items()]
        return "".join(f"{name} {value}\n" for name, value in settings)

    def _arguments(self) -> list[str]:
        # The configuration comes by standard input, since a server takes *, ? and [ in a file's path for a
        # pattern, and if that matches nothing starts with its defaults: on a TCP port. Hence also --port.
        return ["-", "--port", str(self._port or 0)]

    def _launch(self, timeout: float) -> None:
        folder = self.folder
        with (folder / CONFIGURATION).open("rb") as configuration, (folder / _LOG).open("ab") as log:
            try:
                self._process = guarded_popen(
                    [self.binary.path, *self._arguments()], stdin=configuration, stdout=log, stderr=log, cwd=folder
                )
            except OSError as error:
                raise ServerStartError(f"cannot start {self.binary}: {error}") from error
        deadline = time.monotonic() + timeout
        while not self._answers():
            if not self._process.alive:
                problem = f"ended at once (status {self._process.returncode})"
            elif self._is_given_up.is_set():
                self._process.kill()
                raise _GivenUp(f"{self.binary} was given up before it answered")
            elif time.monotonic() > deadline:
                self._process.kill()
                problem = f"did not answer within {timeout:g} s"
            else:
                time.sleep(0.005)
                continue
            raise ServerStartError(f"{self.binary} {problem}. Its last words:\n{self.log()}")

    def _answers(self) -> bool:
        """Tell whether the server serves commands: its answer to PING is no refusal, as while it loads its data.

        If a password was set or changed by an option, its refusal of ours has to do.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(os.fsencode(self.socket_path))
                if self._password:  # before a password is given, a server that loads its data does not say so
                    secret = self._password.encode()
                    connection.sendall(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n" % (len(secret), secret))
                    said = connection.recv(64)
                    if not said.startswith(b"+OK"):
                        return said.startswith(b"-")
                connection.sendall(b"PING\r\n")
                answer = connection.recv(64)
            except OSError:  # no socket yet, or nobody behind a killed server's
                return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))

    def __enter__(self) -> Self:
        return self.start() if self._folder is None else self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.alive else "not running"
        return f"<PrivateServer {self._binary or self._wanted or 'default'}: {state}>"


def private_folder(socket_name: str) -> GuardedFolder:
    """Make a temporary folder that goes with its owner, and whose path leaves room for a unix socket of this name."""
    for parent in dict.fromkeys([tempfile.gettempdir(), "/tmp"]):  # the latter is short
        folder = GuardedFolder(parent)
        if len(os.fsencode(folder.path / socket_name)) <= MAX_SOCKET_PATH:
            return folder
        folder.close()
    raise ServerStartError("no temporary folder has a path short enough for a unix socket: set TMPDIR")


def _write_private(path: Path, content: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(os.fsencode(content))


def _in_one_line(text: str) -> str:
    """Return what a server said in one line; of much, the beginning and the end."""
    line = " ".join(text.split())
    return line if len(line) <= 400 else f"{line[:140]} … {line[-240:]}"


def _quoted(value: str) -> str:
    """Quote one value for redis.conf."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
