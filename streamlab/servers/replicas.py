"""`PrivateReplicas`: a primary with replicas, and Sentinels that promote one of these when it is gone."""

from __future__ import annotations

import contextlib
import os

import redis

from streamlab.servers.private import CONFIGURATION, Persistence, PrivateServer
from streamlab.servers.programs import ServerBinary
from streamlab.servers.together import PrivateServers, ask, free_ports, wait_until

#: What the Sentinels call the primary and its replicas.
SERVICE = "lab"


class _SentinelServer(PrivateServer):
    """A Sentinel; it keeps what it knows in its configuration file, which it writes anew."""

    def _arguments(self) -> list[str]:
        # Were its configuration not found, it would listen on every interface.
        return [CONFIGURATION, "--sentinel", "--port", str(self.port), "--bind", "127.0.0.1"]


class PrivateReplicas(PrivateServers):
    """A primary with replicas, watched by Sentinels: real servers of one's own.

    ``n_replicas`` copy the primary. If it does not answer for ``down_after`` seconds, the ``n_sentinels`` promote one
    of them, for which more than half of the Sentinels must agree; without Sentinels nobody does. (On a machine that is
    very busy a living primary may be kept waiting for so long: give it more time there.)
    `servers` are those that hold data, first the one that was the primary at the start; `primary` is who is it now.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str] | ServerBinary | None = None,
        *,
        n_replicas: int = 2,
        n_sentinels: int = 3,
        persistence: Persistence = "none",
        down_after: float = 0.5,
    ) -> None:
        super().__init__(binary, persistence)
        if n_replicas < 0 or n_sentinels < 0 or down_after <= 0:
            raise ValueError("numbers of replicas and Sentinels are 0 or more, and down_after is above 0")
        self._n_replicas = n_replicas
        self._n_sentinels = n_sentinels
        self._down_after = down_after
        #: The Sentinels, to be killed, paused and restarted as the servers are.
        self.sentinels: list[PrivateServer] = []

    @property
    def url(self) -> str:
        """The URL for `connect`: by way of the Sentinels; without these, that of the primary."""
        if not self.sentinels:
            return self.primary.tcp_url
        addresses = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://:{self._password}@{addresses}/{SERVICE}?sentinel_password={self._password}"

    @property
    def primary(self) -> PrivateServer:
        """The server that takes writes, as the first Sentinel says that answers; without these, the first one."""
        for sentinel in self.sentinels:
            with contextlib.suppress(redis.RedisError, OSError):
                _, port = ask(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)
                return next(server for server in self.servers if server.port == int(port))
        if not self.servers:
            raise RuntimeError("the servers have not been started: call start()")
        return self.servers[0]

    @property
    def replicas(self) -> list[PrivateServer]:
        """All other servers, dead ones as well."""
        primary = self.primary
        return [server for server in self.servers if server is not primary]

    def stop(self) -> None:
        """End all servers and Sentinels and remove their folders. Stopping twice is allowed."""
        super().stop()
        self.sentinels.clear()

    def _all(self) -> list[PrivateServer]:
        return self.sentinels + self.servers

    def _launch(self, timeout: float) -> None:
        first, *others = free_ports(1 + self._n_replicas + self._n_sentinels)
        self.servers.append(self._server(first))
        for port in others[: self._n_replicas]:
            self.servers.append(self._server(port, replicaof=f"127.0.0.1 {first}"))
        for server in self.servers:
            server.start(timeout)
        wait_until(self._is_copied, "each replica has the primary's data", timeout)
        for port in others[self._n_replicas :]:
            self.sentinels.append(self._sentinel(port, first))
        for sentinel in self.sentinels:
            sentinel.start(timeout)
            # By default they tell each other of themselves only every two seconds; Redis 6.2 has no such command.
            with contextlib.suppress(redis.ResponseError):
                ask(sentinel, "SENTINEL", "DEBUG", "publish-period", 100)
        for sentinel in self.sentinels:
            wait_until(lambda: self._is_informed(sentinel), "each Sentinel knows all others", timeout)  # noqa: B023

    def _sentinel(self, port: int, primary: int) -> PrivateServer:
        n_ms = round(self._down_after * 1000)
        return _SentinelServer(
            self.binary,
            password=self._password,
            port=port,
            options={
                f"sentinel monitor {SERVICE} 127.0.0.1 {primary}": self._n_sentinels // 2 + 1,
                f"sentinel auth-pass {SERVICE}": self._password,
                "sentinel sentinel-pass": self._password,
                f"sentinel down-after-milliseconds {SERVICE}": n_ms,
                f"sentinel failover-timeout {SERVICE}": max(3000, 4 * n_ms),
            },
        )

    def _is_copied(self) -> bool:
        told = ask(self.servers[0], "INFO", "replication")
        states = [row["state"] for name, row in told.items() if name.startswith("slave") and isinstance(row, dict)]
        return states == ["online"] * self._n_replicas

    def _is_informed(self, sentinel: PrivateServer) -> bool:
        known = ask(sentinel, "SENTINEL MASTER", SERVICE)
        replicas = ask(sentinel, "SENTINEL SLAVES", SERVICE)
        return (
            known["num-other-sentinels"] == self._n_sentinels - 1
            and known["flags"] == "master"
            and [row["master-link-status"] for row in replicas] == ["ok"] * self._n_replicas
        )
