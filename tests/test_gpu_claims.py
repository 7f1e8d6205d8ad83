"""What results/README.md says of the committed figures of a GPU, against the files."""

from __future__ import annotations

from tests.support.pages import page_says
from tests.support.reference import Row, range_of, says
from tests.support.reference import read as rows_of


def read(name: str, key: str) -> dict[str, Row]:
    """The rows of a GPU's table by one of its columns."""
    return {row[key]: row for row in rows_of(f"gpu/{name}")}


def test_ddpm_on_a_gpu() -> None:
    tables = [read(f"networks-gpu-ddpm-{batch}.csv", "variant") for batch in (256, 1024)]
    assert {row["device"] for table in tables for row in table.values()} == {"NVIDIA H200"}

    def ratios(one: str, other: str) -> list[float]:
        return [
            float(table[one]["evaluations_per_s"]) / float(table[other]["evaluations_per_s"])
            for table in tables
        ]

    def shares(variant: str) -> list[float]:
        return [100 * float(table[variant]["share"]) for table in tables]

    fastest, contiguous = "bf16, compiled", ratios("fp32, NCHW", "fp32") + ratios("bf16, NCHW", "bf16")
    assert says(f"evaluates {range_of(ratios(fastest, 'fp32'), 0)} times as many images a second")
    assert says(
        f"and {range_of(ratios(fastest, 'score_sde_pytorch'), 1)} times as many as score_sde_pytorch's"
    )
    assert says(f"at {range_of(shares(fastest), 0)} % of the card's measured bfloat16 matrix rate")
    assert says(f"Uncompiled bfloat16 reaches {range_of(shares('bf16'), 0)} % of it")
    assert says(f"DDPM {range_of(contiguous, 2)} times")


def test_what_the_guide_says_of_ddpm() -> None:
    table = read("networks-gpu-ddpm-1024.csv", "variant")
    speed = {variant: float(row["evaluations_per_s"]) for variant, row in table.items()}
    fastest = speed["bf16, compiled"]
    for text in (
        f"evaluates {fastest:,.0f} images a second",
        f"{fastest / speed['fp32']:.1f} times as many as in float32",
        f"take {50_000 * 1000 / fastest / 60:.0f} minutes of the network",
        f"evaluates {speed['score_sde_pytorch']:,.0f} in the same",
    ):
        assert page_says("docs/guide/gpu.md", text), text


def test_a_step_beside_the_network() -> None:
    steps = {int(batch): float(row["step_us"]) for batch, row in read("gpu-steps.csv", "batch").items()}
    assert says(f"{range_of([step / 1000 for step in steps.values()], 2)} milliseconds beside the network")
    assert says(f"at any batch up to {max(steps)}")
