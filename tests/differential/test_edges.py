"""What random commands hardly ever meet: the last of all ids, and texts that are cut or are none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .compare import Pair, Step
from .conftest import FEW
from .embedded import EmbeddedPair
from .wire import Server

pytestmark = pytest.mark.redis

LAST = (1 << 64) - 1
BYTES = "\udcff\udcfe"  # as they are; no text in UTF-8


@pytest.fixture(params=[None, *FEW], ids=["model", *map(str, FEW)])
def pair(request: pytest.FixtureRequest, real_server: Server) -> Iterator[Pair]:
    """A server, and the model or the embedded server, in few of the ways in which it can be asked."""
    way = request.param
    pair = Pair(real_server) if way is None else EmbeddedPair(real_server, way)
    yield pair
    pair.close()


def do(pair: Pair, *commands: tuple[str, ...]) -> None:
    for command in commands:
        pair.do(Step((command,)))


@pytest.mark.parametrize("last", [f"1-{LAST}", f"1-{LAST - 1}", f"{LAST}-{LAST}", f"{LAST}-1"])
def test_the_last_ids(pair: Pair, last: str) -> None:
    """Behind the last sequence number of a ms, and behind the last id of all, there is none."""
    ids = ["0-*", "1-*", "1-*", "2-*", f"{LAST}-*", f"{LAST}-*", last, "*"]
    if pair.server.as_redis < (7, 2, 0):  # says what went wrong last, be it with another command
        ids = [each for each in ids if each != f"{last.split('-')[0]}-*"]
    do(pair, ("XADD", "s", last, "f", "1"), *(("XADD", "s", each, "f", "1") for each in ids))
    do(pair, ("XINFO", "STREAM", "s"))


@pytest.mark.parametrize(
    "word",
    [BYTES, BYTES * 70, "é" * 70, "x" + "é" * 70, "€" * 50, "🙂" * 40, "a\0b", "a\r\nb"],
    ids=lambda word: ascii(word[:4]),
)  # fmt: skip
def test_names_in_errors(pair: Pair, word: str) -> None:
    """A name in an error is cut at its 128th byte, be it within a character; bytes that are no text come as such."""
    do(
        pair,
        (word,),
        ("no", word),
        (f"no{word}", word, "x", word),
        *(("no", "x" * n, word) for n in (122, 123, 124, 125, 126)),
        ("no", *[word] * 20),
        ("XGROUP", word),
        ("XGROUP", word, "s"),
        ("XINFO", word),
        ("XGROUP", "CREATE", word, word, "0"),
        ("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"),
        ("XGROUP", "SETID", "s", word, "0"),
        ("XREADGROUP", "GROUP", word, "c", "STREAMS", "s", ">"),
        ("XREADGROUP", "GROUP", "g", "c", "STREAMS", word, ">"),
        ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", word),
        ("XPENDING", word, word),
        ("XCLAIM", "s", word, "c", "0", "1-1"),
        ("XAUTOCLAIM", word, word, "c", "0", "0"),
        ("XINFO", "CONSUMERS", "s", word),
        ("XINFO", "GROUPS", word),
        ("XADD", "s", word, "f", "1"),
        ("XTRIM", "s", word, "1"),
    )


# What people have met: options that are names, deliveries that are counted, several streams, ids that are gone.
MET = """
XGROUP CREATE s GROUP 0 MKSTREAM; XADD s 1-0 a 1; XADD s 2-0 a 1; XADD s 3-0 a 1
XREADGROUP GROUP GROUP STREAMS COUNT 1 STREAMS s >; XREADGROUP GROUP GROUP BLOCK COUNT 1 STREAMS s >
XREADGROUP COUNT 5 NOACK GROUP GROUP NOACK STREAMS s >; XINFO CONSUMERS s GROUP; XPENDING s GROUP - + 10 STREAMS
XGROUP CREATE STREAMS STREAMS 0 MKSTREAM; XADD STREAMS 1-0 STREAMS STREAMS
XREADGROUP GROUP STREAMS STREAMS STREAMS STREAMS >; XREAD STREAMS STREAMS 0; XREAD COUNT 1 STREAMS STREAMS s 0 0
XADD NOMKSTREAM 1-0 f 1; XADD NOMKSTREAM NOMKSTREAM 2-0 f 1; XADD MAXLEN MAXLEN 1 3-0 f 1; XRANGE MAXLEN - +
---
XGROUP CREATE s g 0 MKSTREAM; XADD s 1-0 f 1; XADD s 2-0 f 1; XADD s 3-0 f 1; XREADGROUP GROUP g c1 STREAMS s >
XCLAIM s g c2 0 1-0 JUSTID; XPENDING s g 1-0 1-0 1; XCLAIM s g c2 0 1-0 RETRYCOUNT 42; XPENDING s g 1-0 1-0 1
XCLAIM s g c2 0 1-0 RETRYCOUNT 0 JUSTID; XPENDING s g 1-0 1-0 1; XCLAIM s g c2 0 1-0 RETRYCOUNT -1; XADD s 4-0 f 4
XPENDING s g 1-0 1-0 1; XCLAIM s g c3 0 4-0 FORCE; XPENDING s g - + 10; XINFO CONSUMERS s g; XACK s g 1-0 2-0 3-0 4-0
XINFO CONSUMERS s g; XINFO GROUPS s; XCLAIM s g c3 0 9-0 FORCE; XCLAIM s g c3 0 1-0 FORCE JUSTID; XPENDING s g - + 10
---
XGROUP CREATE a g 0 MKSTREAM; XGROUP CREATE b g 0 MKSTREAM; XADD a 1-0 v 1; XADD a 2-0 v 2; XADD b 1-0 v 1
XADD b 2-0 v 2
XREADGROUP GROUP g c COUNT 1 STREAMS a b > >; XREADGROUP GROUP g c COUNT 4 STREAMS a b > >
XREADGROUP GROUP g c STREAMS a b 0 >
XAUTOCLAIM a g d 0 0-0 COUNT 1; XAUTOCLAIM a g d 0 2-0 COUNT 1; XGROUP SETID b g 0; XREADGROUP GROUP g e STREAMS b >
XINFO CONSUMERS b g; XDEL a 2-0; XCLAIM a g f 0 1-0 2-0 9-0; XPENDING a g; XADD a 99999999999999-0 v 6; XADD a * v 7
XADD a 99999999999999-* v 8; XREADGROUP GROUP g c STREAMS a nosuch > >; XREADGROUP GROUP g c STREAMS a b > 0
XGROUP DESTROY b g
XREADGROUP GROUP g c STREAMS a b > >; XPENDING a g; XADD b 3-0 v 3; XREAD STREAMS a b 5-0 2-0
""".strip().replace("\n", "; ").replace("---; ", "---")  # fmt: skip


@pytest.mark.parametrize("number", range(MET.count("---") + 1))
def test_what_people_have_met(pair: Pair, number: int) -> None:
    """Sequences that public reports tell of are answered as on a server."""
    lines = MET.split("---")[number].strip("; ").split("; ")
    do(pair, *(tuple(line.split()) for line in lines))
