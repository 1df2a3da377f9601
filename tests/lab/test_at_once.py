"""Many things at once: the same whatever does them, in order, and no more than is asked for."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamlab import Recovery, Run, load_scenario, sweep, sweep_over
from streamlab.lab.at_once import in_order
from streamlab.scenario import ScenarioError
from streamlab.scenario.files import to_toml
from streamlab.servers.processes import GuardedFolder
from streamlab.testing import ConsumerFailed, assert_survives
from tests.checks.own_consumers import MISTAKES, consumer_of


def double(n: int, folder: str = "", seconds: float = 0.0) -> int:
    if folder:
        (Path(folder) / str(n)).touch()
    time.sleep(seconds)
    return 2 * n


def whose(n: int) -> int:
    return os.getpid()


# ---- processes -------------------------------------------------------------------------------------


def test_they_come_in_their_order() -> None:
    """Though the first is done last; in other processes than this."""
    calls = [(n, "", 0.3 if n == 0 else 0.0) for n in range(6)]
    assert [*in_order(double, calls, jobs=2)] == [*in_order(double, calls)] == [0, 2, 4, 6, 8, 10]
    assert os.getpid() not in in_order(whose, [(n,) for n in range(4)], jobs=2)


def test_once_it_is_closed_nothing_more_is_begun(tmp_path: Path) -> None:
    """What has been begun is waited for, and no process has to be started again for the next."""
    with contextlib.closing(in_order(double, ((n, str(tmp_path), 0.02) for n in range(1000)), jobs=2)) as results:
        assert [next(results), next(results)] == [0, 2]
    n_begun = len([*tmp_path.iterdir()])
    assert 2 <= n_begun <= 20
    assert {*in_order(whose, [(n,) for n in range(4)], jobs=2)} <= {*in_order(whose, [(n,) for n in range(20)], jobs=2)}
    assert len([*tmp_path.iterdir()]) == n_begun


def fails(n: int) -> int:
    raise ScenarioError(f"number {n}")


def test_an_error_comes_as_it_is() -> None:
    with pytest.raises(ScenarioError, match="number 7"):
        [*in_order(fails, [(7,)], jobs=2)]


def guards(folder: str, n: int) -> int:
    """Hold a guarded folder for a while; or fail as soon as another one does."""
    if n == 0:
        while not os.listdir(folder):
            time.sleep(0.01)
        raise ScenarioError("while another one is at work")
    mine = GuardedFolder(folder)
    time.sleep(1.0)
    mine.close()
    return n


def test_an_error_lets_others_tidy_up(tmp_path: Path) -> None:
    """Nobody is killed in the middle of it, and the error says where it comes from."""
    with pytest.raises(ScenarioError, match="while another one is at work") as caught:
        [*in_order(guards, [(str(tmp_path), n) for n in range(2)], jobs=2)]
    assert os.listdir(tmp_path) == []
    assert "in guards" in caught.value.__notes__[0]


@pytest.mark.parametrize("jobs", [0, True, "two"])
def test_a_number_of_jobs_that_makes_no_sense(jobs: Any) -> None:
    """Is refused in words, before anything is run."""
    with pytest.raises(ValueError, match=r"jobs is .*: give how many processes, or -1"):
        sweep(["no such scenario"], jobs=jobs)
    with pytest.raises(ValueError, match=r"jobs is .*: give how many processes, or -1"):
        assert_survives(consumer_of(), jobs=jobs)


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        ("joblib", {"jobs": 2}, r"jobs=2 needs joblib: pip install 'consumer-group-lab\[jobs\]'; or leave jobs out"),
        ("joblib", {"dask": "tcp://x:1"}, r"dask='tcp://x:1' needs joblib: .*; or leave dask out"),
        ("distributed", {"dask": "tcp://x:1"}, r"needs dask\.distributed, in the cluster's version: pip install"),
    ],
)
def test_what_is_missing_is_said(module: str, options: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=words):
        sweep(["crash"], **options)


# ---- sweeps ----------------------------------------------------------------------------------------

CRASH = load_scenario("crash").replace(entries=60)


def as_told(run: Run) -> dict[str, object]:
    """Return all that there is to a run, but how long it took."""
    return vars(run) | {"wall": None, "ledger": None}


SCENARIOS = [CRASH, CRASH.replace(recovery=Recovery("claim", min_idle=0.5))]


def test_a_sweep_is_the_same_in_several_processes() -> None:
    """Run by run, to the letter: each scenario with each seed, the first scenario's first."""
    runs = sweep(SCENARIOS, seeds=[3, 1])
    assert [(run.scenario.recovery.strategy, run.scenario.seed) for run in runs] == [
        (scenario.recovery.strategy, seed) for scenario in SCENARIOS for seed in (3, 1)
    ]
    assert len({str([*run.events]) for run in runs}) >= 2
    others = sweep(iter(SCENARIOS), seeds=iter([3, 1]), jobs=2)
    assert [as_told(run) for run in others] == [as_told(run) for run in runs]


def test_without_seeds_each_has_its_own(tmp_path: Path) -> None:
    """Scenarios by name, and by file."""
    file = tmp_path / "mine.toml"
    file.write_text(to_toml(CRASH.replace(seed=7)))
    assert [run.scenario.seed for run in sweep(["one-to-one", file])] == [load_scenario("one-to-one").seed, 7]
    assert sweep([]) == []
    with pytest.raises(ScenarioError, match="no-such"):
        sweep(["crash", "no-such"], jobs=2)


# ---- Dask ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers of two threads each, over loopback."""
    distributed = pytest.importorskip("distributed", reason="no dask.distributed: pip install distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, host="127.0.0.1", dashboard_address=None, worker_dashboard_address=None
    ) as local:
        yield local.scheduler_address


@pytest.mark.further("over several machines")
def test_over_dask_all_is_the_same(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep's runs; and a verdict, with its story, if no schedule is tried here first."""
    runs = sweep(SCENARIOS, seeds=range(3))
    assert [run.events for run in sweep(SCENARIOS, seeds=range(3), dask=cluster)] == [run.events for run in runs]
    assert sweep_over(CRASH, service=[0.001, 0.002], dask=cluster) == sweep_over(CRASH, service=[0.001, 0.002])
    monkeypatch.setattr("streamlab.testing.trying._HERE", 0)
    few: dict[str, Any] = {"faults": "crash-before-effect", "entries": 60}
    assert_survives(consumer_of(), schedules=20, dask=cluster, **few)
    careless = MISTAKES["until an empty page"].consumer
    said = []
    for address in (None, cluster):
        with pytest.raises(ConsumerFailed) as caught:
            assert_survives(careless, dask=address, **few)
        said.append(str(caught.value))
    assert said[0] == said[1]
