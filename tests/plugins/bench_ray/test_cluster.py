"""A cluster is found within a limit of our own, and asked for its room before anything waits for it."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import pytest

from bench import BenchError
from bench_ray.cluster import Need, choose_accelerator, places, probe, resolve


@pytest.mark.parametrize(
    ("need", "resources", "room"),
    [
        (Need(1, 0), {"CPU": 4.0}, 4),
        (Need(1.5, 0), {"CPU": 4.0}, 2),
        (Need(1, 1), {"CPU": 16.0, "GPU": 8.0}, 8),
        (Need(1, 0.5), {"CPU": 16.0, "GPU": 2.0}, 4),
        (Need(1, 0.4), {"CPU": 16.0, "GPU": 2.0}, 4),  # a fifth actor would need 0.2 of two GPUs
        (Need(1, 2), {"CPU": 16.0, "GPU": 3.0}, 1),
        (Need(4, 1), {"CPU": 6.0, "GPU": 8.0}, 1),
        (Need(1, 1), {"CPU": 6.0}, 0),
        (Need(1, 1, "H100"), {"CPU": 6.0, "GPU": 8.0, "accelerator_type:A100": 1.0}, 0),
        (Need(1, 1, "H100"), {"CPU": 6.0, "GPU": 2.0, "accelerator_type:H100": 1.0}, 2),
    ],
)
def test_the_room_of_a_node(need: Need, resources: dict[str, float], room: int) -> None:
    assert need.room(resources) == room


def test_the_number_of_actors_is_the_room_or_the_users_choice() -> None:
    nodes = [{"CPU": 2.0}, {"CPU": 3.0}]
    assert places(Need(1, 0), 0, nodes) == 5
    assert places(Need(1, 0), 4, nodes) == 4
    with pytest.raises(
        BenchError, match=r"room for 5 workers of 1 CPUs, not for 6: it has 5 CPUs, 0 GPUs on 2"
    ):
        places(Need(1, 0), 6, nodes)
    with pytest.raises(BenchError, match="room for 0 workers of 1 CPUs and 1 GPUs, not for 1"):
        places(Need(1, 1), 0, nodes)


def test_a_run_is_placed_on_its_own_kind_of_gpu() -> None:
    kind = "cuda NVIDIA H100 80GB HBM3"
    assert choose_accelerator("", kind, {"A100", "H100"}) == "H100"
    assert choose_accelerator("", "cuda NVIDIA A100-SXM4-40GB", {"A100-40G", "H100"}) == "A100-40G"
    assert choose_accelerator("", kind, set()) == ""
    assert choose_accelerator("A100", kind, {"A100"}) == "A100"
    with pytest.raises(BenchError, match=r"planned for cuda NVIDIA H100 .* the cluster has A100, L4: start"):
        choose_accelerator("", kind, {"A100", "L4"})
    with pytest.raises(BenchError, match="no node has a GPU of the kind B200: the cluster has H100"):
        choose_accelerator("B200", kind, {"H100"})


def test_auto_is_the_environments_cluster_or_the_last_of_this_machine(tmp_path: Path) -> None:
    latest = tmp_path / "latest"
    with pytest.raises(BenchError, match="no Ray cluster on this machine"):
        resolve("auto", {}, latest)
    latest.write_text("10.0.0.1:6379\n")
    assert resolve("auto", {}, latest) == "10.0.0.1:6379"
    assert resolve("auto", {"RAY_ADDRESS": "10.0.0.2:6379"}, latest) == "10.0.0.2:6379"


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "10.0.0.1", "10.0.0.1:", "head:port"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(BenchError, match="is no HOST:PORT"):
        resolve(address, {}, Path("none"))


def test_a_stale_address_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.monotonic()
    with pytest.raises(
        BenchError, match=rf"no Ray cluster answers at 127.0.0.1:{port} \(Connection refused\)"
    ):
        probe(f"127.0.0.1:{port}", 20.0)
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize(
    "output",
    [
        "ray.exceptions.AuthenticationError: the token is wrong",
        "Check failed: Token authentication is enabled but Ray couldn't find an authentication token.\n"
        "*** StackTrace Information ***\n/usr/bin/python(_start+0x21) _start",
    ],
)
def test_a_token_that_is_wrong_or_not_there_is_told(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 1, "", output)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(BenchError, match=r"refuses this user's token: copy ~/\.ray/auth_token"):
            probe(f"127.0.0.1:{listener.getsockname()[1]}", 5.0)


def test_what_listens_and_never_answers_is_given_up() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(BenchError, match=f"at {address}"):
            probe(address, 1.0)
