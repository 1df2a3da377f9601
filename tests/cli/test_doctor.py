"""The doctor: tells what is there, what is missing for what, and the command that would add it."""

from __future__ import annotations

import asyncio
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from streamlab import doctor
from streamlab.doctor import Finding, render, report
from streamlab.servers.client import ServerInfo
from streamlab.servers.embedded import DIVERGENCES
from streamlab.servers.embedded.fake import contract
from streamlab.servers.private import PrivateServer
from streamlab.servers.programs import ServerBinary


@pytest.fixture(autouse=True)
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment names is out of the picture."""
    monkeypatch.delenv("STREAMLAB_REDIS_URL", raising=False)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def pretend_version(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str | None]) -> None:
    """Let some packages seem to have another version, or None for not being installed."""
    real = metadata.version

    def version(package: str) -> str:
        pretended = versions[package] if package in versions else real(package)
        if pretended is None:
            raise metadata.PackageNotFoundError(package)
        return pretended

    monkeypatch.setattr(metadata, "version", version)


def test_a_machine_with_a_server(
    default_server_binary: ServerBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on the PATH is started to see whether it works, and makes the live engine available."""
    (tmp_path / "redis-server").symlink_to(default_server_binary.path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = by_name(report())
    name = str(default_server_binary).partition(" (")[0]
    assert found[name].state == "ok"
    assert found[name].detail.startswith(f"{tmp_path}/redis-server")
    assert found["live"] == Finding("Engines", "live", "ok", f"real worker processes on {name}")


def test_a_machine_without_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated engine is always there; for the live one the command that installs a server is given."""
    program(tmp_path, "apt-get", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = by_name(report())
    assert found["simulated"].state == "ok"
    assert found["live"].state == "missing"
    assert found["live"].remedy == "sudo apt-get install redis-server"
    assert found["none"].remedy == "sudo apt-get install redis-server"


@pytest.mark.parametrize(
    ("manager", "remedy"),
    [
        ("brew", "brew install redis"),
        ("dnf", "sudo dnf install valkey"),
        ("pacman", "sudo pacman -S valkey"),
        ("apk", "sudo apk add redis"),
        ("other", "install Redis or Valkey, and put its server on the PATH"),
    ],
)
def test_the_remedy_is_this_machine_s(
    manager: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each package manager has its own command."""
    program(tmp_path, manager, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert by_name(report())["none"].remedy == remedy


def test_windows_is_sent_to_wsl(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no live engine on Windows itself."""
    monkeypatch.setattr(os, "name", "nt")
    findings = doctor._engines(doctor._servers())
    monkeypatch.undo()
    assert [finding.state for finding in findings] == ["ok", "missing"]
    assert "WSL" in findings[1].remedy


def test_a_server_too_old_or_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither makes the live engine available; the broken one's own words are shown."""
    (tmp_path / "old").mkdir()
    program(tmp_path / "old", "redis-server", "echo Redis server v=6.0.16 sha=0")
    program(
        tmp_path,
        "valkey-server",
        '[ "$1" = --version ] && echo Valkey server v=9.0.0 sha=0 && exit\necho out of order; exit 3',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/old:{tmp_path}")
    found = by_name(report())
    assert found["Redis 6.0.16"].state == "problem"
    assert "too old, consumer groups need 6.2" in found["Redis 6.0.16"].detail
    assert found["Valkey 9.0.0"].state == "problem"
    assert "out of order" in found["Valkey 9.0.0"].detail
    assert found["live"].state == "missing"


@pytest.mark.redis
@pytest.mark.parametrize("inside_a_loop", [False, True])
def test_the_server_named_by_url(
    inside_a_loop: bool, default_server_binary: ServerBinary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STREAMLAB_REDIS_URL is asked first, also from inside a notebook's loop; its password is not shown."""

    async def in_loop() -> list[Finding]:
        return doctor._servers()

    def ask() -> Finding:
        return (asyncio.run(in_loop()) if inside_a_loop else doctor._servers())[0]

    with PrivateServer(default_server_binary, password="s3cr3t") as server:
        monkeypatch.setenv("STREAMLAB_REDIS_URL", server.url)
        good = ask()
        monkeypatch.setenv("STREAMLAB_REDIS_URL", server.url.replace("s3cr3t", "s3cr3t-wrong"))
        bad = ask()
    assert good.state == "ok"
    assert good.detail.startswith("STREAMLAB_REDIS_URL, unix://:***@/")
    assert bad.state == "problem"
    assert "refuses this user and password" in bad.detail
    assert "s3cr3t" not in render([good, bad])


@pytest.mark.parametrize(
    ("kind", "version", "text"),
    [
        ("redis", (7, 0, 15), "; without XACKDEL, XDELEX (Redis 8.2), XREADGROUP CLAIM (Redis 8.4), XADD IDMP"),
        ("redis", (8, 2, 0), "; without XREADGROUP CLAIM (Redis 8.4), XADD IDMP (Redis 8.6)"),
        ("redis", (8, 6, 3), ""),
        ("valkey", (9, 1, 2), "; without XACKDEL"),
    ],
)
def test_what_a_server_cannot_do(kind: Any, version: tuple[int, int, int], text: str) -> None:
    """The later lessons' commands that a server lacks are named with the Redis that has them."""
    said = doctor._without(ServerInfo(kind, version))
    assert said.startswith(text)
    assert bool(said) == bool(text)


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are shown; a missing package says what it is good for, and how to add it."""
    pretend_version(monkeypatch, {"redis": "7.4.0", "hiredis": None})
    found = by_name(doctor._python())
    assert found["redis"].detail == "7.4.0"
    assert found["hiredis"].state == "missing"
    assert found["hiredis"].remedy.startswith("pip install ")


@pytest.mark.parametrize("version", ["7.3.0", "6.4.0"])
def test_a_package_too_old(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that streamlab does not work with is a problem, not ok."""
    pretend_version(monkeypatch, {"redis": version})
    found = by_name(doctor._python())["redis"]
    assert found.state == "problem"
    assert found.detail == f"redis {version} is installed, but >=7.4 is needed"
    assert found.remedy.startswith("pip install ")


def test_an_extra_s_package_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dependency's own extra asks for is looked at as well: redis[hiredis]."""
    pretend_version(monkeypatch, {"hiredis": "0.1"})
    found = by_name(doctor._python())["hiredis"]
    assert found.state == "problem"
    assert found.detail.startswith("hiredis 0.1 is installed, but ")


def requirements(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: lines)


def test_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra is there when all its packages are, and new enough; what is missing or too old is named."""
    requirements(
        monkeypatch,
        [
            "redis[hiredis]>=7.4",
            "jupyterlab>=4; extra == 'course'",
            "pandas>=2 ; extra == 'course'",
            'faststream[redis]>=0.5; extra == "bench"',
            "consumer-group-lab[test]; extra == 'dev'",
            "hypothesis>=6.112,<7; extra == 'test'",
            "exotic; extra == 'course' and python_version < '3'",
        ],
    )
    here = {
        "jupyterlab": "4.3",
        "pandas": None,
        "faststream": "0.7",
        "hypothesis": "6.9.1",
        "consumer-group-lab": "0.1",
    }
    pretend_version(monkeypatch, here)
    monkeypatch.setattr(doctor, "EXTRAS", dict.fromkeys(("course", "bench", "test", "dev"), "for somebody"))
    found = by_name(doctor._extras())
    assert found["course"].state == "missing"
    assert found["course"].detail.endswith("; not installed: pandas")
    assert "[course]" in found["course"].remedy
    assert found["bench"].state == "ok"
    # As versions, not as texts: 6.112 is newer than 6.9. And an extra may ask for another.
    assert found["test"].state == found["dev"].state == "problem"
    for extra in ("test", "dev"):
        assert found[extra].detail.endswith("; hypothesis 6.9.1 is installed, but <7,>=6.112 is needed")
        assert f"[{extra}]" in found[extra].remedy


def test_extras_are_those_of_the_project() -> None:
    """The list of extras here is the one in pyproject.toml."""
    assert set(doctor.EXTRAS) == set(metadata.metadata(doctor.DISTRIBUTION).get_all("Provides-Extra") or [])


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run from its folder, streamlab says how to install it."""

    def missing(_: str) -> list[str]:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", missing)
    (finding,) = doctor._extras()
    assert (finding.state, finding.remedy) == ("missing", 'pip install -e ".[course]"')


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, 'pip install "consumer-group-lab[course]"'),
        ('{"url": "file:///x/a%20b", "dir_info": {}}', 'pip install "consumer-group-lab[course]"'),
        ('{"url": "file:///x/a%20b", "dir_info": {"editable": true}}', 'pip install -e "/x/a b[course]"'),
    ],
)
def test_the_command_fits_the_installation(origin: str | None, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was installed from a folder to be edited is extended from there."""

    class Distribution:
        def read_text(self, name: str) -> str | None:
            return origin if name == "direct_url.json" else None

    pretend_version(monkeypatch, {"consumer-group-lab": "0.1.0"})
    monkeypatch.setattr(metadata, "distribution", lambda _: Distribution())
    assert doctor._pip_install("course") == command


def test_render() -> None:
    """A paragraph an area, columns that line up, a remedy under what it mends."""
    assert render(
        [
            Finding("Engines", "simulated", "ok", "virtual time"),
            Finding("Engines", "live", "missing", "needs a server", "brew install redis"),
            Finding("Servers", "Redis 7.0.15", "problem", "does not start:\nlast words"),
        ]
    ).splitlines() == [
        "Engines",
        "  ok       simulated     virtual time",
        "  missing  live          needs a server",
        "                         → brew install redis",
        "",
        "Servers",
        "  problem  Redis 7.0.15  does not start:",
        "                         last words",
    ]


def test_the_embedded_server() -> None:
    """It is always there, with all that is known to be different from a real one."""
    found = by_name(doctor._servers())["embedded"]
    assert found.state == "ok"
    assert f"in {len(DIVERGENCES)} points" in found.detail
    told, all_told = render([found]), render([found], verbose=True)
    for divergence in DIVERGENCES:
        assert f"- {divergence.what}: {divergence.embedded}" in all_told
        assert divergence.embedded not in told


def test_the_embedded_server_with_another_fakeredis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fakeredis that it was not made for is a problem, and the remedy installs the right one."""
    monkeypatch.setattr(contract, "changes", lambda: ["FakeSocket.kill reads differently"])
    pretend_version(monkeypatch, {"fakeredis": "2.99"})
    found = by_name(doctor._servers())["embedded"]
    assert (found.state, found.detail) == ("problem", "not made for fakeredis 2.99: FakeSocket.kill reads differently")
    assert found.remedy.startswith("pip install")
