"""The server programs of this machine: which there are, of which kind and version, and which is the best."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from dataclasses import dataclass
from typing import Literal

from streamlab.servers.client import OLDEST_VERSION, ServerInfo
from streamlab.servers.in_browser import IN_BROWSER, why_not

Kind = Literal["redis", "valkey"]
Version = tuple[int, int, int]

_SERVER_NAME = re.compile(r"(redis|valkey)-server(-[0-9.]+)?")
_SERVER_VERSION = re.compile(r"\b(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")


class ServerStartError(Exception):
    """A server could not be started; the text says why, in the server's own last words."""


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program on this machine."""

    path: str
    kind: Kind
    version: Version

    def __str__(self) -> str:
        return f"{self.kind.capitalize()} {'.'.join(map(str, self.version))} ({self.path})"


def identify_server(path: str | os.PathLike[str]) -> ServerBinary:
    """Ask a server program for its kind and version (``redis-server --version``).

    Raises `ServerStartError` if it cannot be run or is something else.
    """
    name = os.fspath(path)
    try:
        asked = subprocess.run([name, "--version"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerStartError(f"cannot run {name}: {error}") from error
    answer = asked.stdout.decode(errors="replace").strip()
    found = _SERVER_VERSION.search(answer)
    if found is None:
        raise ServerStartError(f"{name} is neither a redis-server nor a valkey-server: it says {answer[:100]!r}")
    kind: Kind = "redis" if found[1] == "Redis" else "valkey"
    return ServerBinary(name, kind, (int(found[2]), int(found[3]), int(found[4])))


def find_servers(path: str | None = None) -> list[ServerBinary]:
    """List the server programs on the PATH, the one to use by default first.

    ``redis-server`` comes before ``valkey-server``, and both before names with a version, such as
    ``redis-server-8``; within that, the PATH's order. ``path`` is searched instead of the PATH.
    """
    if os.name != "posix":
        return []
    folders = (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)
    found: dict[str, tuple[bool, bool, str]] = {}
    for folder in dict.fromkeys(folders):
        with contextlib.suppress(OSError):  # the PATH may name what is not there
            for name in sorted(os.listdir(folder or ".")):
                match = _SERVER_NAME.fullmatch(name)
                program = os.path.join(folder, name)
                if match and os.access(program, os.X_OK) and os.path.isfile(program):
                    rank = (match[2] is not None, match[1] == "valkey", program)
                    found.setdefault(os.path.realpath(program), rank)
    servers = []
    for *_, program in sorted(found.values(), key=lambda rank: rank[:2]):
        with contextlib.suppress(ServerStartError):  # a namesake that is no server
            servers.append(identify_server(program))
    return servers


def usable_servers() -> tuple[list[ServerBinary], list[str]]:
    """List the server programs on the PATH that are new enough, the best first; and why others are passed over."""
    usable, passed_over = [], []
    for binary in find_servers():
        if binary.version < OLDEST_VERSION:
            server = ServerInfo(binary.kind, binary.version)
            passed_over.append(f"{binary.path} is {server}, too old: groups need 6.2")
        else:
            usable.append(binary)
    return usable, passed_over


def best_server() -> ServerBinary:
    """Return the server program that is tried first unless another one is asked for.

    Raises
    ------
    ServerStartError
        If there is none on the PATH that could be used.
    """
    usable, passed_over = usable_servers()
    if not usable:
        raise no_server(passed_over)
    return usable[0]


def no_server(passed_over: list[str]) -> ServerStartError:
    if IN_BROWSER:
        return ServerStartError(why_not("a private server", "processes", "connect() gives the embedded one"))
    install = "install one (Debian, Ubuntu: apt install redis-server; macOS: brew install redis; on Windows use WSL)"
    if passed_over:
        return ServerStartError(f"no server on the PATH can be used: {'; '.join(passed_over)}; {install}")
    return ServerStartError(f"no redis-server or valkey-server on the PATH: {install}")
