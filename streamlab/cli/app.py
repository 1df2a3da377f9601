"""The commands and their options, declared for typer; what they do is imported when one is run."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from streamlab import __version__
from streamlab.cli.helping import EXAMPLES, Command, Group
from streamlab.cli.options import RunOptions, ScenarioName, scenarios, taking_options
from streamlab.cli.sweep_options import SweepOptions
from streamlab.cli.terminal import is_styled
from streamlab.cli.torture_options import TortureOptions
from streamlab.cli.watch_options import WatchOptions

_NAME: Final = "streamlab"
_Copy = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Where your copy is.", show_default="streamlab-course in your home")
]
_COPY: Final = Path("~/streamlab-course")
_NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the address to open.")]
# A paragraph is one line: a terminal's help does not join lines.
_RUN: Final = (
    "Run a scenario, simulated or on a real Redis.\n\n"
    "Exit status: 0; 1 when an invariant is broken or the engines differ; 2 for wrong use; 3 when something is still "
    "pending that the recovery should have dealt with."
)
_REPLAY: Final = (
    "Play a run in the browser that `streamlab run --save` or `Run.save` kept.\n\n"
    "It is opened as a page of one file: no server runs, nothing is asked for from anywhere."
)
_SWEEP: Final = (
    "Run all variations of a scenario, each with many seeds, and show what they come to.\n\n"
    "The numbers are the same whatever runs them: this process, several (--jobs), or a Dask cluster.\n\n"
    "Exit status: 0; 1 when an invariant is broken in any run; 2 for wrong use."
)
_TORTURE: Final = (
    "Run a consumer of your own, in any language, under faults.\n\n"
    "Several processes of it are started, each with REDIS_URL, STREAM, GROUP and CONSUMER in its environment; entries "
    "are added, and processes are killed, paused and cut off.\n\n"
    "Exit status: 0; 1 when something is lost, done twice or acknowledged too early, or the program cannot be run; 2 "
    "for wrong use; 3 when something is left pending."
)
_LAB: Final = (
    "Open your own copy of the course in JupyterLab.\n\n"
    "The copy is made the first time; later, lessons that are new are added, and nothing that you have changed is "
    "written over. Delete a lesson to get it afresh."
)
_PROGRESS: Final = (
    "Say which exercises of the course are done in your copy.\n\n"
    "An exercise is done once its check has said so. With --certificate, a page is written that says it in print."
)
_WATCH: Final = (
    "Watch a stream on a server of yours: groups, consumers, what is pending.\n\n"
    "It only looks: no write, no blocking command, one connection. Ctrl-C ends it."
)


def call(argv: Sequence[str]) -> int:
    """Do what the arguments ask for; return the exit status.

    typer's own `main` is not used: it would turn a signal into another exception, and decide on the exit status.
    """
    command: Any = typer.main.get_command(_app())
    if f"_{_NAME.upper()}_COMPLETE" in os.environ:  # a shell asks what comes next
        command.main(args=list(argv), prog_name=_NAME)
    try:
        with command.make_context(_NAME, list(argv)) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as exit_:  # --help
        return exit_.exit_code


def one_line(error: typer.TyperException, argv: Sequence[str]) -> str:
    """Return what is wrong with the arguments, and where to read on."""
    words = error.format_message().strip().removesuffix(".")
    command = f"{_NAME} {argv[0]}" if argv and argv[0] in EXAMPLES else _NAME
    return f"{words[:1].lower()}{words[1:]} (see: {command} --help)"


def _app() -> typer.Typer:
    app = typer.Typer(
        cls=Group,
        rich_markup_mode="rich" if is_styled(sys.stdout) else None,
        pretty_exceptions_enable=False,  # they show local variables, a password among them
        help="A course and laboratory for Redis Streams consumer groups.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_alone)
    app.command("run", cls=Command, help=_RUN)(taking_options(_run, RunOptions))
    app.command("replay", cls=Command, help=_REPLAY)(_replay)
    app.command("sweep", cls=Command, help=_SWEEP)(taking_options(_sweep, SweepOptions))
    app.command("torture", cls=Command, help=_TORTURE)(taking_options(_torture, TortureOptions))
    app.command("lab", cls=Command, help=_LAB)(_lab)
    app.command("progress", cls=Command, help=_PROGRESS)(_progress)
    app.command("panel", cls=Command)(_panel)
    app.command("watch", cls=Command, help=_WATCH)(taking_options(_watch, WatchOptions))
    app.command("serve", cls=Command)(_serve)
    app.command("worker", cls=Command)(_worker)
    app.command("doctor", cls=Command)(_doctor)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"{_NAME} {__version__}")
        raise typer.Exit


def _alone(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help(), end="")


def _run(options: RunOptions) -> int:
    from streamlab.cli.run import run

    return run(options)


def _replay(
    saved: Annotated[Path, typer.Argument(metavar="FILE", help="The run that was kept.", show_default=False)],
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Where to write the page.", show_default="a temporary folder"),
    ] = None,
    no_browser: _NoBrowser = False,
) -> int:
    from streamlab.cli.opening import open_saved

    return open_saved(saved, page=html, no_browser=no_browser)


def _sweep(options: SweepOptions) -> int:
    from streamlab.cli.sweep import sweep

    return sweep(options)


def _torture(options: TortureOptions) -> int:
    from streamlab.cli.torture import torture

    return torture(options)


def _lab(
    folder: _Copy = _COPY,
    no_browser: _NoBrowser = False,
    copy_only: Annotated[bool, typer.Option("--copy-only", help="Make or update your copy, and open nothing.")] = False,
) -> int:
    from streamlab.cli.opening import open_course

    return open_course(folder, no_browser=no_browser, copy_only=copy_only)


def _progress(
    folder: _Copy = _COPY,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a certificate, to be printed.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose certificate it is.", show_default=False)
    ] = None,
) -> int:
    from streamlab.cli.achieved import tell_progress

    return tell_progress(folder, certificate, name)


def _panel(
    scenario: ScenarioName = "kill-and-recover",
    live: Annotated[bool, typer.Option("--live", help="Real processes on a private Redis.")] = False,
    port: Annotated[int | None, typer.Option(metavar="N", help="The port to listen on.")] = None,
    no_browser: _NoBrowser = False,
) -> int:
    """Kill consumers in the browser, and watch what they held being recovered.

    Opens the control panel of a scenario in the browser, on 127.0.0.1.
    """
    from streamlab.cli.opening import open_panel

    return open_panel(scenario, live=live, port=port, no_browser=no_browser)


def _watch(options: WatchOptions) -> int:
    from streamlab.cli.watch import watch

    return watch(options)


def _serve(
    port: Annotated[int, typer.Option(metavar="N", help="The TCP port.", show_default="any that is free")] = 0,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address: any other than this one is open to others.")
    ] = "127.0.0.1",
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml", help="Play its producers and consumers into it.", autocompletion=scenarios
        ),
    ] = None,
) -> int:
    """Serve the embedded server to redis-cli and to programs in any language, until Ctrl-C.

    It is for courses and tools, and no production server: there is no password, and nothing is kept.
    """
    from streamlab.cli.serving import serve

    return serve(host=host, port=port, scenario=scenario)


def _worker(
    join: Annotated[str | None, typer.Option(metavar="URL", help="The server of the run.")] = None,
    run: Annotated[str | None, typer.Option(metavar="NAME", help="The name under which it is open.")] = None,
    consumer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name in the group.", show_default="the next that is free")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="The group.", show_default="that of the first consumer")
    ] = None,
) -> int:
    """Be one more consumer of a live run that another machine leads, until it ends or Ctrl-C.

    There: `streamlab run … --engine live --redis URL --open NAME`. The lab starts, kills and judges it as its own.
    """
    from streamlab.cli.joining import join_run

    return join_run(join, run, consumer, group)


def _doctor(
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Also say how the embedded server differs.", show_default=False)
    ] = False,
) -> int:
    """Say what this machine offers, and what is missing for what."""
    from streamlab import doctor
    from streamlab.cli.findings import print_findings

    print_findings(doctor.report(), verbose=verbose)
    return 0
