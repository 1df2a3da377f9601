"""What random commands hardly ever meet: the last of all ids, and texts that are cut or are none."""

from __future__ import annotations

import pytest

from .compare import Pair, Step

pytestmark = pytest.mark.redis

LAST = (1 << 64) - 1
BYTES = "\udcff\udcfe"  # as they are; no text in UTF-8


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
    [BYTES, f"x{BYTES}y", BYTES * 70, "é" * 64, "é" * 70, "x" + "é" * 70, "€" * 50, "🙂" * 40, "a\0b", "a\r\nb"],
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
