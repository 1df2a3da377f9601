"""A still picture of the panel, in HTML, for where no kernel runs: on GitHub, on a site, in a notebook just opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

#: Pending entries that are shown.
_MOST: Final = 8
_CONSUMERS: Final = {
    "name": "consumer",
    "state": "state",
    "holding": "holds",
    "pending": "pending",
    "delivered": "delivered",
    "acked": "acked",
    "again": "done twice",
}
_GROUPS: Final = {
    "name": "group",
    "backlog": "backlog",
    "lag": "lag",
    "n_pending": "pending",
    "last_id": "last-delivered id",
}


def still(state: dict[str, Any]) -> str:
    """Return what the panel shows of a state as a paragraph and tables, without styles or scripts."""
    _, headline = state["headline"]
    figures = ", ".join(f"{name} {value}" for name, value in state["figures"].items())
    has_several = len(state["groups"]) > 1
    columns = _CONSUMERS | ({"group": "group"} if has_several else {})
    consumers = _table(columns.values(), ([each[key] for key in columns] for each in state["consumers"]))
    groups = ""
    if has_several:
        groups = _table(_GROUPS.values(), ([each[key] for key in _GROUPS] for each in state["groups"])) + "\n"
    shards = servers = ""
    if state["shards"]:
        rows = ([number, owner, waiting, n] for number, _, owner, _, waiting, n in state["shards"])
        shards = _table(("shard", "owner", "waiting", "pending"), rows) + "\n"
    if state["servers"]:
        head = ("server", "role", "state", "entries that it lacks", "acknowledgements that it lacks")
        every = state["servers"]["all"]
        rows = ([name, role, "alive" if is_alive else "dead", *n] for name, role, is_alive, *n, _ in every)
        servers = _table(head, rows) + "\n"
    pending = ""
    if state["pending"]:
        rows = (
            [entry, f"{owner} · {group}" if has_several else owner, f"{idle:.1f} s", count]
            for entry, owner, idle, count, _, group in state["pending"][:_MOST]
        )
        pending = "<p>Pending entries list:</p>\n" + _table(
            ("pending entry", "owner", "idle time", "delivery count"), rows
        )
    return (
        f"<p><strong>{escape(state['title'])}</strong> ({escape(state['engine'])}) at {state['at']:.1f} s. "
        f"{escape(headline)}</p>\n{consumers}\n{groups}{shards}{servers}{pending}"
        f"<p>{escape(figures)}.</p>\n"
        "<p><em>A still picture of the control panel. Run the cell to have it with its buttons.</em></p>"
    )


def _table(head: Iterable[str], rows: Iterable[Sequence[object]]) -> str:
    heads = "".join(f'<th scope="col">{escape(word)}</th>' for word in head)
    lines = ("".join(f"<td>{escape(str(value))}</td>" for value in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
