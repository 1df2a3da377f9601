"""Verdicts on the exercises about shards: which entries go where, and who may take one."""

from __future__ import annotations

import operator
import types
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from streamlab.checks.attempts import as_function, call, count_of, shown
from streamlab.checks.mishaps import MortalClient, Streams, comes_through, dies_at
from streamlab.checks.mishaps import call as call_mortal
from streamlab.results.verdict import Objection, Verdict, judged

# ---- which shard an entry goes to --------------------------------------------------------------------

_KEYS: Final = ("anna", "Anna", "bob@example.org", "München", "", *(f"k{number}" for number in range(1200)))
_COUNTS: Final = (6, 7, 2, 1)
_ELSEWHERE: Final = "another process"


@judged
def same_shard(answer: object) -> Verdict:
    """Check a function that says to which shard the entries of a key go.

    ``answer(key, n_shards)`` is to return a number from 0 to ``n_shards - 1``: for a key always the same, in whichever
    process, and for many keys each about as often.
    """
    for n_shards in _COUNTS:
        here = _shards(answer, _KEYS, n_shards)
        again = _shards(answer, _KEYS[::-1], n_shards)[::-1]
        for key, one, other in zip(_KEYS, here, again, strict=True):
            if one != other:
                words = f"With {n_shards} shards, {key!r} goes to shard {one}, and later to shard {other}."
                raise Objection(words, "only the key may decide, and not what came before, nor chance.")
        elsewhere = _shards(_as_elsewhere(answer), [_Elsewhere(key) for key in _KEYS], n_shards)
        for key, one, other in zip(_KEYS, here, elsewhere, strict=True):
            if one != other:
                words = f"With {n_shards} shards, {key!r} goes to shard {one} here, to shard {other} in {_ELSEWHERE}."
                hint = "hash() of a text, and what a process remembers, differ: take zlib.crc32(key.encode())."
                raise Objection(words, hint)
        _check_spread(here, n_shards)
    return Verdict(True, f"{len(_KEYS):,} keys: each always to the same shard, and about as many to each.")


def _shards(answer: object, keys: Sequence[str], n_shards: int) -> list[int]:
    found: list[Any] = call(
        lambda function: [function(key, n_shards) for key in keys],
        f"With {count_of(n_shards, 'shard')},",
        as_function(answer, *keys[:1], n_shards),
    )
    for key, number in zip(keys, found, strict=True):
        case = f"With {count_of(n_shards, 'shard')}, for {str(key)!r} it returned {shown(number)}."
        if number is ...:
            call(lambda: ..., case)
        try:
            is_shard = not isinstance(number, bool) and 0 <= operator.index(number) < n_shards
        except TypeError:
            is_shard = False
        if not is_shard:
            raise Objection(case, f"return a whole number from 0 to {n_shards - 1}: % n_shards leaves one of these.")
    return found


def _check_spread(found: Sequence[int], n_shards: int) -> None:
    fair, counts = len(found) / n_shards, Counter(found)
    shard = max(range(n_shards), key=lambda n: abs(counts[n] - fair))
    if not fair / 2 <= counts[shard] <= fair * 2:
        words = f"Of {len(found):,} keys, {counts[shard]:,} go to shard {shard} of {n_shards}."
        raise Objection(words, "the whole key has to count, mixed well: a checksum such as zlib.crc32 does that.")


class _Elsewhere(str):
    """A key in another process: its hash is another one there, as Python has it for texts."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash((_ELSEWHERE, str(self)))


def _as_elsewhere(answer: object) -> object:
    """Return a function as it would be in another process, where ``hash()`` gives other numbers."""
    if not isinstance(answer, types.FunctionType):
        return answer

    def other_hash(thing: object) -> int:
        return hash((_ELSEWHERE, thing))

    names = {**answer.__globals__, "hash": other_hash}
    made = types.FunctionType(answer.__code__, names, answer.__name__, answer.__defaults__, answer.__closure__)
    made.__kwdefaults__ = answer.__kwdefaults__
    return made


# ---- who may take a shard ----------------------------------------------------------------------------

_KEY, _ME, _OTHER, _MS = "orders:{0}:lease", "C1", "C2", 30_000
#: What is there if the other one has got it.
_TOOK: Final = "took it"
#: For how many ms another one has the lease.
_THEIRS: Final = 600_000
_IN_ONE: Final = "one command does all of it, and nobody comes in between: client.set(key, me, nx=True, px=ms)."


@judged
def takes_lease(answer: object) -> Verdict:
    """Check a function that takes a lease if it is free (``SET`` with ``NX`` and ``PX``).

    ``answer(client, key, me, ms)`` is to return whether `me` has got it: the key holds `me` then, for `ms`
    milliseconds. A lease that is another one's stays as it is.
    """
    streams, said = _try(answer, "If the lease is free,")
    _is_mine(streams, "If the lease is free,", said)
    streams, said = _try(answer, f"If {_OTHER} has the lease,", before=1)
    _is_theirs(streams, f"If {_OTHER} has the lease,", said)
    case = f"If {_OTHER} takes the lease after its first command,"
    streams, said = _try(answer, case, before=2)
    if streams.client.exists(_TOOK):
        _is_theirs(streams, case, said)
    _dies(answer)
    return Verdict(True, "Free, another one's, taken at the last moment, and with a death at each command.")


def _try(answer: object, case: str, before: int = 0) -> tuple[Streams, object]:
    """Call the answer; another one takes the lease before its nth command, if it is free then."""
    streams, n = Streams(), 0

    def mishap(when: str, words: str) -> None:
        nonlocal n
        n += when == "before"
        if when == "before" and n == before and streams.client.set(_KEY, _OTHER, nx=True, px=_THEIRS):
            streams.client.set(_TOOK, 1)

    client: MortalClient = streams.process(mishap)
    return streams, call_mortal(answer, case, client, _KEY, _ME, _MS)


def _owner(streams: Streams) -> str | None:
    owner: str | None = _ask(lambda: streams.client.get(_KEY))
    return owner


def _ask(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        hint = "the lease is a text: SET, not a stream or hash."
        raise Objection(f"Afterwards Redis says: {error}.", hint) from error


def _is_mine(streams: Streams, case: str, said: object) -> None:
    """Object unless this consumer has the lease, for a while, and knows it."""
    owner, left = _owner(streams), _ask(lambda: streams.client.pttl(_KEY))
    if owner is None:
        raise Objection(f"{case} the key {_KEY!r} is not there afterwards.", _IN_ONE)
    if owner != _ME:
        raise Objection(f"{case} the key holds {owner!r} afterwards, not {_ME!r}.", "its value says who has it: me.")
    if left < 0:
        hint = f"if {_ME} dies, nobody would ever get the shard: give it px=ms."
        raise Objection(f"{case} its lease never runs out.", hint)
    if left > _MS:
        raise Objection(f"{case} its lease is for {left:,} ms, not for {_MS}.", "milliseconds are px=, seconds ex=.")
    if said is not True:
        raise Objection(f"{case} it returned {said!r}, not True.", "SET with NX answers True if it has set the key.")


def _is_theirs(streams: Streams, case: str, said: object) -> None:
    """Object if another one's lease was changed, or this consumer thinks that it has got it."""
    owner, left = _owner(streams), _ask(lambda: streams.client.pttl(_KEY))
    if owner != _OTHER:
        hint = f"now both work on the shard. {_IN_ONE[0].upper()}{_IN_ONE[1:]}"
        raise Objection(f"{case} the key holds {owner!r} afterwards.", hint)
    if left < _THEIRS / 2:
        raise Objection(f"{case} it has changed for how long {_OTHER} has it.", _IN_ONE)
    if said or not (said is None or isinstance(said, bool)):
        raise Objection(f"{case} it returned {said!r}, not False.", "SET with NX answers None if the key was there.")


def _dies(answer: object) -> None:
    """Object if a lease that never runs out is left by a death at one of the commands."""
    for nth in range(1, 10):
        streams = Streams()
        client = streams.process(dies_at(nth, "after"))
        if comes_through(answer, f"Dying after command {nth},", client.life, client, _KEY, _ME, _MS):
            return
        if _owner(streams) is not None and _ask(lambda: streams.client.pttl(_KEY)) < 0:  # noqa: B023 (called at once)
            words = f"If {_ME} dies after its command {nth}, its lease never runs out."
            raise Objection(words, _IN_ONE)
