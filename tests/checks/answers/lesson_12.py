"""Answers to the exercises of lesson 12: right ones in other styles, and likely wrong ones."""

from __future__ import annotations

from tests.checks.answers import Exercise, Wrong

RIGHT = [
    """
def restore(client, key, kept):
    there = {order["number"] for _, order in client.xrange(key)}
    missing = [order for order in kept if order["number"] not in there]
    for order in missing:
        client.xadd(key, order)
    return len(missing)
""",
    """
def restore(client, key, kept):
    n = 0
    for order in kept:
        numbers = [fields["number"] for _, fields in client.xrange(key)]
        if order["number"] not in numbers:
            client.xadd(key, order)
            n += 1
    return n
""",
    """
def restore(client, key, kept):
    there = [fields for _, fields in client.xrange(key)]
    missing = [order for order in kept if order not in there]
    return len([client.xadd(key, order) for order in missing])
""",
    """
def restore(client, key, kept):
    missing = {order["number"]: order for order in kept}
    for _, fields in client.xrange(key, "-", "+"):
        missing.pop(fields["number"], None)
    for order in missing.values():
        client.xadd(key, order)
    return len(missing)
""",
    """
def restore(client, key, kept):
    there, start = set(), "-"
    while page := client.xrange(key, min=start, count=10):
        there.update(fields["number"] for _, fields in page)
        start = "(" + page[-1][0]
    missing = [order for order in kept if order["number"] not in there]
    for order in missing:
        client.xadd(key, order)
    return len(missing)
""",
    """
def restore(client, key, kept):
    there = {fields.get("number") for _, fields in client.xrevrange(key)}
    missing = [order for order in kept if order["number"] not in there]
    pipe = client.pipeline(transaction=False)
    for order in missing:
        pipe.xadd(key, order)
    return len(pipe.execute())
""",
    """
def restore(client, key, kept):
    before = client.xlen(key)
    there = {fields["number"] for _, fields in client.xrange(key)}
    for order in kept:
        if order["number"] not in there:
            client.xadd(key, order)
    return client.xlen(key) - before
""",
    """
def restore(client, key, kept):
    reply = client.xread({key: "0"})
    entries = reply[0][1] if reply else []
    there = {fields["number"] for _, fields in entries}
    missing = [order for order in kept if order["number"] not in there]
    for order in missing:
        client.xadd(key, order)
    return len(missing)
""",
    """
def restore(client, key, kept):
    there = set(map(lambda entry: entry[1]["number"], client.xrange(key)))
    ids = []
    for order in filter(lambda order: order["number"] not in there, kept):
        ids.append(client.xadd(key, order, id="*"))
    return len(ids)
""",
    """
def restore(client, key, kept):
    def is_there(number):
        return any(fields["number"] == number for _, fields in client.xrange(key))
    return sum(bool(client.xadd(key, order)) for order in kept if not is_there(order["number"]))
""",
]

WRONG = [
    Wrong(
        """
def restore(client, key, kept):
    for order in kept:
        client.xadd(key, order)
    return len(kept)
""",
        "it returned 6, not 0",
    ),
    Wrong(
        """
def restore(client, key, kept):
    n = len(kept) - client.xlen(key)
    for order in kept[len(kept) - n:]:
        client.xadd(key, order)
    return n
""",
        "return how many orders it has added",
    ),
    Wrong(
        """
def restore(client, key, kept):
    there = {order["number"] for _, order in client.xrange(key)}
    for order in kept:
        if order["number"] not in there:
            client.xadd(key, order)
""",
        "it returned None, not 0",
    ),
    Wrong(
        """
def restore(client, key, kept):
    n = len(kept) - sum(not f["number"].startswith("x") for _, f in client.xrange(key))
    if n:
        client.delete(key)
        for order in kept:
            client.xadd(key, order)
    return n
""",
        "delete nothing",
    ),
    Wrong(
        """
def restore(client, key, kept):
    there = {order["number"] for _, order in client.xrange(key)}
    missing = [order for order in kept if order["number"] not in there]
    for order in reversed(missing):
        client.xadd(key, order)
    return len(missing)
""",
        "in another order than before",
    ),
    Wrong(
        """
def restore(client, key, kept):
    there = {order["number"] for _, order in client.xrange(key)}
    missing = [order["number"] for order in kept if order["number"] not in there]
    for number in missing:
        client.xadd(key, {"number": number})
    return len(missing)
""",
        "add the fields as they were kept",
    ),
    Wrong(
        """
def restore(client, key, kept):
    there = {order["number"] for _, order in client.xrange(key)}
    missing = [order for order in kept if order["number"] not in there]
    for order in missing[:2]:
        client.xadd(key, order)
    return len(missing)
""",
        "order 3 was added 0 times",
    ),
    Wrong(
        """
def restore(client, key, kept):
    there = {order["number"] for _, order in client.xrange(key)}
    missing = [order for order in kept if order["number"] not in there]
    for order in missing:
        client.xadd(key, order)
        client.xadd(key, order)
    return len(missing)
""",
        "was added 2 times",
    ),
    Wrong("", "There is no answer yet"),
    Wrong("restore = None", "None is not a function"),
]

COPY_RIGHT = [
    f"""
def add_copied(client, key, order):
    {body}
"""
    for body in (
        "client.xadd(key, order); return client.wait(1, 50) >= 1",
        "client.xadd(key, order); return client.wait(1, 50) > 0",
        "client.xadd(key, order); return bool(client.wait(1, 50))",
        "client.xadd(key, order); return client.wait(num_replicas=1, timeout=50) != 0",
        "client.xadd(name=key, fields=order); n = client.wait(1, 20); return n >= 1",
        "client.xadd(key, order); return client.execute_command('WAIT', 1, 50) >= 1",
        "client.pipeline().xadd(key, order).execute(); return client.wait(1, 50) > 0",
        "client.xadd(key, order); return True if client.wait(1, 50) else False",
        "client.xadd(key, order, id='*'); return not client.wait(1, 50) == 0",
        "entry_id = client.xadd(key, dict(order)); return entry_id is not None and client.wait(1, 50) >= 1",
    )
]

COPY_WRONG = [Wrong("", "There is no answer yet"), Wrong("add_copied = None", "None is not a function")]
COPY_WRONG += [
    Wrong(f"def add_copied(client, key, order): {body}", says)
    for body, says in (
        ("client.xadd(key, order); return client.wait(1, 50)", "it returned 1, not True"),
        ("client.xadd(key, order); return client.wait(1, 50) == 1", "it returned False, not True"),
        ("client.xadd(key, order); return client.wait(1, 0) >= 1", "with 0 it would wait for ever"),
        ("client.xadd(key, order); return client.wait(2, 50) >= 1", "one replica, and 50 ms"),
        ("client.xadd(key, order); return True", "it does not ask for a copy"),
        ("n = client.wait(1, 50); client.xadd(key, order); return n >= 1", "it does not ask for a copy after XADD"),
        ("return client.wait(1, 50) >= 1", "the order is not in the stream"),
        ("client.xadd(key, order)", "it does not ask for a copy"),
        ("client.xadd(key, order); client.wait(1, 50)", "it returned None, not True"),
    )
]
COPY_WRONG += [
    Wrong(
        """
def add_copied(client, key, order):
    client.xadd(key, order)
    if client.wait(1, 50):
        return True
    client.xadd(key, order)
    return client.wait(1, 50) >= 1
""",
        "WAIT undoes nothing",
    ),
    Wrong(
        """
def add_copied(client, key, order):
    entry_id = client.xadd(key, order)
    if not client.wait(1, 50):
        client.xdel(key, entry_id)
        return False
    return True
""",
        "tell, and leave it",
    ),
]

EXERCISES = [
    Exercise(verdict="checks.asks_for_copy(", right=COPY_RIGHT, wrong=COPY_WRONG),
    Exercise(verdict="checks.restores(", right=RIGHT, wrong=WRONG),
]
