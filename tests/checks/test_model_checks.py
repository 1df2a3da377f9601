"""The appendix's checks: what an approximate trim leaves, and a consumer group of one's own beside the model."""

from __future__ import annotations

from typing import Any

import pytest

from streamlab import checks
from streamlab.servers.embedded import EmbeddedServer


@pytest.mark.parametrize(("n_entries", "max_length"), [(730, 500), (250, 120), (99, 50), (400, 399)])
def test_one_number_is_right_and_it_is_the_servers(n_entries: int, max_length: int) -> None:
    """Of all numbers up to the stream's length, only what ``XTRIM MAXLEN ~`` leaves on a server is right."""
    client = EmbeddedServer().client()
    for n in range(1, n_entries + 1):
        client.xadd("s", {"number": n}, id=f"{n}-0")
    client.xtrim("s", maxlen=max_length, approximate=True)
    right = [n for n in range(n_entries + 1) if checks.left_after_trim(n, n_entries=n_entries, max_length=max_length)]
    assert right == [client.xlen("s")]


class Group:
    """A right answer."""

    def __init__(self) -> None:
        self.last_id = 0
        self.pending: dict[int, tuple[str, int]] = {}

    def read(self, stream: list[int], consumer: str, count: int) -> list[int]:
        new = [n for n in stream if n > self.last_id][:count]
        for n in new:
            self.last_id, self.pending[n] = n, (consumer, 1)
        return new

    def history(self, consumer: str) -> list[int]:
        own = sorted(n for n, (owner, _) in self.pending.items() if owner == consumer)
        for n in own:
            self.pending[n] = (consumer, self.pending[n][1] + 1)
        return own

    def ack(self, entry_id: int) -> int:
        return 0 if self.pending.pop(entry_id, None) is None else 1


class CountsEntries(Group):
    """Takes entries by how many it has given: wrong as soon as one is deleted from the stream."""

    n_given = 0

    def read(self, stream: list[int], consumer: str, count: int) -> list[int]:
        new = stream[self.n_given : self.n_given + count]
        self.n_given += len(new)
        self.pending |= {n: (consumer, 1) for n in new}
        return new


class ChecksOwner(Group):
    """Acknowledges only what is pending for alice."""

    def ack(self, entry_id: int) -> int:
        if self.pending.get(entry_id, ("", 0))[0] != "alice":
            return 0
        return super().ack(entry_id)


class ResetsCount(Group):
    """Counts a second history as the first."""

    def history(self, consumer: str) -> list[int]:
        own = sorted(n for n, (owner, _) in self.pending.items() if owner == consumer)
        self.pending |= {n: (consumer, 2) for n in own}
        return own


class FromTheEnd(Group):
    """Gives the newest first."""

    def read(self, stream: list[int], consumer: str, count: int) -> list[int]:
        return super().read(stream, consumer, count)[::-1]


def test_a_group_that_does_what_the_model_does_is_right() -> None:
    verdict = checks.tiny_group(Group)
    assert verdict.passed, verdict
    assert "That is a consumer group." in verdict.words


@pytest.mark.parametrize(
    ("mistaken", "hint"),
    [
        (CountsEntries, "compare ids with last_id"),
        (ChecksOwner, "whoever has it"),
        (ResetsCount, "counts as a delivery"),
        (FromTheEnd, "lowest id first"),
    ],
)
def test_mistakes_that_take_some_steps_to_show_are_found(mistaken: Any, hint: str) -> None:
    """The verdict names the step, what came and what should have, and what to think of."""
    verdict = checks.tiny_group(mistaken)
    assert not verdict.passed
    assert "it should be" in verdict.words or "not 1" in verdict.words, verdict
    assert hint in verdict.hint, verdict
