"""``streamlab torture``: programs that know nothing of streamlab, right ones and wrong ones, in Python and in Node."""

from __future__ import annotations

import html
import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from streamlab.cli import main
from tests.conftest import Eventually
from tests.further import beyond
from tests.leftovers import MARK, marked
from tests.node_clients import FOLDER, MODULES, node_clients

pytestmark = [pytest.mark.redis, pytest.mark.real_time("runs processes, kills them, and compares real times")]

PYTHON = f"{sys.executable} {Path(__file__).parents[1] / 'lab/programs/consumer.py'}"
PROGRAMS = {"redis-py": PYTHON} | {name: f"node {FOLDER / 'consumer.cjs'} {name}" for name in node_clients()}
#: What must end in nothing lost and nothing done twice.
FAULTS = [
    "crash-before-effect C1 nth 10", "lost-reply C1 XACK nth 5", "crash-before-ack C2 nth 20", "kill C1 at 1.1s",
    "lost-reply C2 XREADGROUP nth 3", "pause C2 at 1.2s for 1.2s", "disconnect C2 at 0.1s", "restart C1 at 1.9s",
    "server-down at 0.9s for 100ms",
]  # fmt: skip


@pytest.fixture(autouse=True)
def node_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_PATH", str(MODULES))


def tortured(capsys: pytest.CaptureFixture[str], worker: str, *options: str, **named: Any) -> tuple[int, Any, str]:
    """Run the command for two seconds; return its status, what it printed as JSON, and what it said."""
    usual = {"duration": "2s", "rate": "100", "consumers": "2", "effects": "effects", "drain": "2s"} | named
    words = [word for name, value in usual.items() for word in (f"--{name}", value)]
    status = main(["torture", "--worker", worker, "--json", *words, *options])
    said = capsys.readouterr()
    return status, json.loads(said.out) if said.out else None, said.err


def with_faults(*faults: str) -> list[str]:
    return [word for fault in faults for word in ("--fault", fault)]


def each_program(programs: Sequence[str]) -> pytest.MarkDecorator:
    """Let a test be of each of these programs, further ones than the first being in another language."""
    found = beyond(1, [PROGRAMS[name] for name in programs], "in another language")
    return pytest.mark.parametrize("program", found, ids=programs)


@each_program([*PROGRAMS])
def test_a_right_program_survives(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever its language and client: all are done, once each."""
    status, told, said = tortured(capsys, program, *with_faults(*FAULTS), drain="20s")
    assert not said, said
    assert status == 0
    assert told["verdict"] == "survived"
    assert told["added"] == told["processed"] == told["acked"] > 180
    assert (told["lost"], told["pending"], told["undelivered"]) == (0, 0, 0)
    assert told["recovery"]["lost_workers"] >= 2
    assert told["recovery"]["strategy"] == "autoclaim"
    assert told["recovery"]["redelivered"] >= 2
    assert told["recovery"]["duplicate_effects"] == 0


#: By mistake: the faults, further options, the status, what is said, and a line of the story.
WRONG: dict[str, tuple[list[str], list[str], int, str, str]] = {
    "acks-first": (["kill C1 at 0.5s"], [], 1, "acknowledged before it was processed", "acknowledged it"),
    "no-history": (["crash-before-ack C1 nth 10"], [], 3, "it never read its own history", "C1: died"),
    "no-claims": (["crash-before-ack C1 nth 10"], ["--no-restart"], 3, "it never claimed anything", "C1: died"),
    "from-dollar": (
        ["group-destroyed at 0.5s"],
        ["--rate", "600"],
        1,
        "recreated a lost group from $",
        "recreated the group, from $",
    ),
    "random-name": (["crash-before-ack C1 nth 10"], [], 3, "it calls itself worker-", "pending for worker-"),
    "twice": (["crash-before-ack C1 nth 10"], [], 1, "its effect happened 2 times", "C1: died"),
}


@each_program([*PROGRAMS][:2])
@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_program_fails_with_a_story(program: str, mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of six mistakes is found, with the story of the first entry that went wrong and a hint at the reason."""
    faults, options, expected, words, line = WRONG[mistake]
    status, told, said = tortured(
        capsys, f"{program} {mistake}", *with_faults(*faults), *options, duration="1s", drain="1s"
    )
    assert status == expected
    assert told["verdict"] == {1: "broken", 3: "left"}[status]
    assert words in said
    story = [line for found in (*told["broken"], *filter(None, [told["left"]])) for line in found["story"]]
    assert any(line in each for each in story)
    assert re.search(r"^ +[\d.]+ s  P1: added it$", said, re.M)


@pytest.mark.skipif("ioredis" not in PROGRAMS, reason="ioredis is not installed: .ci/node-clients")
def test_the_example_in_node_survives(capsys: pytest.CaptureFixture[str]) -> None:
    """What examples/consumer.js shows is a right consumer, also of a group that is lost."""
    example = Path(__file__).parents[2] / "examples/consumer.js"
    faults = with_faults("kill C1 at 0.6s", "crash-before-ack C2 nth 10", "group-destroyed at 1.5s")
    status, told, said = tortured(capsys, f"node {example}", *faults, drain="20s")
    assert not said, said
    assert (status, told["processed"], told["recovery"]["duplicate_effects"]) == (0, told["added"], 0)


@pytest.mark.further("in another language")
@pytest.mark.skipif("ioredis" not in PROGRAMS, reason="ioredis is not installed: .ci/node-clients")
def test_the_bugs_of_the_example_in_node_are_found() -> None:
    """One after the other, each with its hint, until it survives: examples/consumer.txt."""
    example = Path(__file__).parents[2] / "examples/consumer.js"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["node", example], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == example.with_suffix(".txt").read_text()


def test_those_who_claim_are_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where nothing is started again; nothing is known of them, until they claim."""
    faults = with_faults("crash-before-ack C1 nth 5")
    status, told, said = tortured(capsys, PYTHON, *faults, "--no-restart", duration="500ms", drain="20s")
    assert not said, said
    assert (status, told["processed"], told["pending"]) == (0, told["added"], 0)
    assert told["recovery"]["lost_workers"] == 1


def test_one_more_joins_and_one_stands_still(capsys: pytest.CaptureFixture[str]) -> None:
    """A process is added in the midst of a run; and one that stands still at work goes on later, as a zombie."""
    faults = with_faults("add-consumer C3 at 500ms", "pause-in-work C1 nth 10 for 1.5s")
    status, told, said = tortured(capsys, PYTHON, *faults, drain="20s")
    assert not said, said
    assert status == 0
    assert told["consumers"]["C3"]["acked"] > 10
    assert told["recovery"]["lost_workers"] == 1
    assert told["recovery"]["duplicate_effects"] == 0


def test_on_a_server_that_is_given(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The stream is deleted in the end, what the program has written is left; a stream that exists is left alone."""
    status, told, said = tortured(capsys, PYTHON, "--redis", redis_url, *with_faults("kill C1 at 1s"), drain="20s")
    assert not said, said
    assert status == 0
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == [b"effects"]
        assert client.hlen("effects") == told["added"]
        client.xadd("orders", {"n": 1})
        status, _, said = tortured(capsys, PYTHON, "--redis", redis_url)
        assert (status, client.xlen("orders")) == (2, 1)
        assert "'orders' exists already" in said
    status, _, said = tortured(capsys, PYTHON, "--redis", redis_url, *with_faults("server-down at 1s"))
    assert status == 1
    assert "leave the URL out" in said


@pytest.mark.parametrize("kind", ["transaction", "script", "stream"])
def test_effects_in_other_ways(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the acknowledgement in one transaction, in one script, or in a stream: seen as well, in the right order."""
    faults = ["kill C1 at 1s"] if kind == "stream" else FAULTS[:6]
    may_repeat = ["--may-repeat"] * (kind == "stream")
    status, told, said = tortured(capsys, f"{PYTHON} {kind}", *with_faults(*faults), *may_repeat, drain="20s")
    assert not said, said
    assert status == 0
    assert told["added"] == told["processed"] == told["acked"] > 180


def test_random_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """By a seed, for as long as entries are added; a right program survives them."""
    options = ["--faults", "random", "--every", "400ms", "--seed", "3"]
    status, told, said = tortured(capsys, PYTHON, *options, duration="4s", drain="30s")
    assert not said, said
    assert status == 0
    assert len(told["faults"]) >= 5
    assert told["recovery"]["lost_workers"] >= 2
    assert told["processed"] == told["added"] == 400


def test_a_page_of_html(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It holds the verdict, what to type, the story, the hint, the faults and pictures; and nothing from elsewhere."""
    page = tmp_path / "page.html"
    worker, faults = f"{PYTHON} twice", with_faults("crash-before-ack C1 nth 10")
    status, _, said = tortured(capsys, worker, *faults, "--html", str(page), "--no-restart", drain="3s")
    assert status == 1
    text = html.unescape(page.read_text())
    assert "<h1 style=" in text
    assert ">Broken</h1>" in text
    typed = re.findall(r"<pre>(streamlab torture .*)</pre>", text)
    options = ["--worker", worker, "--consumers", "2", "--duration", "2s", "--drain", "3s"]
    assert [shlex.split(each) for each in typed] == [
        ["streamlab", "torture", *options, "--no-restart", *faults, "--effects", "effects"]
    ]
    told = [line for line in said.splitlines() if line.startswith(" ")]
    assert "\n".join(line[4:] for line in told) in text
    assert "must be one step" in text
    assert "<li>crash-before-ack C1 nth 10</li>" in text
    assert text.count('src="data:image/png') == 2
    # Not in the pictures: among a hundred thousand letters "http" turns up by chance.
    assert "http" not in re.sub(r'src="data:[^"]*"', "", text)
    assert main(["torture", "--worker", "x", "--html", str(tmp_path / "no" / "page.html")]) == 2


def test_effects_told_by_lines_of_output(capsys: pytest.CaptureFixture[str]) -> None:
    """A line from before an acknowledgement is heard before it; one that comes twice is an effect that did."""
    program = f"{PYTHON} stdout"
    once = with_faults("kill C2 at 1s")
    status, told, said = tortured(capsys, program, *once, "--may-repeat", effects="stdout", drain="20s")
    assert not said, said
    assert status == 0
    assert told["processed"] == told["acked"] == told["added"]
    status, told, said = tortured(capsys, program, *with_faults("crash-before-ack C1 nth 20"), effects="stdout")
    assert status == 1
    assert "its effect happened 2 times" in said


def test_without_effects_an_acknowledgement_has_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A right program passes, and one that leaves something pending is found."""
    status, told, _ = tortured(capsys, PYTHON, *with_faults("kill C1 at 1s"), effects="", drain="20s")
    assert (status, told["processed"]) == (0, told["added"])
    status, told, said = tortured(capsys, f"{PYTHON} no-history", *with_faults("crash-before-ack C1 nth 9"), effects="")
    assert (status, told["verdict"]) == (3, "left")
    assert "no effects were told" in said


def test_the_program_is_told_in_words_as_well(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """{url}, {stream}, {group} and {consumer} stand for what each is told, as the environment has them."""
    check = tmp_path / "check.py"
    check.write_text(
        "import os, sys\n"
        "told = [os.environ[name] for name in ('REDIS_URL', 'STREAM', 'GROUP', 'CONSUMER')]\n"
        "assert sys.argv[1:] == told, (sys.argv, told)\n"
        "from urllib.parse import urlsplit\n"
        "assert urlsplit(told[0]).password and urlsplit(told[0]).hostname == '127.0.0.1'\n"
        f"sys.argv[1:] = []\nexec(open({PYTHON.split()[1]!r}).read())\n"
    )
    worker = f"{sys.executable} {check} {{url}} {{stream}} {{group}} {{consumer}}"
    status, told, said = tortured(capsys, worker, stream="parcels", group="billing", duration="500ms")
    assert not said, said
    assert status == 0
    assert told["acked"] == told["added"] == 50


def test_one_that_dies_at_once_ends_the_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With its own last words, before it has asked for anything or again and again later; and no storm."""
    status, told, said = tortured(capsys, f"{sys.executable} -c 'import nonesuch'")
    assert (status, told) == (1, None)
    assert "C1 ended before it had asked for an entry" in said
    assert "No module named 'nonesuch'" in said
    once, log = tmp_path / "once", tmp_path / "log"
    program = tmp_path / "later.py"
    program.write_text(
        f"import os, sys\nopen({str(log)!r}, 'a').write('x')\n"
        f"if os.path.exists({str(once)!r} + os.environ['CONSUMER']): sys.exit('this is what went wrong')\n"
        f"open({str(once)!r} + os.environ['CONSUMER'], 'w')\n"
        f"exec(open({PYTHON.split()[1]!r}).read())\n"
    )
    began = time.monotonic()
    status, told, said = tortured(
        capsys, f"{sys.executable} {program}", *with_faults("kill C1 at 200ms"), duration="60s"
    )
    assert (status, told) == (1, None)
    assert "C1 has ended by itself 5 times" in said
    assert "this is what went wrong" in said
    assert len(log.read_text()) <= 8
    assert time.monotonic() - began < 60  # that long it would have gone on


def test_one_that_never_asks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what was waited for."""
    monkeypatch.setattr("streamlab.lab.foreign._START_LIMIT", 0.5)
    status, told, said = tortured(capsys, "sleep 60")
    assert (status, told) == (1, None)
    assert "C1 has not asked for an entry within 0.5 s" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--worker", ""], "--worker is empty"),
        (["--worker", "'x"], "No closing quotation"),
        (["--worker", "x", "--fault", "slow C1 at 1s"], "only streamlab's own consumers know of that"),
        (["--worker", "x", "--fault", "kill C9 at 1s"], "there is no 'C9'"),
        (["--worker", "x", "--consumers", "0"], "--consumers is 0"),
        (["--worker", "x", "--duration", "soon"], "--duration: 'soon' is not a time"),
        ([], "missing option '--worker'"),
    ],
)
def test_wrong_use(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said before anything is started."""
    assert main(["torture", *options]) == 2
    assert words in capsys.readouterr().err


def test_no_such_program(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said which."""
    assert main(["torture", "--worker", "no-such-program --at all"]) == 1
    assert "no-such-program: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "sigkill"])
def test_nothing_is_left_behind(signum: int, eventually: Eventually) -> None:
    """Also by Ctrl-C, or if the command itself is killed: no process of the program, no server, no guard, no folder."""
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        command = [sys.executable, "-m", "streamlab", "torture", "--worker", PYTHON, "--duration", "60s"]
        env = os.environ | {MARK: mark, "TMPDIR": folder}
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env) as process:
            eventually(lambda: sum("consumer.py" in each for each in marked(mark)) >= 3, "it runs", timeout=30)
            assert os.listdir(folder)
            process.send_signal(signum)
            process.wait(20)
        eventually(lambda: marked(mark) == [], "all processes are gone", timeout=5)
        eventually(lambda: os.listdir(folder) == [], "all folders are gone", timeout=5)


def test_a_program_may_have_many_connections(capsys: pytest.CaptureFixture[str]) -> None:
    """As a pool has that opens one for every command under way: more than a loop by select() can watch."""
    status, told, said = tortured(capsys, f"{PYTHON} many-connections", duration="0.2s", consumers="1", drain="20s")
    assert not said, said
    assert (status, told["processed"]) == (0, told["added"])
