"""Fréchet distances of infinitely many samples, and intervals over samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue

from bench import BenchError
from bench.cli import main
from bench.metrics.frechet import frechet_distance
from bench.reporting.summary import fits, over_samples
from bench.results.record import MetricRecord
from bench_fid.extrapolation import Rows, bootstrap_interval, distance_to, extrapolate, fit, sizes

D, N = 8, 300


def rows(seed: int, n: int = N, scale: float = 1.0) -> Rows:
    """Normal features (n, D), float32."""
    return (scale * np.random.default_rng(seed).normal(size=(n, D))).astype(np.float32)


def test_a_line_in_1_over_n_is_found_with_its_limit() -> None:
    line = fit([(n, 2.0 + 30.0 / n) for n in (10, 20, 40, 80)])
    assert line.value == pytest.approx(2, rel=1e-12)
    assert line.slope == pytest.approx(30, rel=1e-12)
    assert line.r2 == pytest.approx(1, rel=1e-12)
    assert line.fit_error == pytest.approx(0, abs=1e-12)


def test_a_noisy_line_has_the_error_that_numpy_finds() -> None:
    noise = np.random.default_rng(0).normal(size=8)
    points = [(n, 2.0 + 30.0 / n + float(e)) for n, e in zip(range(10, 90, 10), noise, strict=True)]
    line = fit(points)
    x, y = 1 / np.array([n for n, _ in points]), np.array([v for _, v in points])
    (slope, value), covariance = np.polyfit(x, y, 1, cov=True)
    assert line.value == pytest.approx(value)
    assert line.slope == pytest.approx(slope)
    assert line.fit_error == pytest.approx(np.sqrt(covariance[1, 1]))
    assert line.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)


def test_sizes_are_the_papers_and_keep_to_where_the_distance_is_straight() -> None:
    assert sizes(50_000, 2048)[:2] == [5000, 8214]
    assert (len(sizes(50_000, 2048)), sizes(50_000, 2048)[-1]) == (15, 50_000)
    assert sizes(10_000, 2048)[0] == 4096
    assert sizes(3000, 2048)[0] == 1500
    with pytest.raises(BenchError, match="at least 20, not 19"):
        sizes(19, 4)


def test_the_limit_is_nearly_unbiased_and_the_slope_is_theorys() -> None:
    distance = distance_to(np.zeros(D), np.eye(D))
    lines = [extrapolate(rows(seed), distance) for seed in range(60)]
    plain = np.array([distance(rows(seed)) for seed in range(60)])
    value = np.array([line.value for line in lines])
    # to first order in 1/n: d of the mean, and d (d + 1) / 4 of the covariance's root; truth is 0
    slope = D + D * (D + 1) / 4
    assert plain.mean() == pytest.approx(slope / N, rel=0.1)
    assert np.mean([line.slope for line in lines]) == pytest.approx(slope, rel=0.15)
    assert abs(value.mean()) < 4 * value.std(ddof=1) / np.sqrt(60) + 0.1 * plain.mean()
    assert plain.mean() > 10 * abs(value.mean())


def test_of_unlike_normals_the_limit_is_their_distance() -> None:
    distance = distance_to(np.zeros(D), np.eye(D))
    truth = frechet_distance(np.zeros(D), np.eye(D), np.zeros(D), 1.44 * np.eye(D))
    limits = np.array([extrapolate(rows(seed, scale=1.2), distance).value for seed in range(60)])
    plain = np.mean([distance(rows(seed, scale=1.2)) for seed in range(60)])
    assert abs(limits.mean() - truth) < 4 * limits.std(ddof=1) / np.sqrt(60) + 0.1 * (plain - truth)
    assert plain - truth > 5 * abs(limits.mean() - truth)


def test_the_interval_over_samples_holds_the_expectation_and_changes_no_value() -> None:
    held, unmoved = 0, 0
    distance = distance_to(np.zeros(D), np.eye(D))
    expected = np.mean([distance(rows(seed, 100, 1.5)) for seed in range(1000, 1400)])
    for seed in range(30):
        x = rows(seed, 100, 1.5)
        value = distance(x)
        interval = bootstrap_interval(x, distance, value, 60)
        held += int(interval["low"] <= expected <= interval["high"])
        low, high = interval["low"] + interval["shift"], interval["high"] + interval["shift"]
        unmoved += int(low <= expected <= high)
        assert interval["low"] < value < interval["high"]
        # drawing again adds the bias once more: it shows its size
        assert 0 < interval["shift"] < value
    # 95 % of 30 is 28.5 with a deviation of 1.2
    assert held >= 25
    assert unmoved < held


def test_a_spread_over_samples_is_not_called_one_over_seeds() -> None:
    details: dict[str, JsonValue] = {"interval": {"low": 1.0, "high": 3.0}}
    one = MetricRecord(metric="fid", value=2.0, n=80, error=0.5, details=details)
    text = over_samples([one])
    assert text == " ± 0.5 (standard error over samples), 95 % interval over samples 1 to 3"
    # each seed has its own interval: none is shown as that of their mean
    assert over_samples([one, one]) == ", standard error of each over its samples 0.5"
    assert over_samples([MetricRecord(metric="fid", value=2.0, n=80)]) == ""


def test_the_fit_is_reported_in_a_line() -> None:
    points = [(n, 2.0 - 30.0 / n) for n in (10, 20, 40, 80)]
    details: dict[str, JsonValue] = {"fit": fit(points).plain(), "at_n": points[-1][1]}
    limit = MetricRecord(metric="fid", value=2.0, n=80, details=details)
    lines = fits({"fid": MetricRecord(metric="fid", value=2.4, n=80), "fid_inf": limit})
    assert len(lines) == 1
    assert lines[0].startswith("fid_inf: 2 - 30 / n, fitted to 4 sizes from n = 10 to 80: R^2 1, standard")
    assert lines[0].endswith("at n = 80 it is 1.625")


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command in an empty folder and gives what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        return out + err

    return call


RUN = ("run", "--device", "cpu", "--checkpoint", "gaussian-cifar10", "--sde", "vp", "--steps", "10")


def test_extrapolate_is_a_flag_of_run_and_of_measure(bench: Callable[..., str]) -> None:
    small = (*RUN, "--samples", "24", "--batch-size", "12")
    out = bench(*small, "--metric", "fd_cifar10", "-P", "metric.bootstrap=40")
    assert "95 % interval over samples" in out
    assert "standard error over samples" in out
    out = bench("measure", "--device", "cpu", "--metric", "fd_cifar10", "--extrapolate")
    assert "1 measured" in out
    (value,) = [line.split()[-2] for line in out.splitlines() if line.endswith(" †")]
    assert float(value) > 0
    assert "† fd_cifar10_inf: n below 4 d = 256, where the fit in 1/n is not straight: read it as" in out
    (path,) = Path("results/records").iterdir()
    metrics = json.loads(path.read_text())["metrics"]
    assert metrics["fd_cifar10_inf"]["details"]["at_n"] == metrics["fd_cifar10"]["value"]
    assert metrics["fd_cifar10_inf"]["n"] == 24
    assert metrics["fd_cifar10_inf"]["note"]
    # a limit of distances can be negative
    assert [metrics[name]["value_kind"] for name in ("fd_cifar10", "fd_cifar10_inf")] == [
        "distance",
        "estimate",
    ]
    assert metrics["fd_cifar10"]["error"] == metrics["fd_cifar10"]["details"]["interval"]["sd"]
    out = bench(*small, "--metric", "fd_cifar10", "--extrapolate", "--out", "other")
    at_n = metrics["fd_cifar10"]["value"]
    assert [line for line in out.splitlines() if line.endswith(f"at n = 24 it is {at_n:.4g}")]
    (path,) = Path("other/records").iterdir()
    assert json.loads(path.read_text())["metrics"] == {"fd_cifar10_inf": metrics["fd_cifar10_inf"]}
    out = bench(*RUN, "--metric", "fd_dct", "--extrapolate", status=2)
    assert "metric fd_dct has no parameter 'extrapolate'" in out


def test_every_metric_declares_its_direction_least_n_and_bias(bench: Callable[..., str]) -> None:
    entries = {e["name"]: e for e in json.loads(bench("list", "metrics", "--json"))["entries"]}
    names = (
        "fid",
        "fd",
        "fd_cifar10",
        "fd_dct",
        "kid",
        "inception_score",
        "class_score",
        "precision",
        "recall",
    )
    for name in names:
        assert entries[name]["direction"] in ("lower", "higher")
        assert entries[name]["min_samples"] >= 100
        assert entries[name]["bias"]


def test_every_metric_declares_what_its_values_are(bench: Callable[..., str]) -> None:
    kinds = {e["name"]: e["value_kind"] for e in json.loads(bench("list", "metrics", "--json"))["entries"]}
    distances = {"fid", "fd", "fd_cifar10", "known_error", "round_trip", "latent_difference", "flow_error"}
    distances |= {"sliced_wasserstein"}
    estimates = {"fd_dct", "kid", "fd_class", "fd_component", "conditional_fd", "latent_fd", "mmd"}
    shares = {"precision", "recall", "class_share", "component_share"}
    scores = {"inception_score", "class_score", "bits_per_dim", "latent_correlation"}
    for kind, names in (
        ("distance", distances),
        ("estimate", estimates),
        ("share", shares),
        ("score", scores),
    ):
        assert {name for name, own in kinds.items() if own == kind} == names
    text = bench("show", "fid")
    assert "lower is better" in text
    assert "flagged (†) below 10000 samples" in text
    assert "bias: upwards, about as 1/n" in text
