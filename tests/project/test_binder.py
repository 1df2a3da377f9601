"""The launch on Binder: a Python that can run the course, a real redis-server, the course installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What repo2docker would build, which it prints without Docker."""
    pytest.importorskip("repo2docker", reason="repo2docker is not installed: make .venv/dev")
    # A copy of what matters: repo2docker looks at all there is, a .venv included.
    copy = tmp_path_factory.mktemp("course")
    shutil.copytree(BINDER, copy / "binder")
    shutil.copy(ROOT / "pyproject.toml", copy)
    printed = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert printed.returncode == 0, printed.stderr
    return printed.stdout + printed.stderr


def test_repo2docker_installs_server_and_course(dockerfile: str) -> None:
    """redis-server comes from apt, what the course needs from the lock, the course after the repository was copied."""
    assert re.search(r"apt-get install .*\bredis-server\b", dockerfile)
    copied = dockerfile.index("COPY --chown=0:0 src/ ${REPO_DIR}/")
    assert dockerfile.index("RUN ./binder/postBuild") > copied
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


def test_repo2docker_takes_a_python_that_the_course_supports(dockerfile: str) -> None:
    """Left to itself repo2docker takes Python 3.10, on which the course cannot be installed."""
    chosen = re.search(r"Building conda environment for python=3\.(\d+)", dockerfile)
    assert chosen
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least = re.fullmatch(r">=3\.(\d+)", project["requires-python"])
    assert least
    assert int(chosen[1]) >= int(least[1])
    assert f"Programming Language :: Python :: 3.{chosen[1]}" in project["classifiers"]


def test_the_lock_has_what_the_course_needs() -> None:
    """Each requirement of the course is there in a version that it allows, each line has hashes, none names a host."""
    text = (BINDER / "requirements.txt").read_text()
    assert "://" not in text
    locked = {}
    for line in re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)):
        requirement, *hashes = line.split("\\\n")
        assert hashes, line
        assert all(re.fullmatch(r"\s*--hash=sha256:[0-9a-f]{64}\s*", each) for each in hashes), line
        found = Requirement(requirement)
        (pinned,) = found.specifier
        assert pinned.operator == "=="
        locked[canonicalize_name(found.name)] = pinned.version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["course"]]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)], prereleases=True), line


def test_the_package_comes_after_the_lock(dockerfile: str) -> None:
    """It has no hash, and pip refuses a file of which only some lines have one."""
    installed = dockerfile.index('pip install --no-cache-dir -r "binder/requirements.txt"')
    assert dockerfile.index("RUN ./binder/postBuild") > installed
    assert "pip install --no-cache-dir --no-deps -e ." in (BINDER / "postBuild").read_text()


@pytest.mark.parametrize("script", ["binder/postBuild", "binder/start", ".devcontainer/install"])
def test_scripts_are_sound_shell(script: str) -> None:
    """bash can read it, and it may be run."""
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    assert os.access(ROOT / script, os.X_OK)


def test_the_dev_container_names_what_there_is() -> None:
    """Its command, the lock that this installs, and the lesson that it opens."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    (lesson,) = container["customizations"]["codespaces"]["openFiles"]
    shell, script = container["onCreateCommand"].split()
    assert shell == "bash"
    assert (ROOT / lesson).is_file()
    assert "pip install --quiet --disable-pip-version-check -r binder/requirements.txt" in (ROOT / script).read_text()


def test_start_hands_over() -> None:
    """What Jupyter is started with takes its place."""
    assert (BINDER / "start").read_text().rstrip().endswith('exec "$@"')


@pytest.mark.parametrize("with_server", [True, False])
def test_start_runs(with_server: bool, tmp_path: Path) -> None:
    """It passes arguments and exit status on, with and without a redis-server, and leaves nothing running."""
    (tmp_path / "bash").symlink_to("/bin/bash")
    if with_server:
        server = tmp_path / "redis-server"
        server.write_text("#!/bin/bash\necho Redis server v=7.0.15\n")
        server.chmod(0o755)
    said = subprocess.run(
        [BINDER / "start", "bash", "-c", 'echo "got $1"; exit 7', "-", "two words"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert said.returncode == 7
    assert said.stderr == ""
    first, second = said.stdout.splitlines()
    assert first == (
        "streamlab: Redis server v=7.0.15"
        if with_server
        else "streamlab: no redis-server; the course uses its simulated engine"
    )
    assert second == "got two words"
    assert subprocess.run([BINDER / "start", "true"], capture_output=True, check=False).returncode == 0
