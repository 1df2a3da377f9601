"""How many bytes an entry takes in one of Redis' stream nodes (a *listpack*).

Only one thing hangs on this: where a node is full, and so what ``MAXLEN ~`` removes.
"""

from __future__ import annotations

from .ids import StreamId

_HEADER_AND_END = 7
_DIGITS = frozenset("-0123456789")
_SIGN_BIT = 1 << 63


def n_bytes(text: str) -> int:
    """Return the length of a text in bytes."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))


def _with_back_length(size: int) -> int:
    """Add the length that is written behind an element, to walk backwards."""
    if size < 128:
        return size + 1
    if size < 16_384:
        return size + 2
    return size + (3 if size < 2_097_152 else 4 if size < 268_435_456 else 5)


def _integer_size(value: int) -> int:
    if 0 <= value <= 127:
        return 2
    if -4096 <= value <= 4095:
        return 3
    if -32_768 <= value <= 32_767:
        return 4
    if -8_388_608 <= value <= 8_388_607:
        return 5
    return 6 if -2_147_483_648 <= value <= 2_147_483_647 else 10


def _text_size(text: str) -> int:
    """Return the bytes of a text; one that spells an integer is stored as a number."""
    n = len(text)
    if 0 < n <= 20 and text[0] in _DIGITS:
        unsigned = text.removeprefix("-")
        if unsigned.isdecimal() and unsigned.isascii():
            value = int(text)
            if -_SIGN_BIT <= value < _SIGN_BIT and str(value) == text:
                return _integer_size(value)
    if not text.isascii():
        n = n_bytes(text)
    return n + 2 if n < 64 else _with_back_length(n + (2 if n < 4096 else 5))


def _difference_size(value: int, other: int) -> int:
    """Return the size of a difference of unsigned 64-bit numbers: C stores it as a signed one."""
    difference = value - other
    if 0 <= difference <= 127:
        return 2
    return _integer_size((difference + _SIGN_BIT) % (1 << 64) - _SIGN_BIT)


def header_size(names: tuple[str, ...]) -> int:
    """Return the size of an empty node whose first entry has these field names."""
    counts = 2 + 2 + _integer_size(len(names)) + 2
    return _HEADER_AND_END + counts + sum(map(_text_size, names))


def entry_size(entry_id: StreamId, fields: tuple[str, ...], node_id: StreamId, node_names: tuple[str, ...]) -> int:
    """Return what one entry adds to its node, whose first id and field names are given."""
    ids = _difference_size(entry_id[0], node_id[0]) + _difference_size(entry_id[1], node_id[1])
    n_names = len(fields) // 2
    if fields[::2] == node_names:
        return 2 + ids + sum(map(_text_size, fields[1::2])) + _integer_size(n_names + 3)
    counts = _integer_size(n_names) + _integer_size(2 * n_names + 4)
    return 2 + ids + sum(map(_text_size, fields)) + counts


def rest_bound(first_id: StreamId, last_id: StreamId, node_names: tuple[str, ...]) -> int:
    """Return the most that an entry up to an id, with the node's own field names, adds besides its values."""
    ms = _difference_size(last_id[0], first_id[0])
    return 2 + ms + 10 + _integer_size(len(node_names) + 3)
