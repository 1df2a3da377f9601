"""Random commands: few keys, groups, consumers and ids, so that they meet; and some nonsense."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

from streamlab.model import StreamModel, format_id
from streamlab.model.commands import CommandError, StreamCommands

Args = list[str]

KEYS = ("s", "t", "plain", "missing")
GROUPS = ("g", "h", "nobody")
CONSUMERS = ("alice", "alice", "bob", "carol", "álvaro")
FIELDS = ("a", "b", "field", "7", "")
VALUES = ("1", "-4097", "70000", "x", "long" * 20, "ü", "", "007", "9223372036854775807", "\udcff")
MIN_IDLES = ("0", "0", "0", "0", "0", "0", "1000", "50000", "50000", "-1", "99999999999")
IDLES = ("0", "1000", "60000", "60000", "999999999999", "-5")
MAX_U64 = (1 << 64) - 1
NONSENSE_NUMBERS = ("x", "", "-1", "01", "1.0", "99999999999999999999", "9223372036854775807", " 1")
NONSENSE_IDS = (
    "x", "", "1-", "-1", "1-x", "1-1-1", "-", "+", "$", ">", "*", "1-*", "*-1", "(1-1", "(", "(-",
    "18446744073709551615-18446744073709551615", "18446744073709551616", "007-01", "+1-1", " 1-1",
    "-0-1", "1--1", "18446744073709551615-0", "0-18446744073709551615", "0-0", "1" * 130, "1-1\0",
    "li\r\nne",
)  # fmt: skip
# All but BLOCK: most commands are for a connection that must not block.
OPTIONS = (
    ("COUNT", "2"), ("COUNT",), ("FORCE",), ("JUSTID",), ("IDLE", "0"), ("TIME", "1"), ("LASTID", "9"),
    ("GROUP", "g", "bob"), ("NOACK",), ("STREAMS",), ("CLAIM", "0"), ("MAXLEN", "3"), ("MINID", "3"),
    ("LIMIT", "2"), ("NOMKSTREAM",), ("MKSTREAM", "MKSTREAM", "MKSTREAM"), ("ENTRIESREAD", "1"),
    ("FULL",), ("IDS", "1", "1-1"), ("ACKED",), ("RETRYCOUNT", "2"), ("x",), ("1-1",), ("0",),
)  # fmt: skip
REFERENCES = ("KEEPREF", "DELREF", "ACKED")


class Generator:
    """Commands drawn from a source of randomness, for servers of a version.

    Most of them are meant to succeed. So each is executed on a keyspace of the generator's own, and
    the next ones use what is there. (Whether that is right does not matter here.)
    """

    def __init__(self, rng: Random, version: tuple[int, int, int]) -> None:
        self.rng = rng
        self.version = version
        self.shadow = StreamCommands(version=version)
        self.now_ms = 1_000_000
        self.key_now = "s"
        self.makers: list[Callable[[], Args]] = [
            *[self.xadd] * 10,
            *[self.xreadgroup] * 9,
            *[self.xgroup] * 6,
            *[self.xack] * 4,
            *[self.xclaim] * 5,
            *[self.xautoclaim] * 4,
            *[self.xpending] * 5,
            *[self.xdel] * 3,
            *[self.xtrim] * 2,
            *[self.xinfo] * 6,
            *[self.xread] * 3,
            self.xlen,
            self.xrange,
            self.xsetid,
            self.keys,
        ]
        if version >= (8, 2, 0):
            self.makers += [*[self.xackdel] * 3, *[self.xdelex] * 3]

    def command(self) -> Args:
        """Make a command."""
        args = self.rng.choice(self.makers)()
        if self.chance(30):
            args = self.spoil(args)
        self.imagine(args)
        return args

    def imagine(self, args: Args) -> None:
        """Execute a command on the generator's own keyspace."""
        self.now_ms += 3
        with contextlib.suppress(CommandError):
            self.shadow.execute(args, self.now_ms, may_block=False)

    # --- choices ------------------------------------------------------------------------------

    def chance(self, one_in: int) -> bool:
        return self.rng.randrange(one_in) == 0

    def maybe(self, one_in: int, *options: str) -> Args:
        return list(options) if self.chance(one_in) else []

    def key(self) -> str:
        """Choose the key that is spoken of from now on."""
        usual = "t" if self.chance(5) else "s"
        self.key_now = self.rng.choice(KEYS) if self.chance(12) else usual
        return self.key_now

    def stream(self) -> StreamModel:
        stream = self.shadow.keys.get(self.key_now)
        return stream if isinstance(stream, StreamModel) else StreamModel()

    def group(self) -> str:
        groups = sorted(self.stream().groups)
        if not groups or self.chance(20):
            return self.rng.choice(GROUPS)
        return self.rng.choice(groups)

    def consumer(self) -> str:
        return self.rng.choice(CONSUMERS)

    def number(self, *usual: str) -> str:
        return self.rng.choice(NONSENSE_NUMBERS) if self.chance(30) else self.rng.choice(usual)

    def id(self) -> str:
        if self.chance(60):
            return self.rng.choice(NONSENSE_IDS)
        stream = self.stream()
        known = [entry_id for entry_id, _ in stream.range(count=20)]
        for group in stream.groups.values():
            known += list(group.pending)[:20]
        if known and not self.chance(4):
            return format_id(self.rng.choice(known))
        ms = self.rng.randrange(1, 7)
        return str(ms) if self.chance(12) else f"{ms}-{self.rng.randrange(3)}"

    def ids(self, at_most: int = 4) -> Args:
        return [self.id() for _ in range(self.rng.randrange(1, at_most + 1))]

    def start(self) -> str:
        return self.rng.choice(("-", "-", "-", self.id(), f"({self.id()}"))

    def end(self) -> str:
        return self.rng.choice(("+", "+", "+", self.id(), f"({self.id()}"))

    def count(self) -> Args:
        return self.maybe(3, "COUNT", self.number("1", "1", "2", "3", "10", "0", "-1"))

    def case(self, word: str) -> str:
        return word.lower() if self.chance(20) else word

    def spoil(self, args: Args) -> Args:
        """Take an argument away, double one, replace one by nonsense, or put in an option."""
        i = self.rng.randrange(1, len(args)) if len(args) > 1 else 0
        kind = self.rng.randrange(6)
        if kind == 0 and i:
            return args[:i] + args[i + 1 :]
        if kind == 1:
            return args[: i + 1] + args[i:]
        if kind == 2:
            return args[: i or 1]
        if kind == 3 and i:
            return [*args[:i], self.rng.choice(NONSENSE_IDS), *args[i + 1 :]]
        option = list(self.rng.choice(OPTIONS))
        if kind == 4 and i:
            return [*args[:i], *option, *args[i:]]
        return args + option

    def fields(self) -> Args:
        one = [self.rng.choice(FIELDS), self.rng.choice(VALUES)]
        return one * self.rng.choice((1, 1, 1, 2, 3))

    def trim(self) -> Args:
        how = self.maybe(2, self.rng.choice(("~", "=")))
        limit = self.maybe(5, "LIMIT", self.number("0", "1", "3", "100"))
        if self.chance(2):
            return ["MAXLEN", *how, self.number("0", "1", "2", "3", "5", "50", "100"), *limit]
        return ["MINID", *how, self.id(), *limit]

    def reference(self, one_in: int) -> Args:
        if self.version < (8, 2, 0) and not self.chance(60):
            return []
        return self.maybe(one_in, self.case(self.rng.choice(REFERENCES)))

    # --- commands -----------------------------------------------------------------------------

    def xadd(self) -> Args:
        name, key = self.case("XADD"), self.key()
        options = [*self.maybe(12, "NOMKSTREAM"), *(self.trim() if self.chance(6) else []), *self.reference(4)]
        return [name, key, *options, self.new_id(), *self.fields()]

    def new_id(self) -> str:
        """Make an id for a new entry, mostly one above all others."""
        ms, seq = self.stream().last_id
        if self.chance(50):
            return "*"
        if self.chance(60):
            return f"{MAX_U64}-{self.rng.choice((MAX_U64 - 1, MAX_U64))}"
        if self.chance(8):
            return self.id()
        if self.chance(5):
            return f"{ms + self.rng.randrange(2)}-*"
        if ms == 0 or self.chance(2):
            ms, seq = ms + 1, 0
        return f"{ms}-{seq + self.rng.randrange(1, 3)}"

    def xlen(self) -> Args:
        return ["XLEN", self.key()]

    def xrange(self) -> Args:
        if self.chance(2):
            return ["XRANGE", self.key(), self.start(), self.end(), *self.count()]
        return ["XREVRANGE", self.key(), self.end(), self.start(), *self.count()]

    def xdel(self) -> Args:
        return ["XDEL", self.key(), *self.ids()]

    def xtrim(self) -> Args:
        return ["XTRIM", self.key(), *self.trim(), *self.reference(3)]

    def xsetid(self) -> Args:
        return [
            *("XSETID", self.key(), self.id()),
            *self.maybe(3, "ENTRIESADDED", self.rng.choice(("0", "1", "5", "100", "-1", "x"))),
            *self.maybe(3, "MAXDELETEDID", self.id()),
        ]

    def xread(self, block: str | None = None) -> Args:
        streams = self.rng.choice((1, 1, 2))
        keys = [self.key() for _ in range(streams)]
        ids = [self.rng.choice(("$", "0", "+", self.id())) for _ in keys]
        options = self.count() + (["BLOCK", block] if block else [])
        return ["XREAD", *options, "STREAMS", *keys, *ids]

    def xreadgroup(self, block: str | None = None) -> Args:
        streams = self.rng.choice((1, 1, 1, 1, 1, 2))
        keys = [self.key() for _ in range(streams)]
        ids = [self.rng.choice((">", ">", ">", ">", ">", "0", self.id())) for _ in keys]
        options = [*self.count(), *self.maybe(10, "NOACK"), *(["BLOCK", block] if block else [])]
        if self.version >= (8, 4, 0) or self.chance(100):
            # A blocked reader is woken when an entry becomes old enough: not during a sequence.
            usual = ("999999999",) if block else ("0", "0", "1000", "50000", "999999999")
            options += self.maybe(3, "CLAIM", self.rng.choice((*usual, *usual, "-1", "x")))
        name = self.case("XREADGROUP")
        return [name, "GROUP", self.group(), self.consumer(), *options, "STREAMS", *keys, *ids]

    def xgroup(self) -> Args:
        key, group = self.key(), self.group()
        action = self.rng.choice(("CREATE", "CREATE", "SETID", "SETID", "DESTROY", "CREATECONSUMER", "DELCONSUMER"))
        if action in ("DESTROY", "DELCONSUMER") and not self.chance(2):
            action = "CREATE"
        if action == "CREATE" and not self.chance(4):
            group = self.rng.choice(GROUPS)
        args = ["XGROUP", self.case(action), key, group]
        if action in ("CREATE", "SETID"):
            args.append(self.rng.choice(("$", "0", "0", self.id())))
            args += self.maybe(4, "ENTRIESREAD", self.rng.choice(("0", "1", "3", "100", "-2", "x")))
            if action == "CREATE":
                args += self.maybe(2, "MKSTREAM")
        elif action != "DESTROY":
            args.append(self.consumer())
        return args

    def xack(self) -> Args:
        return ["XACK", self.key(), self.group(), *self.ids()]

    def counted_ids(self) -> Args:
        ids = self.ids()
        n = len(ids) if not self.chance(15) else self.rng.randrange(5)
        reference = self.reference(2)
        counted = ["IDS", self.number(str(n)), *ids]
        return reference + counted if self.chance(2) else counted + reference

    def xackdel(self) -> Args:
        return ["XACKDEL", self.key(), self.group(), *self.counted_ids()]

    def xdelex(self) -> Args:
        return ["XDELEX", self.key(), *self.counted_ids()]

    def xpending(self) -> Args:
        args = ["XPENDING", self.key(), self.group()]
        if self.chance(3):
            return args
        args += self.maybe(3, "IDLE", self.number(*MIN_IDLES))
        args += [self.start(), self.end(), self.number("1", "2", "10", "10", "0", "-1")]
        return args + self.maybe(3, self.consumer())

    def xclaim(self) -> Args:
        return [
            *("XCLAIM", self.key(), self.group(), self.consumer()),
            *(self.number(*MIN_IDLES), *self.ids()),
            *self.maybe(2, "IDLE", self.number(*IDLES)),
            *self.maybe(8, "TIME", self.number("0", "1000", "99999999999999")),
            *self.maybe(4, "RETRYCOUNT", self.number("0", "1", "7")),
            *self.maybe(3, self.case("FORCE")),
            *self.maybe(4, "JUSTID"),
            *self.maybe(10, "LASTID", self.id()),
        ]

    def xautoclaim(self) -> Args:
        return [
            *("XAUTOCLAIM", self.key(), self.group(), self.consumer()),
            *(self.number(*MIN_IDLES), self.rng.choice(("0", "0", "-", self.start()))),
            *self.count(),
            *self.maybe(4, "JUSTID"),
        ]

    def xinfo(self) -> Args:
        kind = self.rng.choice(("STREAM", "STREAM", "GROUPS", "CONSUMERS"))
        args = ["XINFO", self.case(kind), self.key()]
        if kind == "STREAM":
            args += self.maybe(2, "FULL", *self.count())
        elif kind == "CONSUMERS":
            args.append(self.group())
        return args

    def keys(self) -> Args:
        key = self.key()
        kinds: list[Args] = [["EXISTS", key, self.key()], ["TYPE", key], ["GET", key], ["PING"]]
        if self.chance(3):
            kinds = [["DEL", key], ["UNLINK", key, self.key()], ["SET", key, "text"]]
            kinds += [["FLUSHALL"], ["NOSUCH", key], ["XGROUP"], ["XINFO", "NOSUCH", key]]
        elif self.chance(2):
            return self.hash()
        return self.rng.choice(kinds)

    def hash(self) -> Args:
        key, name = self.key() if self.chance(8) else "hash", self.rng.choice(FIELDS)
        value, step = self.rng.choice(VALUES), self.number("1", "1", "-3", "10")
        return self.rng.choice(
            (["HSETNX", key, name, value], ["HINCRBY", key, name, step], ["HGETALL", key], ["TYPE", key])
        )

    def many(self) -> list[Args]:
        """Make a run of XADD that fills more than one node."""
        big = self.rng.choice(("", "x" * 50, "1" * 15, "y" * 300, "z" * 5000))
        names = ["n", "name"] if self.chance(2) else ["n", "n"]
        n = self.rng.choice((60, 130, 220)) if len(big) < 1000 else 20
        key = self.rng.choice(("s", "t"))
        run = [["XADD", key, f"{3 + i // 50}-*", self.rng.choice(names), f"{big}{i}"] for i in range(n)]
        for args in run:
            self.imagine(args)
        return run

    def blocking(self) -> Args:
        """Make a read that waits."""
        block = "0" if not self.chance(30) else self.rng.choice(("x", "-1", "999999", "1.5"))
        return self.xreadgroup(block) if not self.chance(3) else self.xread(block)
