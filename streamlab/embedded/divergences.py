"""What is still different from a real server, as data: tests hold it, `streamlab doctor` and the README tell it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Divergence:
    """One known difference between the embedded server and a real one of the same version."""

    what: str
    """The commands or the subject."""
    real: str
    """What a real server does."""
    embedded: str
    """What the embedded server does."""
    try_it: tuple[str, ...] = ()
    """Commands, the last of which has another kind of outcome; none, where no command shows it."""
    since: tuple[int, int, int] | None = None
    """The version of Redis that brought what is missing; None: all do it that streamlab supports."""


DIVERGENCES: tuple[Divergence, ...] = (
    Divergence(
        "EVAL, EVALSHA, SCRIPT, FUNCTION",
        "run any Lua script",
        "EVAL and EVALSHA run the scripts of streamlab.scripts and of redis-py's Lock; all others are refused",
        ("EVAL return(1) 0",),
    ),
    Divergence(
        "DUMP, RESTORE, MIGRATE",
        "pass values from server to server",
        "refused",
        ("SET k v", "DUMP k"),
    ),
    Divergence(
        "CONFIG, OBJECT, MEMORY, DEBUG, LATENCY, SLOWLOG, MODULE, TOUCH",
        "administer and inspect the server",
        "unknown commands",
        ("CONFIG GET maxmemory",),
    ),
    Divergence(
        "WAIT, ROLE, REPLICAOF, FAILOVER, CLUSTER",
        "replicate, fail over, shard",
        "unknown commands: there is one server, within the process",
        ("WAIT 0 1",),
    ),
    Divergence(
        "INFO",
        "has some two hundred figures",
        "has a few of the sections server, clients, persistence, replication and keyspace",
        ("INFO memory",),
    ),
    Divergence(
        "XGROUP HELP, XINFO HELP",
        "explain themselves",
        "unknown subcommands",
        ("XINFO HELP",),
    ),
    Divergence(
        "XADD IDMP, XADD IDMPAUTO, XCFGSET",
        "add an entry once, however often it is sent",
        "errors: an id that is none, an unknown command",
        ("XADD s IDMPAUTO p * f 1",),
        (8, 6, 0),
    ),
    Divergence(
        "commands newer than the version",
        "unknown",
        "those on other types than streams are there, as far as fakeredis has them",
        ("HSET h f 1", "HPERSIST h FIELDS 1 f"),
        None,
    ),
    Divergence(
        "XINFO STREAM: radix-tree-keys, radix-tree-nodes",
        "tell how the stream is stored",
        "always 1 and 2",
    ),
    Divergence(
        "keyspace notifications",
        "come if configured, of streams, too",
        "come always, but not of commands on streams",
    ),
    Divergence(
        "CLIENT PAUSE, CLIENT LIST, CLIENT INFO",
        "pause clients; tell addresses and memory",
        "pauses nobody; most figures are made up",
    ),
    Divergence(
        "ids, counts and times beyond 64 bits",
        "overflow in ways of their own",
        "are refused, or do not overflow",
    ),
    Divergence(
        "persistence, maxmemory, the network",
        "keep data on disk, limit memory, serve other machines",
        "nothing is kept or limited; other processes of the same user reach it by its url, while this process lives",
    ),
)
