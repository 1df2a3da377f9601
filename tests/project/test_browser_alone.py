"""What a page in a browser lacks, and what is done without it, in a Python that pretends to be one.

`tests/lite` tries the same in a real one, for which the site has to be made: `make trylite`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: No hiredis, no threads; and matplotlib, numpy and pandas are there only once Pyodide's site has given them.
PRETEND = """
import asyncio, importlib.machinery, sys, threading, types

platform, sys.platform = sys.platform, "emscripten"
import streamlab.servers.in_browser  # which looks at it, as the package itself does
sys.platform = platform
sys.modules["hiredis"] = None

def no_thread(*_):
    raise RuntimeError("can't start new thread")

threading.Thread.start = no_thread
hidden = {"matplotlib", "numpy", "pandas"}
asked = []
usual = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *how: None if name in hidden else usual(name, *how)
)

def load(name):
    asked.append(name)
    if IS_REACHABLE:
        hidden.clear()

pyodide_js, ffi = types.ModuleType("pyodide_js"), types.ModuleType("pyodide.ffi")
pyodide_js.loadPackage = load
ffi.can_run_sync, ffi.run_sync = lambda: CAN_WAIT, lambda done: done
sys.modules |= {"pyodide_js": pyodide_js, "pyodide": types.ModuleType("pyodide"), "pyodide.ffi": ffi}
IS_REACHABLE, CAN_WAIT = False, True
"""


def pretended(code: str) -> str:
    """Return what code prints in a Python that pretends to be in a browser."""
    no_programs = {**os.environ, "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", PRETEND + code], capture_output=True, text=True, timeout=60, env=no_programs
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_embedded_server_and_the_simulation_run() -> None:
    """Commands in pieces and in a pipeline, BLOCK with asyncio and without, and a run."""
    printed = pretended("""
from streamlab import Lab, connect, connect_async

client = connect("embedded://")
with client.pipeline(transaction=False) as pipe:
    pipe.xadd("s", {"n": "1" * 100_000}, id="1-0").xadd("s", {"n": 2}, id="2-0")
    print(pipe.execute())
print(client.xread({"s": "$"}, block=50))

async def wait() -> None:
    waiting = await connect_async()
    reader = asyncio.create_task(waiting.xread({"s": "2-0"}, block=10_000))
    await asyncio.sleep(0.05)
    client.xadd("s", {"n": 3}, id="3-0")
    print(await reader)

asyncio.run(wait())
run = Lab("crash").run()
print(run.added, run.processed, run.duplicates, asked)
""")
    assert printed.splitlines() == ["['1-0', '2-0']", "[]", "[['s', [('3-0', {'n': '3'})]]]", "500 500 1 []"]


def test_a_lab_plays_on_the_loop_and_the_panel_obeys_there() -> None:
    """The pacer and the panel are tasks of the loop: they end when they are told to, and at the end of the run."""
    printed = pretended("""
from streamlab import Lab, Panel

async def until(done) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.02)

async def watch() -> None:
    lab = Lab("kill-and-recover")
    panel = Panel(lab)
    panel.control("play", 20)
    await until(lambda: lab.now > 2)
    panel.do("kill C2")
    await until(lambda: panel.state["consumers"][1]["state"] == "dead")
    panel.control("freeze")
    await until(lambda: not lab.is_playing)
    stood = lab.now
    await asyncio.sleep(0.1)
    print(lab.now == stood, [action.in_short() for action in lab.actions][0].split(" at ")[0])
    panel.close()
    short = Lab("crash")
    short.play(100)
    await until(lambda: not short.is_playing)
    print(short.finished, short.run().added)
    await asyncio.sleep(0.2)
    print(len(asyncio.all_tasks()))

asyncio.run(watch())
""")
    assert printed.splitlines() == ["True kill C2", "True 500", "1"]


def test_what_needs_processes_or_sockets_says_so_in_a_line() -> None:
    """Before anything is started, and with what there is instead."""
    printed = pretended("""
from streamlab import Lab, PrivateServer, connect, guarded_popen

for attempt in (
    lambda: Lab("crash", engine="live"),
    lambda: connect("redis://:secret@localhost:6379"),
    lambda: PrivateServer().start(),
    lambda: connect("embedded://").url,
    lambda: guarded_popen(["true"]),
):
    try:
        attempt()
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
""")
    lacks = "which a page in a browser does not have"
    assert printed.splitlines() == [
        f"LabError: the live engine needs processes, {lacks}: leave engine out, and the run is simulated",
        f"ServerUnusable: a server at redis://:***@localhost:6379 needs sockets, {lacks}: "
        "leave the URL out for the embedded server",
        f"ServerStartError: a private server needs processes, {lacks}: connect() gives the embedded one",
        f"ServerUnusable: an address of the embedded server needs sockets, {lacks}: use its clients",
        f"NotImplementedError: a program of its own needs processes, {lacks}: the simulated engine runs here",
    ]


def test_figures_say_what_is_missing_until_matplotlib_can_be_fetched() -> None:
    """Whatever a cell draws on it, and with what it would show; what needs pandas fails, and says why."""
    printed = pretended("""
from streamlab import Lab, group_states, plots

chart = plots.Chart(8, 3)
ax = chart.add_subplot(xlabel="time")
ax.plot([1, 2], [3, 4], label="a")
chart.axes[0].set_title("A title")
shown = plots.show(chart, alt="Two points <up>.")
print(repr(shown))
print(shown._repr_html_().split(">")[1:3], "Two points &lt;up&gt;." in shown._repr_html_())
print(hasattr(chart, "_repr_png_"), repr(plots.recovery(Lab("crash").run()))[:40])
print(repr(group_states.draw_states({}))[:22], asked)
try:
    from streamlab import tables
except ModuleNotFoundError as error:
    print(error.name, error)
""")
    why = "comes from Pyodide's own site when it is first used, and that site could not be reached"
    instead = "check your connection, then restart the kernel"
    assert printed.splitlines() == [
        "Fetching matplotlib for this page (once, about 15 MB) …",
        "<Figure, not drawn: Two points <up>.>",
        f"['<b', 'There would be a figure here.</b'] True",  # noqa: F541
        "False <Figure, not drawn: matplotlib comes fro",
        "<Figure, not drawn: ma ['matplotlib']",
        "Fetching pandas for this page (once, about 12 MB) …",
        f"pandas pandas {why}: {instead}",
    ]


def test_matplotlib_is_fetched_by_the_first_figure() -> None:
    """Then figures are drawn, and their functions are what they are elsewhere, though modules have the same names."""
    printed = pretended("""
IS_REACHABLE = True
from streamlab import Lab, plots

print(asked)
run = Lab("crash").run()
print(repr(plots.recovery(run))[:8], asked)
print(repr(plots.recovery(run))[:8], repr(plots.show(plots.timeline(run)))[:8], asked)
""")
    assert printed.splitlines() == [
        "[]",
        "Fetching matplotlib for this page (once, about 15 MB) …",
        "<Chart:  ['matplotlib']",
        "<Chart:  <Figure: ['matplotlib']",
    ]


@pytest.mark.parametrize("name", ["matplotlib", "pandas"])
def test_a_browser_that_cannot_wait_is_told_what_to_do(name: str) -> None:
    """Without JSPI nothing can be fetched in the midst of a cell; a cell's own imports are fetched before it runs."""
    printed = pretended(f"""
CAN_WAIT = False
import streamlab
try:
    import {name}
except ModuleNotFoundError as error:
    print(error)
""")
    words = f"this browser cannot fetch {name} in the midst of a cell: run `import {name}` in a cell of its own first\n"
    assert printed == words
