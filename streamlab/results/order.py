"""Whether the entries of each key were processed in the order in which they were added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamlab.results.ledger import Ledger
from streamlab.results.statistics import id_key
from streamlab.scenario import Scenario


class Inversion(NamedTuple):
    """An entry that was processed only after a later one of the same key had been, at `at` seconds."""

    id: str
    key: str
    after: str
    at: float


def keys_of(scenario: Scenario, ledger: Ledger) -> dict[str, str]:
    """Return the key of each entry that producers added: a producer's keys come in the order of its entries."""
    keys = {producer.name: scenario.keys_of(producer.name) for producer in scenario.producers}
    return {entry_id: next(keys[name]) for entry_id, name in ledger.producer.items() if name in keys}


def inversions(scenario: Scenario, ledger: Ledger) -> Iterator[Inversion]:
    """Yield the entries that were overtaken by a later one of their key; what is done again is none of them.

    Entries have to have keys. Whoever adds entries adds them one after the other, so their ids tell which is later.
    """
    keys = keys_of(scenario, ledger)
    last: dict[str, str] = {}
    for entry_id, at in sorted(ledger.processed.items(), key=lambda item: item[1]):
        key = keys.get(entry_id)
        if key is None:  # it was added by hand, or nobody has told of it
            continue
        before = last.get(key)
        if before is not None and id_key(entry_id) < id_key(before):
            yield Inversion(entry_id, key, before, at)
        else:
            last[key] = entry_id
