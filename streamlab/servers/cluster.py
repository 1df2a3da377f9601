"""`PrivateCluster`: a Redis Cluster of one's own, made by Redis' own commands."""

from __future__ import annotations

import contextlib
import itertools
import os

import redis

from streamlab.servers.private import Persistence, PrivateServer
from streamlab.servers.programs import ServerBinary, ServerStartError
from streamlab.servers.together import PrivateServers, ask, free_ports, wait_until

#: Hash slots of every cluster.
_N_SLOTS = 16384
#: Redis 7.0 brought `cluster-port`: before, it was the other port plus 10,000, which somebody may have.
_OLDEST_VERSION = (7, 0, 0)


class PrivateCluster(PrivateServers):
    """A Redis Cluster: so many primaries, which share the hash slots evenly, each with so many replicas.

    A primary that does not answer for ``node_timeout`` seconds is replaced by a replica of its own, for which more than
    half of the primaries must agree. `servers` are first those that were primaries at the start, then their replicas.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str] | ServerBinary | None = None,
        *,
        n_primaries: int = 3,
        n_replicas: int = 1,
        persistence: Persistence = "none",
        node_timeout: float = 1.0,
    ) -> None:
        super().__init__(binary, persistence)
        if n_primaries < 1 or n_replicas < 0 or node_timeout <= 0:
            raise ValueError("there is one primary at least, 0 replicas or more each, and node_timeout is above 0")
        self._n_primaries = n_primaries
        self._n_replicas = n_replicas
        self._node_timeout = node_timeout

    @property
    def url(self) -> str:
        """The URL for `connect`: any of the servers tells of all others."""
        if not self.servers:
            raise RuntimeError("the servers have not been started: call start()")
        return f"redis+cluster://:{self._password}@" + ",".join(f"127.0.0.1:{each.port}" for each in self.servers)

    def primary_of(self, key: str) -> PrivateServer:
        """Return the server that takes writes to a key, as the first server says that answers (``CLUSTER SLOTS``)."""
        for server in self.servers:
            with contextlib.suppress(redis.RedisError, OSError):
                slot = ask(server, "CLUSTER", "KEYSLOT", key)
                for first, last, primary, *_ in ask(server, "CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return next(each for each in self.servers if each.port == primary[1])
        raise ServerStartError(f"no server of {self!r} knows one that serves the key {key!r}")

    def _launch(self, timeout: float) -> None:
        if self.binary.version < _OLDEST_VERSION:
            raise ServerStartError(f"a private cluster needs Redis 7.0: {self.binary} is older")
        n_servers = self._n_primaries * (1 + self._n_replicas)
        ports = free_ports(2 * n_servers)
        for port, bus_port in zip(ports[:n_servers], ports[n_servers:], strict=True):
            self.servers.append(
                self._server(
                    port,
                    cluster_enabled="yes",
                    cluster_port=bus_port,
                    cluster_node_timeout=round(self._node_timeout * 1000),
                    cluster_replica_validity_factor=0,  # a copy is taken however old it is: there may be no other
                )
            )
        for server in self.servers:
            server.start(timeout)
        self._meet(dict(zip(ports[:n_servers], ports[n_servers:], strict=True)))
        wait_until(lambda: all(map(self._knows_all, self.servers)), "the servers have found each other", timeout)
        self._replicate()
        wait_until(lambda: all(map(self._is_ready, self.servers)), "the cluster is whole", timeout)

    def _meet(self, bus_ports: dict[int, int]) -> None:
        """Share out the hash slots (``CLUSTER ADDSLOTS``), and let the servers meet (``CLUSTER MEET``)."""
        shares = itertools.pairwise(_N_SLOTS * i // self._n_primaries for i in range(self._n_primaries + 1))
        for number, server in enumerate(self.servers):
            ask(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < self._n_primaries:
                ask(server, "CLUSTER", "ADDSLOTS", *range(*next(shares)))
            for other in self.servers[:number]:
                assert other.port is not None
                ask(server, "CLUSTER", "MEET", "127.0.0.1", other.port, bus_ports[other.port])

    def _replicate(self) -> None:
        """Make replicas (``CLUSTER REPLICATE``)."""
        for number, server in enumerate(self.servers[self._n_primaries :]):
            primary = ask(self.servers[number % self._n_primaries], "CLUSTER", "MYID")
            ask(server, "CLUSTER", "REPLICATE", primary)

    def _knows_all(self, server: PrivateServer) -> bool:
        """Tell whether a server has met all others; one that is just being met has the flag ``handshake``."""
        known = _nodes(server)
        return len(known) == len(self.servers) and all(
            "handshake" not in flags and link == "connected" for _, _, flags, _, _, _, _, link, *_ in known
        )

    def _is_ready(self, server: PrivateServer) -> bool:
        """Tell whether a server serves, knows who is whose replica, and if it is one has its primary's data."""
        n_replicas = sum("slave" in flags for _, _, flags, *_ in _nodes(server))
        return (
            "cluster_state:ok" in ask(server, "CLUSTER", "INFO")
            and n_replicas == self._n_primaries * self._n_replicas
            and ask(server, "INFO", "replication").get("master_link_status", "up") == "up"
        )


def _nodes(server: PrivateServer) -> list[list[str]]:
    """Return the nodes that a server knows: id, address, flags, primary, ping, pong, epoch, link, slots."""
    return [row.split() for row in ask(server, "CLUSTER", "NODES").splitlines()]
