"""BLPOP and its like: who is served, in which order, and what with; on a server as on the embedded one.

Every step is done on both, and `Pair` compares all replies.
"""

from __future__ import annotations

import pytest

from .embedded import EmbeddedPair
from .test_blocking import block, do, error_of

pytestmark = pytest.mark.redis

PUSH = "RPUSH a 1 2 3"
ADD = "ZADD a 1 m 2 n 3.5 o"
ON_LISTS = (
    *("BLPOP a 0", "BRPOP x a y 0", "BRPOPLPUSH a b 0", "BLMOVE a b LEFT RIGHT 0", "BLMOVE a a RIGHT LEFT 0"),
    *("BLMPOP 0 1 a LEFT", "BLMPOP 0 2 x a RIGHT COUNT 2"),
)  # fmt: skip
ON_SORTED_SETS = (
    *("BZPOPMIN a 0", "BZPOPMAX x a y 0", "BZMPOP 0 1 a MIN", "BZMPOP 0 2 x a MAX COUNT 2"),
)  # fmt: skip
WAITS = [(line, PUSH) for line in ON_LISTS] + [(line, ADD) for line in ON_SORTED_SETS]


@pytest.mark.parametrize(("line", "fill"), WAITS, ids=[line for line, _ in WAITS])
def test_first_come_first_served(embedded_pair: EmbeddedPair, line: str, fill: str) -> None:
    """Those who wait are served in the order in which they came, whatever happens in between, and keep their shapes."""
    pair = embedded_pair
    for reader in range(3):
        block(pair, reader, line)
    do(pair, "SET other 1", "HSET a f 1", "DEL a", "XADD a * f 1", "DEL a", "SET b 1", "DEL b")
    assert pair.woken == {}
    do(pair, fill, "TYPE a", "TYPE b", fill, fill, "DEL a b")
    assert sorted(pair.woken) == [0, 1, 2]


@pytest.mark.parametrize(("line", "fill"), WAITS, ids=[line for line, _ in WAITS])
def test_where_nobody_waits(embedded_pair: EmbeddedPair, line: str, fill: str) -> None:
    """In a transaction nothing is waited for; what is there comes at once; another type is an error."""
    pair = embedded_pair
    do(pair, f"PING ; {line}", f"{fill} ; {line}", fill)
    block(pair, 0, line)
    do(pair, "DEL a b", "SET a text", f"PING ; {line}")
    block(pair, 0, line)
    do(pair, "DEL a", fill, "SET b text")
    block(pair, 0, line)
    assert pair.waiters == [None] * len(pair.waiters)


@pytest.mark.parametrize(("line", "fill"), WAITS, ids=[line for line, _ in WAITS])
def test_a_transaction_is_over_before_anybody_is_served(embedded_pair: EmbeddedPair, line: str, fill: str) -> None:
    """What a transaction adds and takes back is given to nobody."""
    pair = embedded_pair
    block(pair, 0, line)
    do(pair, f"{fill} ; DEL a")
    assert pair.woken == {}
    do(pair, f"{fill} ; PING")
    assert list(pair.woken) == [0]


def test_what_one_moves_is_for_the_next(embedded_pair: EmbeddedPair) -> None:
    """An element that was waited for, and moved, serves who waits at its new place; and so on."""
    pair = embedded_pair
    block(pair, 0, "BLPOP c 0")
    block(pair, 1, "BRPOPLPUSH b c 0")
    block(pair, 2, "BLMOVE a b LEFT LEFT 0")
    do(pair, "LPUSH a 1")
    assert pair.woken == {0: ["c", "1"], 1: "1", 2: "1"}


@pytest.mark.parametrize("line", ["BRPOPLPUSH a b 0", "BLMOVE a b LEFT LEFT 0"])
def test_nowhere_to_put_it(embedded_pair: EmbeddedPair, line: str) -> None:
    """Who waits to move an element to what is no list is told so when it comes, and the element stays."""
    pair = embedded_pair
    do(pair, "SET b text")
    block(pair, 0, line)
    do(pair, "RPUSH a 1", "LRANGE a 0 -1")
    assert error_of(pair, 0).startswith("WRONGTYPE")


@pytest.mark.parametrize(
    "arrival",
    ["RENAME z a", "RENAMENX z a", "COPY z a", "MOVE z 0", "LMOVE z a LEFT LEFT", "SORT z STORE a", "SWAPDB 0 1"],
)  # fmt: skip
def test_however_it_comes(embedded_pair: EmbeddedPair, arrival: str) -> None:
    """A list that comes by another name, place or database is one that was waited for."""
    pair = embedded_pair
    block(pair, 0, "BLPOP a 0")
    if arrival == "SWAPDB 0 1":
        do(pair, "SELECT 1", "RPUSH a 1", "SELECT 0", arrival)
    elif arrival == "MOVE z 0":
        do(pair, "SELECT 1", "RPUSH a 1", "MOVE a 0", "SELECT 0")
    else:
        do(pair, "RPUSH z 1", arrival)
    assert pair.woken == {0: ["a", "1"]}


@pytest.mark.parametrize("line", ["BLPOP a -1", "BLMOVE a b X LEFT 0", "BLMOVE a b LEFT Y 0", "BZPOPMIN a -1"])
def test_nonsense(embedded_pair: EmbeddedPair, line: str) -> None:
    """What cannot be waited for is refused at once."""
    block(embedded_pair, 0, line)
    assert embedded_pair.waiters[0] is None
