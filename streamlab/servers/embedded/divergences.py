"""What is still different from a real server, as data: tests hold it, `streamlab doctor` and the README tell it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Divergence:
    """One known difference between the embedded server and a real one of the same version."""

    what: str
    """The subject: in capitals, with commas between them, the commands, each with the words that make it differ."""
    real: str
    """What a real server does."""
    embedded: str
    """What the embedded server does."""
    try_it: tuple[str, ...] = ()
    """Commands, the last of which has another kind of outcome; none, where no command shows it."""
    since: tuple[int, int, int] | None = None
    """The version of Redis that brought what is missing; None: all do it that streamlab supports."""
    valkey_only: bool = False
    """Whether only Valkey does it; the embedded server is none."""


DIVERGENCES: tuple[Divergence, ...] = (
    Divergence(
        "EVAL, EVALSHA, EVAL_RO, EVALSHA_RO, SCRIPT, FUNCTION, FCALL, FCALL_RO",
        "run any Lua script",
        "EVAL and EVALSHA run the scripts of streamlab.actors.scripts and of redis-py's Lock; all others are refused",
        ("EVAL return(1) 0",),
    ),
    Divergence(
        "DUMP, RESTORE, RESTORE-ASKING, MIGRATE", "pass values from server to server", "refused", ("SET k v", "DUMP k")
    ),
    Divergence(
        "CONFIG, OBJECT, MEMORY, DEBUG, LATENCY, SLOWLOG, MODULE, MONITOR, SHUTDOWN, LOLWUT, PFDEBUG, PFSELFTEST",
        "administer and inspect the server",
        "unknown commands",
        ("CONFIG GET maxmemory",),
    ),
    Divergence(
        "WAIT, ROLE, REPLICAOF, SLAVEOF, FAILOVER, SYNC, PSYNC, REPLCONF, CLUSTER, READONLY, READWRITE, ASKING",
        "replicate, fail over, shard",
        "unknown commands: there is one server, within the process",
        ("WAIT 0 1",),
    ),
    Divergence(
        "SAVE, BGSAVE, BGREWRITEAOF",
        "write to disk",
        "the first two say OK and write nothing, BGREWRITEAOF is unknown",
        ("BGREWRITEAOF",),
    ),
    Divergence(
        "INFO",
        "has some two hundred figures",
        "has a few of the sections server, clients, persistence, replication and keyspace",
        ("INFO memory",),
    ),
    Divergence(
        "COMMAND DOCS, COMMAND LIST, COMMAND GETKEYS, COMMAND GETKEYSANDFLAGS",
        "describe the commands",
        "unknown subcommands; COMMAND, COMMAND INFO and COMMAND COUNT tell of what fakeredis has",
        ("COMMAND GETKEYS GET k",),
    ),
    Divergence(
        "ACL HELP, CLIENT HELP, COMMAND HELP, PUBSUB HELP, XGROUP HELP, XINFO HELP",
        "explain themselves",
        "unknown subcommands",
        ("XINFO HELP",),
    ),
    Divergence(
        "CLIENT TRACKING, CLIENT TRACKINGINFO, CLIENT GETREDIR, CLIENT CACHING",
        "tell a client which of the keys that it has read have changed",
        "unknown subcommands",
        ("CLIENT TRACKINGINFO",),
    ),
    Divergence(
        "CLIENT PAUSE, CLIENT LIST, CLIENT INFO",
        "pause clients; tell addresses and memory",
        "pauses nobody; most figures are made up",
    ),
    Divergence(
        "AUTH, ACL CAT, ACL DELUSER, ACL DRYRUN, ACL GETUSER, ACL SETUSER",
        "let anybody in as the default user, which has no password; mind who exists, and what a rule says",
        "AUTH for the default user fails; rules, users and categories that do not exist are taken, or made",
        ("ACL SETUSER u nosuch",),
    ),
    Divergence(
        "BITFIELD_RO, GEOHASH, GEOPOS, GEOSEARCH BYBOX, LCS, PFMERGE",
        "have forms that are hardly ever used (no members, no sources, a box)",
        "BITFIELD_RO is unknown; the others refuse these forms, or name another error",
        ("BITFIELD_RO k",),
    ),
    Divergence(
        "XADD IDMP, XADD IDMPAUTO, XCFGSET, XIDMPRECORD",
        "add an entry once, however often it is sent",
        "errors: an id that is none, unknown commands",
        ("XADD s IDMPAUTO p * f 1",),
        (8, 6, 0),
    ),
    Divergence("XNACK", "gives an entry back to its group", "an unknown command", since=(8, 8, 0)),
    Divergence(
        "WAITAOF, DIGEST, HOTKEYS, TRIMSLOTS, VADD, VCARD, VDIM, VEMB, VGETATTR, VINFO, VISMEMBER, VLINKS, "
        "VRANDMEMBER, VRANGE, VREM, VSETATTR, VSIM",
        "wait for the disk, count keys that are used much, and have sets of vectors",
        "unknown commands; DIGEST is one if the package xxhash is not installed",
        ("WAITAOF 0 0 0",),
        (7, 2, 0),
    ),
    Divergence(
        "BITCOUNT, CLIENT CAPA, CLIENT IMPORT-SOURCE, CLUSTERSCAN, COMMANDLOG, DELIFEQ, HSETEX NX, SCAN TYPE, "
        "ZSCAN NOSCORES",
        "Valkey 9 has commands and options of its own, and READONLY without a cluster",
        "it is like Redis, and has none of them",
        valkey_only=True,
    ),
    Divergence(
        "commands newer than the version",
        "unknown",
        "those on other types than streams are there, as far as fakeredis has them",
        ("HSET h f 1", "HPERSIST h FIELDS 1 f"),
    ),
    Divergence("XINFO STREAM: radix-tree-keys, radix-tree-nodes", "tell how the stream is stored", "always 1 and 2"),
    Divergence(
        "keyspace notifications", "come if configured, of streams, too", "come always, but not of commands on streams"
    ),
    Divergence(
        "ids, counts and times beyond 64 bits", "overflow in ways of their own", "are refused, or do not overflow"
    ),
    Divergence(
        "persistence, maxmemory, the network",
        "keep data on disk, limit memory, serve other machines",
        "nothing is kept or limited; other processes of the same user reach it by its url, while this process lives",
    ),
)
