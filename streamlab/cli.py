"""The command ``streamlab``: ``run``, ``lab``, ``panel``, ``worker``, ``doctor``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import redis.exceptions

from streamlab import __version__, worker, working_copy
from streamlab.actors import RECOVERIES
from streamlab.connection import ServerUnusable
from streamlab.faults import FAULTS, Fault, FaultError, seconds
from streamlab.lab import Lab, LabError, Progress, run_both
from streamlab.named_scenarios import SCENARIOS, load_scenario
from streamlab.replay import ReplayError
from streamlab.run import Comparison, Run
from streamlab.scenario import Scenario, ScenarioError
from streamlab.servers import ServerStartError, best_server
from streamlab.stopping import Stopped, stopped_by_signals

#: What is the caller's to correct: one line, exit status 2.
_WRONG_USE = (
    ScenarioError,
    ReplayError,
    ServerUnusable,
    ServerStartError,
    working_copy.WorkingCopyError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    It is 0, 1 if an invariant is broken, 2 for wrong use, and 128 + the signal's number if one has stopped it.
    """
    _make_outputs_safe()
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        with stopped_by_signals():
            status: int = arguments.command(arguments)
        sys.stdout.flush()
        return status
    except _WRONG_USE as error:
        return _complain(error, 2)
    except (LabError, redis.exceptions.RedisError) as error:
        return _complain(error, 1)
    except BrokenPipeError:  # the reader (`| head`) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # no more file handles, a full disk …
        return _complain(error, 1)
    except Stopped as stopped:
        return stopped.tell()


def _make_outputs_safe() -> None:
    """Let nothing that is printed raise an error: on a closed output, or one that is no UTF-8."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever has started us (`>&-`)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (to the end)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _complain(error: Exception, status: int) -> int:
    print(f"streamlab: {' '.join(str(error).split())}", file=sys.stderr)
    return status


# ---- run -------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    scenario = _scenario(arguments)
    if arguments.engine == "simulated" and arguments.redis is not None:
        raise ScenarioError("--redis is for a real run: add --engine live or --engine both")
    _check_outputs(arguments)  # before the run: what is found out after it has cost that run
    url = arguments.redis
    with _progress(quiet=arguments.json or arguments.events) as progress:
        if arguments.engine == "both":
            comparison = run_both(scenario, redis_url=url, progress=progress)
            runs = [comparison.one, comparison.other]
        else:
            comparison = None
            runs = [Lab(scenario, engine=arguments.engine, redis_url=url).run(progress)]
    _show(arguments, runs, comparison)
    for run in runs:
        for line in run.broken():
            print(f"streamlab: broken ({run.engine}): {line}", file=sys.stderr)
    agrees = comparison is None or comparison.agrees
    return 0 if agrees and not any(run.broken() for run in runs) else 1


def _scenario(arguments: argparse.Namespace) -> Scenario:
    """Return the scenario that was asked for, with what the options change in it."""
    scenario = load_scenario(arguments.scenario)
    if arguments.producers is not None:
        scenario = scenario.with_producers(arguments.producers)
    if arguments.consumers is not None:
        scenario = scenario.with_consumers(arguments.consumers)
    if arguments.rate is not None:
        scenario = scenario.with_rate(arguments.rate)
    if arguments.service is not None:
        scenario = scenario.with_service(arguments.service)
    if arguments.count is not None:
        scenario = scenario.with_count(arguments.count)
    if arguments.speed is not None:
        scenario = scenario.faster(arguments.speed)
    if arguments.entries is not None:  # the one limit that is given is the only one
        scenario = dataclasses.replace(
            scenario, entries=arguments.entries, duration=arguments.duration
        )
    elif arguments.duration is not None:
        scenario = dataclasses.replace(scenario, duration=arguments.duration)
    if arguments.seed is not None:
        scenario = dataclasses.replace(scenario, seed=arguments.seed)
    return _with_failures(scenario, arguments)


def _with_failures(scenario: Scenario, arguments: argparse.Namespace) -> Scenario:
    """Return the scenario with what is to go wrong in it, and how it is to recover."""
    changes: dict[str, object] = {
        name: _seconds(value, f"--{name.replace('_', '-')}")
        for name in ("min_idle", "interval", "heartbeat", "restart_after")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.max_deliveries is not None:
        changes["max_deliveries"] = arguments.max_deliveries
    if arguments.fenced:
        changes["fenced"] = True
    if arguments.recovery is not None or changes:
        scenario = scenario.with_recovery(arguments.recovery, **changes)
    if arguments.recovery == "read-claim" and scenario.version < (8, 4, 0):
        # The simulated server has to be one that knows XREADGROUP … CLAIM; a real one says so itself.
        scenario = dataclasses.replace(scenario, redis_version="8.4.0")
    if arguments.sink is not None:
        scenario = dataclasses.replace(scenario, sink=arguments.sink)
    for text in arguments.fault:
        scenario = scenario.with_faults(*_expanded(text, scenario))
    if arguments.faults == "random":
        scenario = scenario.with_faults(*scenario.random_faults())
    return scenario


_RANDOM_KILLS = "kill random every "


def _expanded(text: str, scenario: Scenario) -> tuple[Fault | str, ...]:
    """Return a fault; or, for ``kill random every 1s``, one for each time."""
    if not text.startswith(_RANDOM_KILLS):
        return (text,)
    return scenario.random_kills(_seconds(text.removeprefix(_RANDOM_KILLS), "every"))


def _seconds(text: str, what: str) -> float:
    try:
        return seconds(text)
    except FaultError as error:
        raise ScenarioError(f"{what}: {error}") from None


def _check_outputs(arguments: argparse.Namespace) -> None:
    """See that what is to become of the run can be had."""
    if arguments.json and arguments.events:
        raise ScenarioError("--json and --events both print: take one of them")
    if arguments.save is not None:
        if arguments.engine == "both":
            raise ScenarioError("--save keeps one run: take --engine simulated or --engine live")
        _check_writable(arguments.save, "--save")
    if arguments.plot is not None:
        if find_spec("matplotlib") is None:
            raise ScenarioError(
                "--plot needs matplotlib, which is not installed: pip install 'streamlab[course]'"
            )
        from matplotlib.backend_bases import FigureCanvasBase

        known = FigureCanvasBase.get_supported_filetypes()
        if arguments.plot.suffix[1:].lower() not in known:
            raise ScenarioError(
                f"--plot {arguments.plot}: the name has to end in {', '.join(f'.{each}' for each in known)}"
            )
        _check_writable(arguments.plot, "--plot")


def _check_writable(path: Path, option: str) -> None:
    """Raise `ScenarioError` if a file of this name cannot be written."""
    folder = path.parent
    if path.is_dir():
        problem = "is a folder: name a file in it"
    elif not folder.is_dir():
        problem = f"cannot be written: there is no folder {folder}"
    elif path.exists() and not os.access(path, os.W_OK):
        problem = "cannot be written: it is write-protected"
    elif not path.exists() and not os.access(folder, os.W_OK):
        problem = f"cannot be written: the folder {folder} is write-protected"
    else:
        return
    raise ScenarioError(f"{option} {path} {problem}")


def _show(arguments: argparse.Namespace, runs: list[Run], comparison: Comparison | None) -> None:
    """Print what came of it, first of all; and then write the files."""
    if arguments.events:
        for run in runs:
            for event in run.events:
                print(event.to_json())
    elif arguments.json:
        if comparison is None:
            print(json.dumps(runs[0].summary()))
        else:
            both: dict[str, Any] = {run.engine: run.summary() for run in runs}
            print(json.dumps(both | {"agrees": comparison.agrees}))
    else:
        print(comparison if comparison is not None else _report(runs[0]))
    sys.stdout.flush()
    if arguments.save is not None:
        runs[0].save(arguments.save)
    if arguments.plot is not None:
        from streamlab import plots  # matplotlib is an extra, and slow to import

        lost_somebody = len(runs) == 1 and any(runs[0].recovery.times)
        figure = plots.recovery(runs[0]) if lost_somebody else plots.overview(*runs)
        figure.savefig(arguments.plot)


def _report(run: Run) -> str:
    """Return a run for reading."""
    lines = [
        f"{run.scenario.name} on {run.server} ({run.engine}), seed {run.scenario.seed}: "
        f"{_length(run.duration)} in {run.wall:.2f} s",
        f"added {run.added:,} · processed {run.processed:,} · acked {run.acked:,} · lost {run.lost:,} · "
        f"duplicates {run.duplicates:,} · pending {run.pending:,} · undelivered {run.undelivered:,}"
        + (f" · trimmed {run.trimmed:,}" if run.scenario.maxlen else ""),
        f"{run.throughput:,.1f} entries/s · sojourn p50 {_length(run.sojourn.p50)}, "
        f"p95 {_length(run.sojourn.p95)}, p99 {_length(run.sojourn.p99)} · "
        f"backlog at most {run.backlog_max:,}",
        *_recovery(run),
        "",
        f"{'consumer':<12}{'acked':>10}{'share':>9}{'pending':>9}{'utilisation':>13}",
    ]
    for name, consumer in run.consumers.items():
        lines.append(
            f"{name:<12}{consumer.acked:>10,}{run.shares[name]:>9.1%}{consumer.pending:>9,}"
            f"{consumer.utilisation:>13.1%}"
        )
    return "\n".join(lines)


def _recovery(run: Run) -> list[str]:
    """Return what went wrong and came of it, in a line; none if nothing was to go wrong."""
    if not run.scenario.faults:
        return []
    recovery = run.recovery
    n = len(recovery.lost_workers)
    lost = f"{n} {'worker' if n == 1 else 'workers'} lost"
    if any(recovery.times):
        done = f"all done again within {_length(recovery.time_max)}"
        lost += f", {done if recovery.recovered else 'not all done again'}"
    return [
        f"recovery {recovery.strategy}: {lost} · redelivered {recovery.redelivered:,} · "
        f"duplicate effects {recovery.duplicate_effects:,} · dead letters {recovery.dead_lettered:,} · "
        f"zombie acks {len(recovery.zombie_acks):,}"
    ]


def _length(seconds: float) -> str:
    if seconds != seconds:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.2f} ms"
    return f"{seconds:.2f} s" if seconds < 600 else f"{seconds / 3600:,.1f} h"


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress | None]:
    """Give something to call with a run's progress: a line that is written over, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    began = last = time.monotonic()

    def show(now: float, n_events: int) -> None:
        nonlocal last
        if time.monotonic() - last >= 0.2:
            last = time.monotonic()
            line = f"{_length(max(now, 0.0))} run, {n_events:,} events, {last - began:.0f} s"
            print(f"\r{line:<70}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)


# ---- lab, worker, doctor ---------------------------------------------------------------------------


def _lab(arguments: argparse.Namespace) -> int:
    if find_spec("jupyterlab") is None:
        raise ScenarioError("JupyterLab is not installed: pip install 'streamlab[course]'")
    folder = arguments.folder.expanduser().resolve()
    _tell_of_copy(working_copy.copy_course(_course(), folder), folder)
    # JupyterLab keeps its token and listens on 127.0.0.1: that is its default, and stays so.
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command.append(str(folder / working_copy.FIRST_LESSON))
    if arguments.no_browser:
        command.append("--no-browser")
    if (
        hasattr(os, "geteuid") and os.geteuid() == 0
    ):  # as in most containers; Jupyter refuses otherwise
        command.append("--allow-root")
    # It is installed with the course only, as JupyterLab itself.
    from streamlab.kept_jupyter import exit_status, kept_jupyter

    # In a terminal, Ctrl-C reaches JupyterLab as well, which asks before it ends; we wait for what it is told.
    asks = sys.stdin is not None and sys.stdin.isatty()
    with kept_jupyter() as kept:
        jupyter = kept.start(command, start_new_session=not asks)
        if asks:
            signal.signal(signal.SIGINT, lambda *_: None)
        return exit_status(jupyter.wait())


def _course() -> Path:
    """Return the folder that holds the course: that of this checkout."""
    course = Path(__file__).parents[1] / "notebooks"
    if not (course / working_copy.FIRST_LESSON).is_file():
        raise ScenarioError(
            "the notebooks are not installed with the package: install it from a checkout "
            "(pip install -e '.[course]'), and run this again"
        )
    return course


def _tell_of_copy(copied: working_copy.Copied, folder: Path) -> None:
    print(f"Your copy of the course is in {folder}; what you do there is yours.")
    if copied.renewed:
        print(f"Brought up to date: {', '.join(copied.renewed)}")
    if copied.beside:
        print(
            f"You have changed these, so the new version is beside yours: {', '.join(copied.beside)}"
        )
    sys.stdout.flush()


def _panel(arguments: argparse.Namespace) -> int:
    for name in ("voila", "anywidget"):
        if find_spec(name) is None:
            raise ScenarioError(f"{name} is not installed: pip install 'streamlab[course]'")
    from streamlab.panel import app

    scenario = load_scenario(arguments.scenario)
    if arguments.live:
        best_server()
    return app.main(
        scenario,
        live=arguments.live,
        open_browser=not arguments.no_browser,
        port=arguments.port,
    )


def _worker(arguments: argparse.Namespace) -> int:
    return worker.main()


def _doctor(arguments: argparse.Namespace) -> int:
    from streamlab import doctor  # looks at what is installed: not needed to run anything

    print(doctor.render(doctor.report(), verbose=arguments.verbose))
    return 0


# ---- arguments -------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others here."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"streamlab: {message} (see: {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="streamlab", description="A course and laboratory for Redis Streams consumer groups."
    )
    parser.add_argument("--version", action="version", version=f"streamlab {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run a scenario, simulated or on a real Redis",
        description="Run a scenario. Named ones: " + ", ".join(SCENARIOS),
        epilog="Exit status: 0; 1 when an invariant is broken or the engines differ; 2 for wrong use.",
    )
    run.set_defaults(command=_run)
    run.add_argument("scenario", metavar="NAME|FILE.toml")
    run.add_argument("--engine", choices=("simulated", "live", "both"), default="simulated")
    run.add_argument(
        "--redis", metavar="URL", help="the server for a live run (default: a private one)"
    )
    run.add_argument("--seed", type=int, metavar="N", help="for whatever is random in the scenario")
    run.add_argument("--duration", type=float, metavar="S", help="seconds of production")
    run.add_argument(
        "--entries", type=int, metavar="N", help="entries to produce, all producers together"
    )
    run.add_argument("--rate", type=float, metavar="R", help="entries per second of each producer")
    run.add_argument("--producers", type=int, metavar="N", help="producers, all like the first")
    run.add_argument("--consumers", type=int, metavar="N", help="consumers, all like the first")
    run.add_argument(
        "--service", type=float, metavar="S", help="mean seconds a consumer takes for an entry"
    )
    run.add_argument(
        "--count", type=int, metavar="N", help="entries a consumer asks for at once (COUNT)"
    )
    run.add_argument(
        "--speed", type=float, metavar="X", help="arrivals and service, X times faster"
    )
    run.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="TEXT",
        help='what goes wrong, several times if need be: "kill C2 at 3s", "kill random every 1s", '
        + ", ".join(f'"{kind.form}"' for word, kind in FAULTS.items() if word != "kill"),
    )
    run.add_argument(
        "--faults", choices=("random",), help="draw a few faults of any kind, by the seed"
    )
    run.add_argument(
        "--recovery",
        choices=list(RECOVERIES),
        help="how unfinished entries come back; read-claim needs Redis 8.4, nack 8.8 (simulated: as autoclaim)",
    )
    run.add_argument(
        "--min-idle", metavar="S", help="how long an entry lies before another may claim it (500ms)"
    )
    run.add_argument("--interval", metavar="S", help="time between two looks for idle entries")
    run.add_argument("--heartbeat", metavar="S", help="renew what is held so often")
    run.add_argument(
        "--restart-after", metavar="S", help="time until a dead consumer is started again"
    )
    run.add_argument(
        "--max-deliveries",
        type=int,
        metavar="N",
        help="tries before an entry goes to the dead-letter stream",
    )
    run.add_argument(
        "--fenced", action="store_true", help="acknowledge only what the consumer still owns"
    )
    run.add_argument(
        "--sink",
        choices=("none", "naive", "idempotent"),
        help="count effects in a hash on the server",
    )
    run.add_argument("--json", action="store_true", help="print the result as one JSON object")
    run.add_argument("--events", action="store_true", help="print every event as a line of JSON")
    run.add_argument("--save", type=Path, metavar="FILE", help="keep the run (JSON lines)")
    run.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the run")

    lab = commands.add_parser(
        "lab",
        help="open the course in JupyterLab",
        description="Open your own copy of the course in JupyterLab. It is made at the first time; later, "
        "lessons that are new are added, and nothing that you have changed is written over. Delete a lesson "
        "to get it afresh.",
    )
    lab.set_defaults(command=_lab)
    lab.add_argument(
        "--folder",
        type=Path,
        default=Path("~/streamlab-course"),
        help="where your copy is (default: streamlab-course in your home folder)",
    )
    lab.add_argument("--no-browser", action="store_true", help="only print the address to open")

    panel = commands.add_parser(
        "panel",
        help="kill consumers in the browser, and watch what they held being recovered",
        description="Open the control panel of a scenario in the browser, on 127.0.0.1.",
    )
    panel.set_defaults(command=_panel)
    panel.add_argument("scenario", nargs="?", default="kill-and-recover", metavar="NAME|FILE.toml")
    panel.add_argument("--live", action="store_true", help="real processes on a private Redis")
    panel.add_argument("--port", type=int, metavar="N", help="the port to listen on")
    panel.add_argument("--no-browser", action="store_true", help="only print the address to open")

    worker_ = commands.add_parser("worker", help="play one actor (started by the live engine)")
    worker_.set_defaults(command=_worker)

    doctor_ = commands.add_parser(
        "doctor", help="say what this machine offers, and what is missing for what"
    )
    doctor_.set_defaults(command=_doctor)
    doctor_.add_argument(
        "-v", "--verbose", action="store_true", help="and how the embedded server differs"
    )
    return parser
