"""Answers to the exercises of the appendix: right ones in other styles, and likely wrong ones."""

from __future__ import annotations

from tests.checks.answers import Exercise, Wrong

_INIT = """
class TinyGroup:
    def __init__(self):
        self.last_id, self.pending = 0, {}
"""
_READ = """
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        for n in new:
            self.last_id, self.pending[n] = n, (consumer, 1)
        return new
"""
_HISTORY = """
    def history(self, consumer):
        own = sorted(n for n, (owner, _) in self.pending.items() if owner == consumer)
        for n in own:
            self.pending[n] = (consumer, self.pending[n][1] + 1)
        return own
"""
_ACK = """
    def ack(self, entry_id):
        return 1 if self.pending.pop(entry_id, None) else 0
"""


def _group(*, init: str = _INIT, read: str = _READ, history: str = _HISTORY, ack: str = _ACK) -> str:
    """Return a class whose methods are right but for those that are given."""
    return init + read + history + ack


EXERCISES = [
    Exercise(
        verdict="checks.left_after_trim(",
        right=[
            "my_answer = 530",
            "my_answer = 530.0",
            "my_answer = 730 - 200",
            "my_answer = 730 - 2 * 100",
            "my_answer = 5 * 100 + 30",
            "my_answer = 730 - (730 - 500) // 100 * 100",
            "my_answer = 500 + (730 - 500) % 100",
            "my_answer = next(left for left in (30, 130, 230, 330, 430, 530) if left >= 500)",
            "my_answer = sum([100, 100, 100, 100, 100, 100, 100, 30][2:])",
            """
r.delete(NODES)
for n in range(730):
    r.xadd(NODES, {"number": n})
my_answer = 730 - r.xtrim(NODES, maxlen=500)
""",
            """
model = StreamModel()
for n in range(1, 731):
    model.add(("number", str(n)), n, (n, 0))
model.trim(max_length=500, approximate=True)
my_answer = len(model.entries)
""",
        ],
        wrong=[
            Wrong("", "There is no answer yet."),
            Wrong("my_answer = None", "None is not a number of entries"),
            Wrong("my_answer = '530'", "without quotes"),
            Wrong("my_answer = 'five hundred and thirty'", "without quotes"),
            Wrong("my_answer = [530]", "is not a number of entries"),
            Wrong("my_answer = True", "is not a number of entries"),
            Wrong("my_answer = 500", "MAXLEN ~ removes whole nodes only"),
            Wrong("my_answer = 600", "the one that is not full is the newest"),
            Wrong("my_answer = 700", "the one that is not full is the newest"),
            Wrong("my_answer = 430", "a node stays if without it"),
            Wrong("my_answer = 0", "a node stays if without it"),
            Wrong("my_answer = 200", "how many go"),
            Wrong("my_answer = 630", "can one more node go"),
            Wrong("my_answer = 730", "nothing goes"),
            Wrong("my_answer = 1000", "nothing goes"),
            Wrong("my_answer = 501", "in the nodes that go altogether"),
        ],
    ),
    Exercise(
        verdict="checks.tiny_group(",
        right=[
            _group(),
            # a list comprehension less
            _group(
                read="""
    def read(self, stream, consumer, count):
        given = []
        for entry_id in stream:
            if entry_id > self.last_id and len(given) < count:
                given.append(entry_id)
                self.pending[entry_id] = (consumer, 1)
        if given:
            self.last_id = given[-1]
        return given
"""
            ),
            # a generator of its own
            _group(
                read="""
    def read(self, stream, consumer, count):
        import itertools
        given = list(itertools.islice((n for n in stream if n > self.last_id), count))
        self.pending.update((n, (consumer, 1)) for n in given)
        self.last_id = max([self.last_id, *given])
        return given
"""
            ),
            # by bisection
            _group(
                read="""
    def read(self, stream, consumer, count):
        from bisect import bisect_right
        start = bisect_right(stream, self.last_id)
        given = stream[start : start + count]
        for n in given:
            self.pending[n] = (consumer, 1)
            self.last_id = n
        return given
"""
            ),
            # pairs as lists
            _group(
                read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        for n in new:
            self.last_id, self.pending[n] = n, [consumer, 1]
        return new
""",
                history="""
    def history(self, consumer):
        own = []
        for n in sorted(self.pending):
            if self.pending[n][0] == consumer:
                self.pending[n][1] += 1
                own.append(n)
        return own
""",
            ),
            # tuples returned
            _group(
                history="""
    def history(self, consumer):
        own = tuple(sorted(n for n in self.pending if self.pending[n][0] == consumer))
        for n in own:
            self.pending[n] = (consumer, self.pending[n][1] + 1)
        return own
"""
            ),
            _group(
                ack="""
    def ack(self, entry_id):
        if entry_id not in self.pending:
            return 0
        del self.pending[entry_id]
        return 1
"""
            ),
            _group(
                ack="""
    def ack(self, entry_id):
        try:
            del self.pending[entry_id]
        except KeyError:
            return 0
        return 1
"""
            ),
            _group(
                ack="""
    def ack(self, entry_id):
        return int(self.pending.pop(entry_id, None) is not None)
"""
            ),
            # as bool
            _group(
                ack="""
    def ack(self, entry_id):
        return self.pending.pop(entry_id, None) is not None
"""
            ),
            # a dataclass, and more methods than were asked for
            """
from dataclasses import dataclass, field

@dataclass
class TinyGroup:
    last_id: int = 0
    pending: dict = field(default_factory=dict)

    def deliver(self, entry_id, consumer):
        _, count = self.pending.get(entry_id, (consumer, 0))
        self.pending[entry_id] = (consumer, count + 1)

    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        for n in new:
            self.deliver(n, consumer)
        self.last_id = new[-1] if new else self.last_id
        return new

    def history(self, consumer):
        own = sorted(n for n, (name, _) in self.pending.items() if name == consumer)
        for n in own:
            self.deliver(n, consumer)
        return own

    def ack(self, entry_id):
        return len([self.pending.pop(entry_id)]) if entry_id in self.pending else 0
""",
        ],
        wrong=[
            Wrong("", "There is no answer yet."),
            Wrong("TinyGroup = None", "None is not a class"),
            Wrong(f"{_group()}\nTinyGroup = TinyGroup()", "without brackets"),
            Wrong("TinyGroup = 5", "is not a class"),
            # begun
            Wrong(
                _group(history="\n    def history(self, consumer):\n        return ...\n"), "history has no answer yet"
            ),
            Wrong(_group(ack="\n    def ack(self, entry_id):\n        return ...\n"), "read is right"),
            # no return
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        for n in new:
            self.last_id, self.pending[n] = n, (consumer, 1)
"""
                ),
                "a function that ends without `return`",
            ),
            Wrong(
                _group(ack="\n    def ack(self, entry_id):\n        self.pending.pop(entry_id, None)\n"),
                "ack returns 1 if the entry was pending",
            ),
            # last_id
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        for n in new:
            self.pending[n] = (consumer, 1)
        return new
"""
                ),
                "Does it move up?",
            ),
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        for n in new:
            self.pending[n] = (consumer, 1)
        self.last_id = stream[-1]
        return new
"""
                ),
                "the last id that was given, not the last of the stream",
            ),
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n >= self.last_id][:count]
        for n in new:
            self.last_id, self.pending[n] = n, (consumer, 1)
        return new
"""
                ),
                "only ids above last_id are new",
            ),
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id]
        for n in new:
            self.last_id, self.pending[n] = n, (consumer, 1)
        return new
"""
                ),
                "count is the most that may be given",
            ),
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = stream[self.last_id : self.last_id + count]
        self.last_id += len(new)
        self.pending |= {n: (consumer, 1) for n in new}
        return new
"""
                ),
                "do not count them",
            ),
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        self.last_id = new[-1]
        self.pending |= {n: (consumer, 1) for n in new}
        return new
"""
                ),
                "mind the case that there is nothing",
            ),
            # the list
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        self.last_id = max([self.last_id, *new])
        return new
"""
                ),
                "what is given goes on the list",
            ),
            Wrong(
                _group(
                    read="""
    def read(self, stream, consumer, count):
        new = [n for n in stream if n > self.last_id][:count]
        for n in new:
            self.last_id, self.pending[n] = n, consumer
        return new
"""
                ),
                "entry id → (consumer, delivery count)",
            ),
            Wrong(_group(init=_INIT.replace("{}", "[]")), "list assignment index out of range"),
            # the history
            Wrong(
                _group(
                    history="""
    def history(self, consumer):
        return [n for n, (owner, _) in self.pending.items() if owner == consumer]
"""
                ),
                "reading one's history counts as a delivery",
            ),
            Wrong(
                _group(
                    history="""
    def history(self, consumer):
        for n, (owner, count) in self.pending.items():
            self.pending[n] = (owner, count + 1)
        return sorted(n for n, (owner, _) in self.pending.items() if owner == consumer)
"""
                ),
                "and of no others",
            ),
            Wrong(
                _group(
                    history="""
    def history(self, consumer):
        return sorted(self.pending)
"""
                ),
                "a history is the consumer's own",
            ),
            # the acknowledgement
            Wrong(_group(ack="\n    def ack(self, entry_id):\n        return 1\n"), "takes this one entry off"),
            Wrong(
                _group(ack="\n    def ack(self, entry_id):\n        del self.pending[entry_id]\n        return 1\n"),
                "it raised KeyError",
            ),
            Wrong(
                _group(ack="\n    def ack(self, entry_id):\n        return self.pending.pop(entry_id, 0)\n"),
                "ack returns 1 if the entry was pending",
            ),
            Wrong(
                _group(ack="\n    def ack(self, consumer, entry_id):\n        return 1\n"),
                "leave the first line of the function as it was given",
            ),
        ],
    ),
]
