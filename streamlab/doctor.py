"""What this machine offers, and what is missing for what: the data of ``streamlab doctor``."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from itertools import groupby
from typing import Literal
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement

from streamlab.servers.client import OLDEST_VERSION, ServerInfo, ServerUnusable, ask_server, redact
from streamlab.servers.connect import later_commands_missing
from streamlab.servers.embedded import EmbeddedServer
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary, ServerStartError, find_servers

Area = Literal["Engines", "Servers", "Python", "Extras"]
EMBEDDED = "embedded"
State = Literal["ok", "missing", "problem"]

#: What pip calls this package.
DISTRIBUTION = "consumer-group-lab"
#: What each extra is for, in the order in which they are shown.
EXTRAS = {"course": "the notebooks, figures and the panel", "jobs": "many runs at once"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, how it stands, and the command that would mend it, if there is one.

    ``more`` are lines for those who want to know all.
    """

    area: Area
    name: str
    state: State
    detail: str
    remedy: str = ""
    more: tuple[str, ...] = ()


def report() -> list[Finding]:
    """Look at this machine: engines, servers (each is started once), Python packages, extras.

    With STREAMLAB_REDIS_URL set, the server there is asked, too (``INFO server``). Raises nothing for what
    is missing: that is what it reports.
    """
    servers = _servers()
    return [*_engines(servers), *servers, *_python(), *_extras()]


def render(findings: list[Finding], *, verbose: bool = False) -> str:
    """Lay findings out as text: a paragraph an area, remedies under what they mend; all there is, if `verbose`."""
    width = max((len(finding.name) for finding in findings), default=0)
    margin = " " * (13 + width)
    lines: list[str] = []
    for area, group in groupby(findings, key=lambda finding: finding.area):
        lines += ["", area]
        for finding in group:
            told = [finding.detail, *(finding.more if verbose else ())]
            detail = "\n".join(told).replace("\n", "\n" + margin)
            lines.append(f"  {finding.state:<8} {finding.name:<{width}}  {detail}")
            if finding.remedy:
                lines.append(f"{margin}→ {finding.remedy}")
    return "\n".join(lines[1:])


def _engines(servers: list[Finding]) -> list[Finding]:
    usable = [each.name for each in servers if each.state == "ok" and each.name != EMBEDDED]
    if usable:
        live = Finding("Engines", "live", "ok", f"real worker processes on {usable[0]}")
    else:
        live = Finding("Engines", "live", "missing", "needs a Redis or Valkey server", _server_remedy())
    return [Finding("Engines", "simulated", "ok", "virtual time; needs no server"), live]


def _servers() -> list[Finding]:
    findings = [_private_server(binary) for binary in find_servers()]
    url = os.environ.get("STREAMLAB_REDIS_URL")
    if url:
        findings.insert(0, _server_at(url))
    if not findings:
        nothing = "no redis-server or valkey-server on the PATH"
        findings.append(Finding("Servers", "none", "missing", nothing, _server_remedy()))
    return [*findings, _embedded_server()]


def _embedded_server() -> Finding:
    """Say what the embedded server is, and how it differs; a fakeredis that it was not tried with is a problem."""
    try:
        from streamlab.servers.embedded.fake import contract
    except ImportError as error:
        return Finding("Servers", EMBEDDED, "problem", str(error), _pip_install(""))
    changes = contract.changes()
    if changes:
        detail = f"not made for fakeredis {_version('fakeredis')}: {changes[0]}"
        return Finding("Servers", EMBEDDED, "problem", detail, _pip_install(""))
    server = EmbeddedServer()
    as_of = ServerInfo("redis", server.version)
    known = tuple(f"- {each.what}: {each.embedded}" for each in server.divergences)
    detail = (
        f"within this process, streams as of {as_of}; differs from a real server in {len(known)} points"
        " (listed by `streamlab doctor -v`)"
    )
    return Finding("Servers", EMBEDDED, "ok", detail, more=known)


def _private_server(binary: ServerBinary) -> Finding:
    server = ServerInfo(binary.kind, binary.version)
    name = str(server)
    if binary.version < OLDEST_VERSION:
        detail = f"{binary.path}: too old, consumer groups need 6.2"
        return Finding("Servers", name, "problem", detail, _server_remedy())
    try:
        with PrivateServer(binary):
            pass
    except (ServerStartError, OSError) as error:
        return Finding("Servers", name, "problem", f"{binary.path}: {error}")
    return Finding("Servers", name, "ok", f"{binary.path}{_without(server)}")


def _server_at(url: str) -> Finding:
    where = f"STREAMLAB_REDIS_URL, {redact(url)}"
    try:
        server = ask_server(url)
    except ServerUnusable as error:
        return Finding("Servers", "by URL", "problem", f"{where}: {error}")
    return Finding("Servers", str(server), "ok", f"{where}{_without(server)}")


def _without(server: ServerInfo) -> str:
    """Say which later commands a server does not know."""
    unknown = later_commands_missing(server)
    return f"; without {', '.join(unknown)}" if unknown else ""


def _server_remedy() -> str:
    if os.name != "posix":
        return "real servers need WSL: https://learn.microsoft.com/windows/wsl/install"
    for manager, command in [
        ("brew", "brew install redis"),
        ("apt-get", "sudo apt-get install redis-server"),
        ("dnf", "sudo dnf install valkey"),
        ("pacman", "sudo pacman -S valkey"),
        ("apk", "sudo apk add redis"),
    ]:
        if shutil.which(manager):
            return command
    return "install Redis or Valkey, and put its server on the PATH"


def _python() -> list[Finding]:
    findings = [Finding("Python", "python", "ok", f"{platform.python_version()}, {sys.executable}")]
    unmet = _unmet_by_package(_requirements())
    for package, purpose in [
        ("redis", "the client"),
        ("hiredis", "reads replies several times faster"),
        ("fakeredis", "the embedded server"),
    ]:
        version = _version(package)
        if version is None:
            findings.append(Finding("Python", package, "missing", purpose, _pip_install("")))
        elif package in unmet:
            findings.append(Finding("Python", package, "problem", unmet[package], _pip_install("")))
        else:
            findings.append(Finding("Python", package, "ok", version))
    return findings


def _extras() -> list[Finding]:
    try:
        metadata.requires(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        detail = "streamlab runs from its folder without being installed"
        return [Finding("Extras", "streamlab", "missing", detail, 'pip install -e ".[course]"')]
    findings = []
    for extra, purpose in EXTRAS.items():
        unmet = _unmet_by_package(_requirements(extra))
        absent = [package for package in unmet if _version(package) is None]
        unfit = [problem for package, problem in unmet.items() if package not in absent]
        problems = [f"not installed: {', '.join(absent)}"] if absent else []
        if problems + unfit:
            state: State = "problem" if unfit else "missing"
            detail = "; ".join([purpose, *problems, *unfit])
            findings.append(Finding("Extras", extra, state, detail, _pip_install(extra)))
        else:
            findings.append(Finding("Extras", extra, "ok", purpose))
    return findings


def _requirements(extra: str = "", package: str = DISTRIBUTION) -> list[Requirement]:
    """Return what a package needs, for itself or for an extra of its own; nothing if it is not installed."""
    try:
        lines = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []
    every = [Requirement(line) for line in lines]
    if not extra:
        return [each for each in every if each.marker is None or each.marker.evaluate()]
    return [
        each
        for each in every
        if each.marker is not None
        and each.marker.evaluate({"extra": extra})
        and not each.marker.evaluate({"extra": ""})
    ]


def _unmet_by_package(requirements: list[Requirement]) -> dict[str, str]:
    """Return which packages are not there, or not as they have to be: by name, what is the matter."""
    unmet = {}
    for each in requirements:
        version = _version(each.name)
        if version is None:
            unmet[each.name] = f"{each.name} is not installed"
            continue
        if not each.specifier.contains(version, prereleases=True):
            unmet[each.name] = f"{each.name} {version} is installed, but {each.specifier} is needed"
        for extra in sorted(each.extras):
            unmet.update(_unmet_by_package(_requirements(extra, each.name)))
    return unmet


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _pip_install(extra: str) -> str:
    """Give the command that installs streamlab as it was installed before, with an extra."""
    brackets = f"[{extra}]" if extra else ""
    source = f'"{DISTRIBUTION}{brackets}"'
    text = None
    if _version(DISTRIBUTION):
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    if text:
        origin = json.loads(text)
        if origin.get("dir_info", {}).get("editable"):
            source = f'-e "{unquote(urlsplit(origin["url"]).path)}{brackets}"'
    return f"pip install {source}"
