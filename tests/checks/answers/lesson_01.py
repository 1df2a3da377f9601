"""Answers to the exercises of lesson 01: right ones in other styles, and likely wrong ones."""

from tests.checks.answers import Exercise, Wrong

_PAGES = Exercise(
    verdict="checks.pages(",
    right=[
        # The lesson's own way: an exclusive start.
        """
def pages(client, key, size):
    start = "-"
    while True:
        page = client.xrange(key, start, "+", count=size)
        if not page:
            return
        yield page
        start = "(" + page[-1][0]
""",
        # A list of pages.
        """
def pages(client, key, size):
    found = []
    page = client.xrange(key, count=size)
    while len(page) > 0:
        found.append(page)
        page = client.xrange(key, min=f"({page[-1][0]}", max="+", count=size)
    return found
""",
        # With an assignment expression.
        """
def pages(client, key, size):
    last = "0"
    while page := client.xrange(key, f"({last}", "+", size):
        yield page
        last = page[-1][0]
""",
        # By XREAD, which is exclusive by itself.
        """
def pages(client, key, size):
    last_id = "0"
    while reply := client.xread({key: last_id}, count=size):
        entries = reply[0][1]
        yield entries
        last_id = entries[-1][0]
""",
        # XREAD into a list.
        """
def pages(client, key, size):
    all_pages, last_id = [], "0-0"
    while True:
        reply = client.xread({key: last_id}, count=size)
        if not reply:
            return all_pages
        ((_, entries),) = reply
        all_pages.append(entries)
        last_id, _ = entries[-1]
""",
        # The next sequence number, by hand: for servers without exclusive ranges.
        """
def pages(client, key, size):
    start = "-"
    while page := client.xrange(key, start, "+", count=size):
        yield page
        ms, sequence = page[-1][0].split("-")
        start = f"{ms}-{int(sequence) + 1}"
""",
        # A full page is followed by another one; a page that is not full is the last.
        """
def pages(client, key, size):
    found, start = [], "-"
    while True:
        page = client.xrange(key, start, count=size)
        if page:
            found.append(page)
        if len(page) < size:
            return found
        start = f"({page[-1][0]}"
""",
        # Calling itself.
        """
def pages(client, key, size, start="-"):
    page = client.xrange(key, start, count=size)
    return [page, *pages(client, key, size, f"({page[-1][0]}")] if page else []
""",
        # A generator that calls itself.
        """
def pages(client, key, size, start="-"):
    if page := client.xrange(key, start, count=size):
        yield page
        yield from pages(client, key, size, "(" + page[-1][0])
""",
        # From the end, and turned round.
        """
def pages(client, key, size):
    found, end = [], "+"
    while page := client.xrevrange(key, end, "-", count=size):
        found.insert(0, page[::-1])
        end = f"({page[-1][0]}"
    return found
""",
        # A raw command, and tuples for pages.
        """
def pages(client, key, size):
    start = "-"
    while page := client.execute_command("XRANGE", key, start, "+", "COUNT", size):
        yield tuple(page)
        start = f"({page[-1][0]}"
""",
        # An object that is called.
        """
class Pages:
    def __call__(self, client, key, size):
        page = client.xrange(key, count=size)
        while page:
            yield page
            page = client.xrange(key, f"({page[-1][0]}", count=size)

pages = Pages()
""",
        # One page more is asked for than handed out, a page ahead.
        """
def pages(client, key, size):
    following = client.xrange(key, count=size)
    while following:
        page, following = following, client.xrange(key, f"({following[-1][0]}", count=size)
        yield page
""",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("pages = None", "None is not a function"),
        Wrong("def pages(client, key, size):\n    pass", "without `return`"),
        Wrong("pages = 3", "3 is not a function"),
        Wrong("def pages(client, key):\n    return []", "cannot be called with 3 arguments"),
        Wrong("def pages(client, key, size):\n    return client.xlen(key)", "return a list of pages"),
        Wrong("def pages(client, key, size):\n    return client.xrangee(key)", "in small letters"),
        Wrong("def pages(client, key, size):\n    return [client.xrange(key)]", "give XRANGE a count"),
        Wrong("async def pages(client, key, size):\n    return []", "without await"),
        # The mistake that the lesson warns of: a page begins with the last entry of the one before.
        Wrong(
            """
def pages(client, key, size):
    page = client.xrange(key, count=size)
    while page:
        yield page
        page = client.xrange(key, page[-1][0], count=size)
""",
            "unless ( stands before it",
        ),
        # The same page for ever.
        Wrong(
            """
def pages(client, key, size):
    found = []
    while page := client.xrange(key, count=size):
        found.append(page)
    return found
""",
            "begin after the last id of the one before",
        ),
        # The first page only.
        Wrong("def pages(client, key, size):\n    return [client.xrange(key, count=size)]", "page after page"),
        # All at once, cut into pages.
        Wrong(
            """
def pages(client, key, size):
    entries = client.xrange(key)
    return [entries[i : i + size] for i in range(0, len(entries), size)]
""",
            "give XRANGE a count",
        ),
        # All entries, in one list.
        Wrong(
            """
def pages(client, key, size):
    entries, start = [], "-"
    while page := client.xrange(key, start, count=size):
        entries += page
        start = "(" + page[-1][0]
    return entries
""",
            "not pages of them",
        ),
        # From the next millisecond on: several entries have the same.
        Wrong(
            """
def pages(client, key, size):
    start = "-"
    while page := client.xrange(key, start, count=size):
        yield page
        start = int(page[-1][0].split("-")[0]) + 1
""",
            "the same millisecond",
        ),
        # The last page is empty.
        Wrong(
            """
def pages(client, key, size):
    start = "-"
    while True:
        page = client.xrange(key, start, count=size)
        yield page
        if not page:
            return
        start = "(" + page[-1][0]
""",
            "stop before you hand that one out",
        ),
        # The page after the last entry has no last entry.
        Wrong(
            """
def pages(client, key, size):
    page = client.xrange(key, count=size)
    last = page[-1][0]
    return [page]
""",
            "",
        ),
        # From the newest on.
        Wrong(
            """
def pages(client, key, size):
    end = "+"
    while page := client.xrevrange(key, end, "-", count=size):
        yield page
        end = "(" + page[-1][0]
""",
            "from the oldest on",
        ),
        # It waits for more.
        Wrong(
            """
def pages(client, key, size):
    last_id = "0"
    while reply := client.xread({key: last_id}, count=size, block=1000):
        yield reply[0][1]
        last_id = reply[0][1][-1][0]
""",
            "leave out block=",
        ),
        # Ids in place of entries.
        Wrong(
            """
def pages(client, key, size):
    start = "-"
    while page := client.xrange(key, start, count=size):
        yield [entry_id for entry_id, _ in page]
        start = "(" + page[-1][0]
""",
            "a page is what XRANGE returns",
        ),
        # It never ends.
        Wrong("def pages(client, key, size):\n    import sys\n    sys.exit()", "use return"),
    ],
)

_BOOKMARK = Exercise(
    verdict="checks.bookmark(",
    right=[
        """
def read_new(client, key, last_id):
    reply = client.xread({key: last_id})
    if not reply:
        return [], last_id
    entries = reply[0][1]
    return entries, entries[-1][0]
""",
        """
def read_new(client, key, last_id):
    for _, entries in client.xread({key: last_id}):
        return entries, entries[-1][0]
    return [], last_id
""",
        """
def read_new(client, key, last_id):
    entries = client.xrange(key, f"({last_id}")
    return entries, (entries[-1][0] if entries else last_id)
""",
        """
def read_new(client, key, last_id):
    entries = client.xrange(key, "(" + last_id, "+")
    for entry_id, _ in entries:
        last_id = entry_id
    return entries, last_id
""",
        """
def read_new(client, key, last_id):
    try:
        ((_, entries),) = client.xread({key: last_id})
    except ValueError:
        return [], last_id
    return entries, entries[-1][0]
""",
        # In steps.
        """
def read_new(client, key, last_id):
    entries = []
    while reply := client.xread({key: last_id}, count=2):
        entries += reply[0][1]
        last_id = entries[-1][0]
    return entries, last_id
""",
        # A list of two.
        """
def read_new(client, key, last_id):
    entries = dict(client.xread({key: last_id}) or []).get(key, [])
    return [entries, entries[-1][0] if entries else last_id]
""",
        # A tuple of entries.
        """
def read_new(client, key, last_id):
    entries = tuple(client.xrange(key, f"({last_id}", "+"))
    return entries, entries[-1][0] if entries else last_id
""",
        # By a largest id, compared as numbers.
        """
def read_new(client, key, last_id):
    entries = client.xrange(key, f"({last_id}")
    ids = [last_id, *(entry_id for entry_id, _ in entries)]
    return entries, max(ids, key=lambda i: tuple(map(int, f"{i}-0".split("-")[:2])))
""",
        # A raw command.
        """
def read_new(client, key, last_id):
    reply = client.execute_command("XREAD", "COUNT", 1000, "STREAMS", key, last_id)
    entries = reply[0][1] if reply else []
    return entries, entries[-1][0] if entries else last_id
""",
        # 0-0 for 0 is the same bookmark.
        """
def read_new(client, key, last_id):
    last_id = "0-0" if last_id == "0" else last_id
    reply = client.xread(streams={key: last_id})
    entries = [entry for _, entries in reply for entry in entries]
    return entries, [last_id, *(entry_id for entry_id, _ in entries)][-1]
""",
        # In a lambda.
        """
read_new = lambda client, key, last_id: (
    lambda entries: (entries, ([(last_id, {})] + entries)[-1][0])
)(client.xrange(key, f"({last_id}"))
""",
    ],
    wrong=[
        Wrong("", "There is no answer yet."),
        Wrong("read_new = None", "None is not a function"),
        Wrong("def read_new(client, key, last_id):\n    client.xread({key: last_id})", "without `return`"),
        Wrong("read_new = []", "is not a function"),
        Wrong("def read_new(client, key):\n    return [], '0'", "cannot be called with 3 arguments"),
        Wrong("def read_new(client, key, last_id):\n    return 1 / 0", "ZeroDivisionError"),
        # The call that finds nothing new.
        Wrong(
            """
def read_new(client, key, last_id):
    entries = client.xread({key: last_id})[0][1]
    return entries, entries[-1][0]
""",
            "mind the case that there is nothing",
        ),
        # $ forgets what comes between two calls.
        Wrong("def read_new(client, key, last_id):\n    return [], '$'", "From $"),
        Wrong(
            """
def read_new(client, key, last_id):
    reply = client.xread({key: "$"})
    entries = reply[0][1] if reply else []
    return entries, entries[-1][0] if entries else last_id
""",
            "without COUNT, from the last_id that was given",
        ),
        # The bookmark never moves.
        Wrong(
            """
def read_new(client, key, last_id):
    reply = client.xread({key: last_id})
    return (reply[0][1] if reply else []), last_id
""",
            "entries[-1][0]",
        ),
        # The first id for the last.
        Wrong(
            """
def read_new(client, key, last_id):
    reply = client.xread({key: last_id})
    entries = reply[0][1] if reply else []
    return entries, entries[0][0] if entries else last_id
""",
            "entries[-1][0]",
        ),
        # From the beginning, each time.
        Wrong(
            """
def read_new(client, key, last_id):
    entries = client.xrange(key)
    return entries, entries[-1][0] if entries else last_id
""",
            "XREAD gives what comes after last_id",
        ),
        # XRANGE includes where it begins.
        Wrong(
            """
def read_new(client, key, last_id):
    entries = client.xrange(key, last_id)
    return entries, entries[-1][0] if entries else last_id
""",
            "XRANGE includes it",
        ),
        # One at a time.
        Wrong(
            """
def read_new(client, key, last_id):
    reply = client.xread({key: last_id}, count=1)
    return (reply[0][1], reply[0][1][-1][0]) if reply else ([], last_id)
""",
            "without COUNT",
        ),
        # It waits.
        Wrong(
            """
def read_new(client, key, last_id):
    reply = client.xread({key: last_id}, block=100)
    return (reply[0][1], reply[0][1][-1][0]) if reply else ([], last_id)
""",
            "leave out block=",
        ),
        # The reply as it is.
        Wrong(
            """
def read_new(client, key, last_id):
    reply = client.xread({key: last_id})
    return reply, reply[0][1][-1][0] if reply else last_id
""",
            "reply[0][1]",
        ),
        # The wrong way round; entries only.
        Wrong(
            """
def read_new(client, key, last_id):
    reply = client.xread({key: last_id})
    return (reply[0][1][-1][0], reply[0][1]) if reply else (last_id, [])
""",
            "the entries first",
        ),
        Wrong(
            """
def read_new(client, key, last_id):
    return client.xrange(key, f"({last_id}")
""",
            "return two things",
        ),
        # None when there is nothing.
        Wrong(
            """
def read_new(client, key, last_id):
    reply = client.xread({key: last_id})
    if reply:
        return reply[0][1], reply[0][1][-1][0]
""",
            "without `return`",
        ),
        # Tries until something comes.
        Wrong(
            """
def read_new(client, key, last_id):
    while not (reply := client.xread({key: last_id})):
        pass
    return reply[0][1], reply[0][1][-1][0]
""",
            "it need not be asked again",
        ),
    ],
)

EXERCISES = [_PAGES, _BOOKMARK]
