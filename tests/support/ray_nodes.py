"""A Ray cluster of several nodes on this machine, for tests."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

FAST_HEALTH_CHECK = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
}
"""Settings of the head by which a dead node is seen after some 3 s instead of some 15."""
HEAD = {"num_cpus": 0, "include_dashboard": False, "no_monitor": True}
"""Settings of the head, which holds no actor."""
START_LIMIT = 150.0
"""Seconds that a node may take to start on a busy machine."""
PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


def free_ports() -> dict[str, int]:
    """Ports for the agents of a node."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in PORTS]
        for one in sockets:
            one.bind(("", 0))
        return {name: one.getsockname()[1] for name, one in zip(PORTS, sockets, strict=True)}


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Let a node's processes take their time: Ray gives up after 15 s and after 30 s.

    A raylet aborts where its agents do not note their ports in files within 15 s; here the ports are known.
    """
    services: Any = importlib.import_module("ray._private.services")
    Node: Any = importlib.import_module("ray._private.node").Node
    original, start = services.get_node, Node.start_raylet
    end = time.monotonic() + START_LIMIT

    def get_node(*arguments: Any, **options: Any) -> Any:
        while True:
            try:
                return original(*arguments, **options)
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def start_raylet(node: Any, *arguments: Any, **options: Any) -> None:
        start(node, *arguments, **options)
        for name in PORTS:
            path = Path(node.get_session_dir_path(), f"{name}_{node.node_id}")
            path.write_text(str(getattr(node._ray_params, name)))

    services.get_node, Node.start_raylet = get_node, start_raylet
    try:
        yield
    finally:
        services.get_node, Node.start_raylet = original, start


class Nodes:
    """A head and further nodes, each with one CPU; the head's holds no actor if there are others.

    Args:
        count: Number of nodes that hold an actor.
    """

    def __init__(self, count: int) -> None:
        Cluster: Any = importlib.import_module("ray.cluster_utils").Cluster
        os.environ.update(FAST_HEALTH_CHECK)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), *sys.path]))
        with patience():
            self.cluster = Cluster(
                initialize_head=True,
                head_node_args={
                    "num_cpus": 0,
                    "include_dashboard": False,
                    "no_monitor": True,
                    **free_ports(),
                },
            )
            self.others = [self.add() for _ in range(count)]

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        return str(self.cluster.address)

    def add(self) -> Any:
        """One more node."""
        with patience():
            return self.cluster.add_node(num_cpus=1, **free_ports())

    def kill_raylet(self, node: Any) -> None:
        """End a node's raylet by SIGKILL; its actors die with it."""
        (raylet,) = node.all_processes["raylet"]
        raylet.process.kill()
        self.others.remove(node)

    def stop(self) -> None:
        """End all nodes."""
        self.cluster.shutdown()
