"""Answers to the exercises of lesson 10: right ones in other styles, and likely wrong ones."""

from __future__ import annotations

from tests.checks.answers import Exercise, Wrong

BOOK_RIGHT = [
    """
def book_order(db, entry_id, order):
    with db:
        new = db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order).rowcount
        if new:
            add = "UPDATE accounts SET total = total + :amount WHERE customer = :customer"
            db.execute(add, order)
""",
    """
def book_order(db, entry_id, order):
    try:
        with db:
            db.execute("INSERT INTO booked VALUES (?)", (order["number"],))
            db.execute(
                "UPDATE accounts SET total = total + ? WHERE customer = ?",
                (int(order["amount"]), order["customer"]),
            )
    except sqlite3.IntegrityError:
        pass
""",
    """
def book_order(db, entry_id, order):
    cursor = db.cursor()
    cursor.execute("INSERT OR IGNORE INTO booked (number) VALUES (?)", [order["number"]])
    if cursor.rowcount:
        cursor.execute("UPDATE accounts SET total = total + ? WHERE customer = ?",
                       [order["amount"], order["customer"]])
    db.commit()
""",
    """
def book_order(db, entry_id, order):
    try:
        db.execute("INSERT INTO booked VALUES (:number)", order)
        db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
        db.commit()
    except sqlite3.IntegrityError:
        db.rollback()
""",
    """
def book_order(db, entry_id, order):  # looks first; the primary key decides all the same
    if db.execute("SELECT 1 FROM booked WHERE number = :number", order).fetchone():
        return
    with db:
        db.execute("INSERT INTO booked VALUES (:number)", order)
        db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
    """
def book_order(db, entry_id, order):  # the effect first: the second statement undoes both
    try:
        with db:
            db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
            db.execute("INSERT INTO booked VALUES (:number)", order)
    except sqlite3.IntegrityError:
        return
""",
    """
def book_order(db, entry_id, order):
    with db:
        db.execute("BEGIN IMMEDIATE")
        seen = db.execute("SELECT count(*) FROM booked WHERE number = ?", [order["number"]])
        if seen.fetchone()[0] == 0:
            db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
            db.execute("INSERT INTO booked VALUES (:number)", order)
""",
    """
def book_order(db, entry_id, order):
    db.isolation_level = None
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT OR IGNORE INTO booked VALUES (?)", (order["number"],))
    if db.execute("SELECT changes()").fetchone() == (1,):
        db.execute("UPDATE accounts SET total = total + ? WHERE customer = ?", (order["amount"], order["customer"]))
    db.execute("COMMIT")
""",
    """
def book_order(db, entry_id, order):
    with db:
        before = db.total_changes
        db.execute("INSERT INTO booked VALUES (?) ON CONFLICT DO NOTHING", (order["number"],))
        if db.total_changes > before:
            db.executemany("UPDATE accounts SET total = total + ? WHERE customer = ?",
                           [(order["amount"], order["customer"])])
""",
    """
def book_order(db, entry_id, order):
    with db:
        db.execute('''UPDATE accounts SET total = total + :amount WHERE customer = :customer
                      AND NOT EXISTS (SELECT 1 FROM booked WHERE number = :number)''', order)
        db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order)
""",
    """
def book_order(db, entry_id, order):
    with db:
        if db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order).rowcount == 0:
            return False
        (total,) = db.execute("SELECT total FROM accounts WHERE customer = :customer", order).fetchone()
        total += int(order["amount"])
        db.execute("UPDATE accounts SET total = ? WHERE customer = ?", (total, order["customer"]))
        return True
""",
    """
class Books:
    def __call__(self, db, entry_id, order):
        with db:
            if self.is_new(db, order["number"]):
                db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)

    def is_new(self, db, number):
        try:
            db.execute("INSERT INTO booked VALUES (?)", [number])
        except sqlite3.IntegrityError:
            return False
        return True


book_order = Books()
""",
]

BOOK_WRONG = [
    Wrong("", "There is no answer yet."),
    Wrong("book_order = None", "None is not a function"),
    Wrong("book_order = 'INSERT'", "is not a function"),
    Wrong("def book_order(db, order): pass", "leave the first line"),
    Wrong("async def book_order(db, entry_id, order): pass", "is an async function"),
    Wrong("def book_order(db, entry_id, order): pass", "UPDATE accounts, and commit"),
    Wrong("def book_order(db, entry_id, order): order['price']", "KeyError"),
    Wrong(
        "def book_order(db, entry_id, order): db.execute('UPDATE account SET total = 1')",
        "the tables are accounts (customer, total) and booked (number)",
    ),
    Wrong(  # remembers nothing
        """
def book_order(db, entry_id, order):
    with db:
        db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "INSERT its number into booked together with the effect",
    ),
    Wrong(  # the lesson's first sink: the entry's id
        """
def book_order(db, entry_id, order):
    with db:
        if db.execute("INSERT OR IGNORE INTO booked VALUES (?)", [entry_id]).rowcount:
            db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "remember order['number'], not entry_id",
    ),
    Wrong(  # remembers, and does not look
        """
def book_order(db, entry_id, order):
    with db:
        db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order)
        db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "OR IGNORE and a rowcount of 0",
    ),
    Wrong(  # never commits
        """
def book_order(db, entry_id, order):
    if db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order).rowcount:
        db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "What is not committed is undone",
    ),
    Wrong(  # two transactions, the memory first
        """
def book_order(db, entry_id, order):
    with db:
        new = db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order).rowcount
    if new:
        with db:
            db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "remembered and not booked: do both in one transaction",
    ),
    Wrong(  # two transactions, the effect first
        """
def book_order(db, entry_id, order):
    if db.execute("SELECT 1 FROM booked WHERE number = :number", order).fetchone():
        return
    db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
    db.commit()
    db.execute("INSERT INTO booked VALUES (:number)", order)
    db.commit()
""",
        "booked and not remembered: do both in one transaction",
    ),
    Wrong(  # without transactions at all
        """
def book_order(db, entry_id, order):
    db.isolation_level = None
    if db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order).rowcount:
        db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "remembered and not booked: do both in one transaction",
    ),
    Wrong(  # a look, and room for a zombie
        """
def book_order(db, entry_id, order):
    if not db.execute("SELECT 1 FROM booked WHERE number = :number", order).fetchone():
        with db:
            db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
            db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order)
""",
        "a zombie comes between them",
    ),
    Wrong(  # the memory of a process
        """
seen = set()


def book_order(db, entry_id, order):
    if order["number"] not in seen:
        seen.add(order["number"])
        with db:
            db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "what a process remembers dies with it",
    ),
    Wrong(  # the second delivery is an error
        """
def book_order(db, entry_id, order):
    with db:
        db.execute("INSERT INTO booked VALUES (:number)", order)
        db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "an order that is booked already is no error",
    ),
    Wrong(  # sets instead of adding
        """
def book_order(db, entry_id, order):
    with db:
        if db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order).rowcount:
            db.execute("UPDATE accounts SET total = :amount WHERE customer = :customer", order)
""",
        "SET total = total + ?",
    ),
    Wrong(  # everybody pays
        """
def book_order(db, entry_id, order):
    with db:
        if db.execute("INSERT OR IGNORE INTO booked VALUES (:number)", order).rowcount:
            db.execute("UPDATE accounts SET total = total + :amount", order)
""",
        "of this customer only",
    ),
    Wrong(  # takes two orders for one
        """
def book_order(db, entry_id, order):
    with db:
        what = order["customer"] + order["amount"]
        if db.execute("INSERT OR IGNORE INTO booked VALUES (?)", [what]).rowcount:
            db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
""",
        "it is the number that tells orders apart",
    ),
    Wrong(  # swallows what goes wrong, and half of it stays
        """
def book_order(db, entry_id, order):
    try:
        db.execute("INSERT INTO booked VALUES (:number)", order)
        db.commit()
        db.execute("UPDATE accounts SET total = total + :amount WHERE customer = :customer", order)
        db.commit()
    except BaseException:
        pass
""",
        "remembered and not booked",
    ),
]

ADD_RIGHT = [
    """
def add_once(client, key, order):
    numbers = [fields["number"] for _, fields in client.xrange(key)]
    if order["number"] not in numbers:
        client.xadd(key, order)
""",
    """
def add_once(client, key, order):
    for _, fields in client.xrange(key):
        if fields["number"] == order["number"]:
            return
    client.xadd(key, order)
""",
    """
def add_once(client, key, order):  # no two orders have the same fields
    if order not in [fields for _, fields in client.xrange(key)]:
        client.xadd(key, order)
""",
    """
def add_once(client, key, order):  # from the end: that is where it will be
    if any(fields.get("number") == order["number"] for _, fields in client.xrevrange(key)):
        return None
    return client.xadd(key, order)
""",
    """
def add_once(client, key, order):  # page by page
    start = "-"
    while page := client.xrange(key, start, count=2):
        if any(fields["number"] == order["number"] for _, fields in page):
            return
        start = "(" + page[-1][0]
    client.xadd(key, order)
""",
    """
def add_once(client, key, order):  # tries again by itself
    while True:
        try:
            if not any(f["number"] == order["number"] for _, f in client.xrange(key)):
                client.xadd(key, order)
            return
        except redis.ConnectionError:
            continue
""",
    """
def add_once(client, key, order):  # remembers in the same transaction
    if not client.sismember(key + ":seen", order["number"]):
        with client.pipeline(transaction=True) as multi:
            multi.sadd(key + ":seen", order["number"])
            multi.xadd(key, order)
            multi.execute()
""",
    """
def add_once(client, key, order):  # … and watches, should two producers have the same order
    with client.pipeline() as pipe:
        pipe.watch(key + ":seen")
        if pipe.hexists(key + ":seen", order["number"]):
            return
        pipe.multi()
        pipe.hset(key + ":seen", order["number"], "1")
        pipe.xadd(key, order)
        pipe.execute()
""",
    """
def is_there(client, key, number):
    reply = client.xread({key: "0"})
    return bool(reply) and number in {fields["number"] for _, fields in reply[0][1]}


def add_once(client, key, order):
    if not is_there(client, key, order["number"]):
        client.xadd(key, order)
""",
    """
def add_once(client, key, order):
    found = {fields["number"]: entry_id for entry_id, fields in client.xrange(key, "-", "+")}
    return found.get(order["number"]) or client.xadd(key, order, id="*")
""",
    """
def add_once(client, key, order):
    try:
        there = [f for _, f in client.xrange(key) if f["number"] == order["number"]]
        if not there:
            client.xadd(key, order)
    except redis.ConnectionError as error:
        raise redis.ConnectionError("try again") from error
""",
    """
add_once = lambda client, key, order: (
    order["number"] in (f["number"] for _, f in client.xrange(key)) or client.xadd(key, order)
)
""",
]

ADD_WRONG = [
    Wrong("", "There is no answer yet."),
    Wrong("add_once = None", "None is not a function"),
    Wrong("add_once = 3", "is not a function"),
    Wrong("def add_once(client, order): pass", "leave the first line"),
    Wrong("async def add_once(client, key, order): pass", "is an async function"),
    Wrong("def add_once(client, key, order): pass", "add it: client.xadd(key, order)"),
    Wrong("def add_once(client, key, order): order['nr']", "KeyError"),
    Wrong(  # as one begins
        "def add_once(client, key, order): client.xadd(key, order)", "in the stream (XRANGE) before XADD"
    ),
    Wrong(  # what redis-py does silently
        """
def add_once(client, key, order):
    while True:
        try:
            return client.xadd(key, order)
        except redis.ConnectionError:
            pass
""",
        "in the stream (XRANGE) before XADD",
    ),
    Wrong(  # takes the error for an "it was not added, never mind"
        """
def add_once(client, key, order):
    try:
        client.xadd(key, order)
    except redis.ConnectionError:
        pass
""",
        "an error does not say that XADD was executed",
    ),
    Wrong(  # looks only after an error, and the next call does not know of it
        """
def add_once(client, key, order):
    try:
        client.xadd(key, order)
    except redis.ConnectionError:
        if order not in [fields for _, fields in client.xrange(key)]:
            client.xadd(key, order)
""",
        "at the beginning of every call",
    ),
    Wrong(  # others add theirs meanwhile
        """
def add_once(client, key, order):
    last = client.xrevrange(key, count=1)
    if not last or last[0][1]["number"] != order["number"]:
        client.xadd(key, order)
""",
        "other producers have added theirs meanwhile",
    ),
    Wrong(  # looks at the first page only
        """
def add_once(client, key, order):
    if order not in [fields for _, fields in client.xrange(key, count=10)]:
        client.xadd(key, order)
""",
        "In all of it",
    ),
    Wrong(  # remembers first
        """
def add_once(client, key, order):
    if client.sadd(key + ":seen", order["number"]):
        client.xadd(key, order)
""",
        "look in the stream (XRANGE), and add what is missing",
    ),
    Wrong(  # remembers afterwards
        """
def add_once(client, key, order):
    if not client.sismember(key + ":seen", order["number"]):
        client.xadd(key, order)
        client.sadd(key + ":seen", order["number"])
""",
        "in the stream (XRANGE) before XADD",
    ),
    Wrong(  # remembers in the process
        """
sent = set()


def add_once(client, key, order):
    if order["number"] not in sent:
        sent.add(order["number"])
        client.xadd(key, order)
""",
        "look in the stream (XRANGE), and add what is missing",
    ),
    Wrong(  # an id that others have passed by
        """
def add_once(client, key, order):
    client.xadd(key, order, id=order["number"] + "-1")
""",
        "let Redis give the id",
    ),
    Wrong(  # … and takes the refusal for a proof
        """
def add_once(client, key, order):
    try:
        client.xadd(key, order, id=order["number"] + "-1")
    except redis.ResponseError:
        pass
""",
        "and add what is missing",
    ),
    Wrong(  # the amount tells nothing
        """
def add_once(client, key, order):
    if order["amount"] not in [fields["amount"] for _, fields in client.xrange(key)]:
        client.xadd(key, order)
""",
        "order 2 is not in the stream",
    ),
    Wrong(  # texts are no numbers
        """
def add_once(client, key, order):
    if int(order["number"]) not in [fields["number"] for _, fields in client.xrange(key)]:
        client.xadd(key, order)
""",
        "look for its number (a text)",
    ),
    Wrong("def add_once(client, key, order): client.xadd(key, order, idmp=('p', order['number']))", "is a Redis 7.0"),
    Wrong("def add_once(client, key, order): client.eval('return 1', 0)", "take single commands"),
    Wrong(  # repairs afterwards what others may have read by now
        """
def add_once(client, key, order):
    client.xadd(key, order)
    for entry_id, fields in client.xrange(key)[:-1]:
        if fields == order:
            client.xdel(key, entry_id)
""",
        "somebody may have read them by then",
    ),
    Wrong(  # loses fields
        """
def add_once(client, key, order):
    if order["number"] not in [fields["number"] for _, fields in client.xrange(key)]:
        client.xadd(key, {"number": order["number"]})
""",
        "add the fields as given",
    ),
    Wrong(  # gives up after its own three tries, with an error of its own
        """
def add_once(client, key, order):
    for _ in range(3):
        try:
            if order not in [fields for _, fields in client.xrange(key)]:
                client.xadd(key, order)
            return
        except redis.ConnectionError:
            pass
""",
        "and add what is missing",
    ),
]

EXERCISES = [
    Exercise(verdict="checks.books_once(", right=BOOK_RIGHT, wrong=BOOK_WRONG),
    Exercise(verdict="checks.adds_once(", right=ADD_RIGHT, wrong=ADD_WRONG),
]
