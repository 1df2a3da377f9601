"""How `lite/build.py --vendor` gets what is compiled, from a server that stands in for Pyodide's own site.

`tests/lite` opens a page with what it got: `make trylite`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.lite.vendored import Site, standing_in


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a lock and a site on which are the three packages, what they need, and one that nobody needs."""
    needs_numpy = {name: ["numpy"] for name in ("pandas", "scipy")}
    return Site.of(tmp_path, matplotlib=["numpy", "packaging"], numpy=[], packaging=[], **needs_numpy)


def test_what_is_compiled_is_put_beside_the_others_by_name_and_hash(site: Site) -> None:
    """With all that it needs, but for what there is a wheel of already; anything else stays on Pyodide's site."""
    ours = site.wheel("packaging", version="2.0")
    with standing_in(site.served) as (build, asked):
        names = build.write_lock(site.pyodide, [ours], vendor=True)
        elsewhere = build.PYODIDE_CDN_URL
    packages: dict[str, Any] = json.loads((site.pyodide / build.LOCK).read_text())["packages"]
    assert names == ["packaging"]
    fetched = ["matplotlib", "numpy", "pandas"]
    assert sorted(asked) == [f"/{site.file_name(name)}" for name in fetched]
    for name in fetched:
        assert packages[name]["file_name"] == site.file_name(name)
        assert (site.pyodide / site.file_name(name)).read_bytes() == (site.served / site.file_name(name)).read_bytes()
    assert packages["packaging"]["file_name"] == ours.name
    assert packages["scipy"]["file_name"] == f"{elsewhere}/{site.file_name('scipy')}"


def test_without_the_option_nothing_is_fetched(site: Site) -> None:
    """And the lock says where a page finds it."""
    with standing_in(site.served) as (build, asked):
        build.write_lock(site.pyodide, [], vendor=False)
        packages = json.loads((site.pyodide / build.LOCK).read_text())["packages"]
        assert {each["file_name"].rpartition("/")[0] for each in packages.values()} == {build.PYODIDE_CDN_URL}
    assert asked == []


def test_a_missing_or_wrong_file_ends_the_build_with_a_line(site: Site) -> None:
    """Which names the file; nothing of a wrong one is left on the site."""
    numpy = site.served / site.file_name("numpy")
    for spoil, words in (
        (lambda: numpy.write_bytes(b"another"), "is not what Pyodide's lock says: try again"),
        (numpy.unlink, "could not be fetched: HTTP Error 404: File not found"),
    ):
        spoil()
        with standing_in(site.served) as (build, _), pytest.raises(SystemExit) as ended:
            build.write_lock(site.pyodide, [], vendor=True)
        assert ended.value.code == f"{build.PYODIDE_CDN_URL}/{numpy.name} {words}"
        assert not (site.pyodide / numpy.name).exists()
        if isinstance(ended.value.__context__, HTTPError):
            ended.value.__context__.close()


def test_a_site_that_cannot_be_reached_ends_the_build_with_a_line(site: Site) -> None:
    """As on a machine without the internet."""
    with standing_in(site.served) as (build, _):
        pass
    with pytest.raises(SystemExit, match=r"^http://127\.0\.0\.1:\d+/\S+ could not be fetched: .*refused"):
        build.write_lock(site.pyodide, [], vendor=True)
