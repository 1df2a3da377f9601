"""Answers to the exercises of lesson 09: a recovery that runs itself, and a heartbeat."""

from tests.checks.answers import Exercise, Wrong

_RENEW = """
def renew(client, key, group, consumer):
    {body}
"""

_BY_PAGES = """
def renew(client, key, group, consumer):
    renewed, start = [], "-"
    while True:
        lines = client.xpending_range(key, group, start, "+", {count}, consumername=consumer)
        ids = [line["message_id"] for line in lines]
        if not ids:
            return renewed
        renewed += client.xclaim(key, group, consumer, 0, ids, justid=True)
        start = "(" + ids[-1]
"""

_WALRUS = """
def renew(client, key, group, consumer):
    renewed, last = [], None
    while page := client.xpending_range(
        key, group, min=f"({last}" if last else "-", max="+", count=25, consumername=consumer
    ):
        last = page[-1]["message_id"]
        renewed.extend(
            client.xclaim(key, group, consumer, 0, [p["message_id"] for p in page], justid=True)
        )
    return renewed
"""

_AS_MANY_AS_IT_HAS = """
def renew(client, key, group, consumer):
    n = next((c["pending"] for c in client.xinfo_consumers(key, group) if c["name"] == consumer), 0)
    if n == 0:
        return []
    lines = client.xpending_range(key, group, "-", "+", n, consumer)
    return client.xclaim(key, group, consumer, 0, [p["message_id"] for p in lines], justid=True)
"""

_AS_MANY_AS_ARE_PENDING = """
def renew(client, key, group, consumer):
    summary = client.xpending(key, group)
    if not summary["pending"]:
        return []
    lines = client.xpending_range(key, group, summary["min"], summary["max"], summary["pending"])
    ids = [p["message_id"] for p in lines if p["consumer"] == consumer]
    return client.xclaim(key, group, consumer, 0, ids, justid=True) if ids else []
"""

_ONE_BY_ONE = """
def renew(client, key, group, consumer):
    own = []
    for line in client.xpending_range(key, group, "-", "+", 100_000, consumername=consumer):
        own += client.xclaim(key, group, consumer, 0, [line["message_id"]], justid=True)
    return own
"""

_IN_A_PIPELINE = """
def renew(client, key, group, consumer):
    lines = client.xpending_range(key, group, "-", "+", 100_000, consumername=consumer)
    pipe = client.pipeline(transaction=False)
    for line in lines:
        pipe.xclaim(key, group, consumer, 0, [line["message_id"]], justid=True)
    return [entry_id for reply in pipe.execute() for entry_id in reply]
"""

_RAW = """
def renew(client, key, group, consumer):
    lines = client.xpending_range(key, group, "-", "+", 100_000, consumer)
    ids = [line["message_id"] for line in lines]
    if not ids:
        return []
    return client.execute_command(
        "XCLAIM", key, group, consumer, 0, *ids, "JUSTID", parse_justid=True
    )
"""

_RECURSIVE = """
def renew(client, key, group, consumer, start="-"):
    page = client.xpending_range(key, group, start, "+", 40, consumername=consumer)
    if not page:
        return []
    ids = [line["message_id"] for line in page]
    own = client.xclaim(key, group, consumer, 0, ids, justid=True)
    return own + renew(client, key, group, consumer, f"({ids[-1]}")
"""

_WITHOUT_WHAT_IS_GONE = """
def renew(client, key, group, consumer):
    lines = client.xpending_range(key, group, "-", "+", 100_000, consumername=consumer)
    ids = [line["message_id"] for line in lines]
    there = [entry_id for entry_id in ids if client.xrange(key, entry_id, entry_id)]
    if there:
        client.xclaim(key, group, consumer, 0, there, justid=True)
    return there
"""

_IDLE_ZERO = _BY_PAGES.format(count=100).replace("justid=True", "idle=0, justid=True")

_A_LINE = '[line["message_id"] for line in client.xpending_range(key, group, "-", "+", {count}{more})]'
_ALL = _A_LINE.format(count=100_000, more=", consumername=consumer")


def _at_once(claim: str, ids: str = _ALL, returns: str = "own") -> str:
    body = f"ids = {ids}\n    own = {claim} if ids else []\n    return {returns}"
    return _RENEW.format(body=body)


_CLAIM = "client.xclaim(key, group, consumer, 0, ids, justid=True)"

EXERCISES = [
    Exercise(
        verdict="checks.survives(",
        right=[
            'my_recovery = Recovery("autoclaim", min_idle=0.5, heartbeat=0.1)',
            'my_recovery = Recovery("autoclaim", min_idle=0.5, heartbeat=0.25)',
            'my_recovery = Recovery("claim", min_idle=0.5, heartbeat=0.1)',
            'my_recovery = Recovery("read-claim", min_idle=0.5, heartbeat=0.1)',
            'my_recovery = Recovery("nack", min_idle=0.5, heartbeat=0.1)',
            'my_recovery = Recovery(strategy="autoclaim", min_idle=0.3, interval=0.1, heartbeat=0.1)',
            'my_recovery = Recovery("autoclaim", min_idle=0.2, heartbeat=0.05, fenced=True)',
            'my_recovery = Recovery("autoclaim", heartbeat=0.1, restart_after=0.5)',
            'my_recovery = Recovery("claim", min_idle=0.1, heartbeat=0.02)',
            'my_recovery = Recovery("autoclaim", min_idle=0.5, heartbeat=0.1, max_deliveries=5)',
            'my_recovery = shop.with_recovery("autoclaim", heartbeat=0.1).recovery',
            'my_recovery = shop.with_recovery("claim", heartbeat=0.2).recovery',
            'my_recovery = STRATEGIES["restart + autoclaim"]',
        ],
        wrong=[
            Wrong("", "There is no answer yet."),
            Wrong("my_recovery = None", "None is not a Recovery"),
            Wrong('my_recovery = "autoclaim"', "is not a Recovery"),
            Wrong("my_recovery = Recovery", "is not a Recovery"),
            Wrong('my_recovery = shop.with_recovery("autoclaim", heartbeat=0.1)', "is not a Recovery"),
            # Nobody claims; and who would be started again comes after 3 s.
            Wrong("my_recovery = Recovery()", "1.5 s were asked for"),
            Wrong('my_recovery = Recovery("restart")', "1.5 s were asked for"),
            Wrong('my_recovery = Recovery("restart", restart_after=0.1)', "1.5 s were asked for"),
            # Without a heartbeat: too short for those who work for long, or too long for the dead.
            Wrong('my_recovery = Recovery("autoclaim")', "heartbeat"),
            Wrong('my_recovery = Recovery("autoclaim", min_idle=0.05)', "was taken from"),
            Wrong('my_recovery = Recovery("claim", min_idle=0.2)', "was taken from"),
            Wrong('my_recovery = Recovery("autoclaim", min_idle=0.9)', "1.5 s were asked for"),
            Wrong('my_recovery = Recovery("autoclaim", min_idle=1.2, interval=0.05)', "min_idle"),
            Wrong('my_recovery = Recovery("autoclaim", min_idle=3.0, heartbeat=0.1)', "look sooner"),
            Wrong(
                'my_recovery = Recovery("autoclaim", min_idle=0.5, interval=10.0, heartbeat=0.1)',
                "interval",
            ),
            # Milliseconds.
            Wrong('my_recovery = Recovery("autoclaim", min_idle=500, heartbeat=100)', "seconds"),
            Wrong('my_recovery = Recovery("autoclaim", min_idle=500)', "seconds"),
            Wrong('my_recovery = Recovery("autoclaim", min_idle=5000)', "seconds"),
        ],
    ),
    Exercise(
        verdict="checks.heartbeat(",
        right=[
            _BY_PAGES.format(count=10),
            _BY_PAGES.format(count=100),
            _WALRUS,
            _AS_MANY_AS_IT_HAS,
            _AS_MANY_AS_ARE_PENDING,
            _ONE_BY_ONE,
            _IN_A_PIPELINE,
            _RAW,
            _RECURSIVE,
            _WITHOUT_WHAT_IS_GONE,
            _IDLE_ZERO,
            _at_once(_CLAIM),
            _at_once(_CLAIM, returns="tuple(own)"),
            _at_once(_CLAIM, returns="set(own)"),
        ],
        wrong=[
            Wrong("", "There is no answer yet."),
            Wrong("renew = None", "not a function"),
            Wrong(_RENEW.format(body="return None"), "XCLAIM for the own name"),
            Wrong(_RENEW.format(body=f"return {_ALL}"), "XPENDING only looks"),
            Wrong(_at_once(_CLAIM, returns="None"), "it returned None"),
            Wrong(_at_once(_CLAIM, returns="len(own)"), "return a list of the ids"),
            Wrong(_at_once(_CLAIM, returns="ids"), "gone from the stream"),
            Wrong(_at_once(_CLAIM, returns="client.xrange(key, ids[0], ids[-1])"), "which is no id"),
            Wrong(_at_once(_CLAIM, returns="own[:1]"), "return what every XCLAIM gave"),
            # The mistakes that the lesson warns of.
            Wrong(_at_once("client.xclaim(key, group, consumer, 0, ids)"), "JUSTID"),
            Wrong(
                _at_once("client.xclaim(key, group, consumer, 0, ids, justid=True, retrycount=1)"),
                "RETRYCOUNT",
            ),
            Wrong(
                _RENEW.format(
                    body='((_, own),) = client.xreadgroup(group, consumer, {key: "0"})\n'
                    "    return [entry_id for entry_id, _ in own]"
                ),
                "reading the own history is a delivery",
            ),
            Wrong(
                _RENEW.format(body='client.xreadgroup(group, consumer, {key: ">"})\n    return []'),
                "XREADGROUP with >",
            ),
            Wrong(
                _RENEW.format(
                    body="return client.xautoclaim(key, group, consumer, 0, count=1000, justid=True)"
                ),
                "XAUTOCLAIM takes from everybody",
            ),
            Wrong(
                _at_once(_CLAIM, _A_LINE.format(count=100_000, more="")), "unless it is given a consumer"
            ),
            Wrong(
                _AS_MANY_AS_ARE_PENDING.replace('if p["consumer"] == consumer', "").replace(
                    "return client.xclaim(key, group, consumer, 0, ids",
                    "return client.xclaim(key, group, 'cem', 0, ids",
                ),
                "it took",
            ),
            Wrong(
                _at_once(_CLAIM, _A_LINE.format(count=10, more=", consumername=consumer")),
                "as many as its COUNT",
            ),
            Wrong(
                _at_once(_CLAIM, _A_LINE.format(count=100, more=", consumername=consumer")),
                "as many as its COUNT",
            ),
            Wrong(
                _at_once("client.xclaim(key, group, consumer, 90_000, ids, justid=True)"),
                "milliseconds",
            ),
            Wrong(_at_once(_CLAIM.replace("justid", "idle=60_000, justid")), "resets the idle time"),
            Wrong(_at_once(_CLAIM).replace(" if ids else []", ""), "it holds nothing"),
            Wrong(_AS_MANY_AS_IT_HAS.replace("n == 0", "n is None"), "it holds nothing"),
            Wrong(_BY_PAGES.format(count=100).replace('"(" + ', ""), "Behind the last id"),
            Wrong(
                _BY_PAGES.format(count=100).replace('        start = "(" + ids[-1]\n', ""),
                "Behind the last id",
            ),
            Wrong(_at_once(f"(client.xack(key, group, *ids), {_CLAIM})[1]"), "acknowledges nothing"),
            Wrong(
                _RENEW.format(
                    body="rows = client.xpending_range(key, group, '-', '+', 1000)\n"
                    "    for row in rows:\n"
                    "        client.xclaim(key, group, row['consumer'], 0, [row['message_id']], justid=True)\n"
                    "    return [row['message_id'] for row in rows if row['consumer'] == consumer]"
                ),
                "for one's own name only",
            ),
            Wrong(_at_once("client.xclaim(key, group, consumer, 0, ids, just_id=True)"), "TypeError"),
            Wrong(_at_once("client.xclaim(group, key, consumer, 0, ids, justid=True)"), "NOGROUP"),
            Wrong("async " + _at_once(_CLAIM).strip(), "async"),
            Wrong("def renew(client, key, group):\n    return []", "argument"),
        ],
    ),
]  # fmt: skip
