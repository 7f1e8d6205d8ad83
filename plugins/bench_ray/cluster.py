"""The connection to a cluster: found within a time limit, and asked what room it has before actors wait."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import BenchError

LOCAL = "local"
"""The address of a cluster that is started for this process alone, on this machine."""
LATEST = Path("/tmp/ray/ray_current_cluster")
"""Where Ray notes the address of the cluster that was started last on a machine."""
STARTS = 2
"""Times that a local cluster is started: Ray gives its processes 15 s, too few on a busy machine at first."""
TYPE = "accelerator_type:"
"""How the names of resources begin by which nodes tell their kind of GPU."""

TOKEN_REMEDY = (
    "copy ~/.ray/auth_token of the user who started it here (another HOME has another file), or name it in "
    "RAY_AUTH_TOKEN_PATH"
)
TOKEN_SIGNS = ("AuthenticationError", "Unauthenticated", "an authentication token")
"""What Ray 2.60 prints where the token is wrong, and where one is needed and there is none."""


@dataclasses.dataclass(frozen=True)
class Need:
    """What an actor takes: CPUs, GPUs, and their kind as Ray calls it; empty for any."""

    cpus: float
    gpus: float
    accelerator: str = ""

    def room(self, resources: Mapping[str, float]) -> int:
        """How many actors a node with these resources in all holds."""
        if self.accelerator and TYPE + self.accelerator not in resources:
            return 0
        shares = [resources.get("CPU", 0.0) / self.cpus]
        if self.gpus:
            gpus = resources.get("GPU", 0.0)
            # an actor of half a GPU has its half on one, and one of two GPUs has whole ones
            shares.append(int(gpus) * int(1 / self.gpus) if self.gpus < 1 else gpus / self.gpus)
        return math.floor(min(shares) + 1e-6)

    def text(self) -> str:
        """The need in words."""
        kind = f" of the kind {self.accelerator}" if self.accelerator else ""
        gpus = f" and {self.gpus:g} GPUs{kind}" if self.gpus else ""
        return f"{self.cpus:g} CPUs{gpus}"


def ray_module() -> Any:
    """The library; `BenchError` where it is missing."""
    try:
        import ray
    except ImportError as error:
        raise BenchError(
            "the executor ray needs Ray: pip install 'sampler-bench[ray]', here and on the nodes"
        ) from error
    return ray


def connect(address: str, cpus: int, seconds: float) -> None:
    """Connect this process to a cluster, unless it is connected already.

    Args:
        address: ``HOST:PORT``, ``auto``, or `LOCAL`: a cluster of this process alone, which ends with it.
        cpus: CPUs that a local cluster has at least.
        seconds: How long another cluster may take to answer.

    Raises:
        BenchError: There is no cluster, it does not answer, or it refuses the user's token.
    """
    ray = ray_module()
    if ray.is_initialized():
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        cores = len(os.sched_getaffinity(0))
        options |= {"address": LOCAL, "num_cpus": max(cores, cpus), "include_dashboard": False}
    else:
        options["address"] = resolve(address)
        probe(options["address"], seconds)
    refusal = f"the Ray cluster {address} refuses this user's token: {TOKEN_REMEDY}"
    _silence()
    with _own_signals():
        for attempt in range(STARTS):
            try:
                ray.init(**options)
                return
            except ray.exceptions.AuthenticationError as error:
                raise BenchError(refusal) from error
            except Exception as error:  # of no class of its own where a process is slow to start
                ray.shutdown()
                if attempt + 1 < STARTS and address == LOCAL:
                    continue
                what = "does not start here" if address == LOCAL else f"at {address} can't be used"
                raise BenchError(f"Ray {what}: {' '.join(str(error).split())[:300]}") from error


def resolve(address: str, environment: Mapping[str, str] = os.environ, latest: Path = LATEST) -> str:
    """``HOST:PORT`` of an address; ``auto`` is $RAY_ADDRESS, else the cluster started last on this machine.

    Raises:
        BenchError: It is no such address, or there is no cluster.
    """
    if address == "auto":
        with contextlib.suppress(OSError):
            address = environment.get("RAY_ADDRESS") or latest.read_text().strip()
        if address == "auto":
            raise BenchError("there is no Ray cluster on this machine: ray start --head, or executor.address")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise BenchError(f"executor.address {address!r} is no HOST:PORT: take the one that ray start prints")
    return address


def probe(address: str, seconds: float) -> None:
    """Ask whether a cluster answers at ``HOST:PORT``: Ray's own connection tries for minutes.

    Raises:
        BenchError: It does not answer in time, or refuses the user's token.
    """
    host, _, port = address.rpartition(":")
    advice = "is its head running, and the address right?"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchError(f"no Ray cluster answers at {address} ({reason}): {advice}") from error
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"no Ray cluster answers at {address} in {seconds:g} s: {advice}") from error
    output = f"{answer.stdout}\n{answer.stderr}"
    if answer.returncode and any(sign in output for sign in TOKEN_SIGNS):
        raise BenchError(f"the Ray cluster {address} refuses this user's token: {TOKEN_REMEDY}")
    if answer.returncode:
        last = ([line.strip() for line in output.splitlines() if line.strip()] or ["no reason"])[-1]
        raise BenchError(f"what answers at {address} is no Ray cluster of this version ({last}): {advice}")


def node_resources() -> list[dict[str, float]]:
    """The resources of each live node."""
    ray = ray_module()
    ray.cluster_resources()  # waits for the first report of the nodes, which `nodes` does not
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def places_for(need: Need, workers: int) -> int:
    """How many actors to start: ``workers``, or as many as the cluster has room for.

    Raises:
        BenchError: It has less room: an actor without room would wait for ever, and say nothing.
    """
    return places(need, workers, node_resources())


def places(need: Need, workers: int, nodes: Sequence[Mapping[str, float]]) -> int:
    """`places_for`, on nodes with these resources."""
    room = sum(need.room(node) for node in nodes)
    if room >= max(1, workers):
        return workers or room
    has = ", ".join(f"{sum(node.get(kind, 0.0) for node in nodes):g} {kind}s" for kind in ("CPU", "GPU"))
    raise BenchError(
        f"the cluster has room for {room} workers of {need.text()}, not for {max(1, workers)}: it has {has} "
        f"on {len(nodes)} nodes; change workers, executor.num_gpus or executor.num_cpus"
    )


def accelerator_for(name: str, kind: str) -> str:
    """Ray's name for the kind of GPU that runs are planned for: bits differ between kinds.

    Args:
        name: The user's choice; empty for none.
        kind: The kind of device of the runs, ``cuda NVIDIA H200``.

    Returns:
        The name; empty where no node tells its kind, so that the workers' own reports decide.
    """
    present = {
        resource.removeprefix(TYPE)
        for node in node_resources()
        for resource in node
        if resource.startswith(TYPE)
    }
    return choose_accelerator(name, kind, present)


def choose_accelerator(name: str, kind: str, present: set[str]) -> str:
    """`accelerator_for`, among the kinds that are present."""
    if name and name not in present:
        raise BenchError(f"no node has a GPU of the kind {name}: the cluster has {_listing(present)}")
    if name or not present:
        return name
    words = set(kind.replace("-", " ").upper().split())
    fitting = sorted(one for one in present if one.partition("-")[0].upper() in words)
    if not fitting:
        raise BenchError(
            f"the runs are planned for {kind}, and the cluster has {_listing(present)}: start the command on "
            "a machine with such a GPU"
        )
    return fitting[0]


def _listing(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none that tells its kind"


def _silence() -> None:
    """Keep Ray's messages from this process's output, where they would be among progress and JSON.

    ``log_to_driver=False`` keeps the workers' lines away, but not those that begin with ``(raylet)``: Ray
    prints them to standard output by this function. They are in its session's logs.
    """
    import ray._private.worker as inner

    if hasattr(inner, "print_to_stdstream"):
        setattr(inner, "print_to_stdstream", lambda *_, **__: None)  # noqa: B010
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of this variable


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handlers of signals, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
