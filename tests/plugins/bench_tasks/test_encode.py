"""Latents and the way back: encode, identifiability, interpolate."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from bench import BenchError, Metric, MetricResult, Tensor
from bench.cli import main
from bench.closed_form.mixture import Mixture, MixtureModel
from bench.testing import probe
from bench_tasks.flow import decoded, encoded
from bench_tasks.interpolate import spherical
from tests.support.analytic import RECORDED
from tests.support.flows import draws, law, marginal_variances, pushed, task, thin, work
from tests.support.plugins import installed

D = 192
# twelve statistics: one false alarm in 800 sets of seeds, and the seed is fixed
P = 1e-4


def off(found: Tensor, x: Tensor, stretch: Tensor | float = 1.0) -> float:
    """The error in the norm that solvers keep to their tolerance: root mean square over ``1 + |x|``.

    ``stretch``: by how much the flow has magnified what was kept so.
    """
    return float((((found - x) / (stretch * (1 + x.abs()))) ** 2).mean().sqrt())


@pytest.mark.parametrize("tol", [1e-4, 1e-5])
@pytest.mark.parametrize("name", RECORDED)
def test_round_trip(name: str, tol: float) -> None:
    """Within twenty tolerances, and the latents where the Gaussian's flow has them: an error of narrow
    coefficients' states grows with them to standard normal latents."""
    chosen = law(name)
    model = thin(chosen)
    x = draws(model, 16)
    with torch.no_grad():
        left = task("encode").run(given := work(chosen, model, x, tol))
    assert off(model.states(left["images"]), x) < 20 * tol
    changed = (left["images"] - model.images(x)).flatten(1)
    torch.testing.assert_close(left["round_trip"], (changed**2).mean(1).sqrt())
    _, v_low, v_high = marginal_variances(chosen)
    stretch = np.maximum(np.sqrt(v_high / v_low), 1) / chosen.prior_std
    truth = torch.from_numpy(pushed(chosen, x.numpy())) / chosen.prior_std
    assert off(left["latents"], truth, torch.from_numpy(np.maximum(stretch, 1))) < 20 * tol
    assert given.prediction.calls > 50


@pytest.mark.parametrize("name", RECORDED)
def test_latents_of_exact_draws_are_normal(name: str) -> None:
    """Draws of the marginal at eps: per coefficient n m^2 is chi-squared with one degree of freedom and
    (n - 1) v with n - 1. The mean is the marginal's at T, on VE off nought by more than the noise."""
    chosen, n = law(name), 1000
    model, low, high = thin(chosen), chosen.at(chosen.eps), chosen.at(chosen.end)
    noise = torch.randn(n, *probe.SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = low.alpha * draws(model, n) + low.sigma * noise
    with torch.no_grad():
        z = encoded(x, work(chosen, model, x, 1e-6)).numpy()
    mean = high.alpha * marginal_variances(chosen)[0] / chosen.prior_std
    assert stats.chi2.sf(n * ((z.mean(0) - mean) ** 2).sum(), D) > P
    ratios = (n - 1) * z.var(0, ddof=1)
    below = stats.chi2.cdf(ratios.sum(), D * (n - 1))
    assert P / 2 < below < 1 - P / 2
    assert stats.kstest(ratios.ravel(), stats.chi2(n - 1).cdf).pvalue > P


def reading(name: str, *left: Tensor, parts: int = 1) -> MetricResult:
    """A metric on tensors with a row per image, in several batches."""
    metric: Metric = installed().build("metrics", name, {})
    measured = metric.start(torch.device("cpu"))
    for batch in zip(*(tensor.chunk(parts) for tensor in left), strict=True):
        measured.update(*batch)
    return measured.compute()


def normal(seed: int, n: int = 500, shape: tuple[int, ...] = (3, 4, 4)) -> Tensor:
    """Standard normal latents."""
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def test_latent_fd() -> None:
    """Nought of the prior's own draws, within four errors; of others ``m^2 + (s - 1)^2``."""
    z = normal(0)
    found = reading("latent_fd", z, parts=4)
    assert found.error is not None
    assert abs(found.value) < 4 * found.error
    assert found.details["mean_square"] == pytest.approx(float((z**2).mean()), rel=1e-5)
    other = reading("latent_fd", 0.3 + 1.2 * z, parts=3)
    assert other.error is not None
    assert abs(other.value - (0.3**2 + 0.2**2)) < 4 * other.error
    with pytest.raises(BenchError, match="at least 2 images"):
        reading("latent_fd", z[:1])


def test_latents_beside_each_other() -> None:
    """Of normal latents whose correlation is known, both metrics, their error and what shuffling leaves."""
    x, e = normal(0), normal(1)
    y = 0.8 * x + 0.6 * e
    d, n = x[0].numel(), len(x)
    found = reading("latent_correlation", x, y, parts=4)
    # the spread of a correlation is (1 - r^2) / sqrt(n), of the mean of d independent ones sqrt(d) less
    spread = (1 - 0.8**2) / math.sqrt(n * d)
    assert abs(found.value - 0.8) < 4 * spread
    assert found.error is not None
    assert 0.5 < found.error / spread < 2
    assert abs(found.details["shuffled"]) < 4 / math.sqrt(n * d)
    assert found.details["quantiles"]["5%"] < found.value < found.details["quantiles"]["95%"]
    for name in ("latent_correlation", "latent_difference"):
        # whatever the batches, and to numpy's own figures
        whole, parts = reading(name, x, y), reading(name, x, y, parts=7)
        assert parts.value == pytest.approx(whole.value, rel=1e-12)
        assert parts.error == pytest.approx(whole.error, rel=1e-9)
        assert parts.details["shuffled"] == pytest.approx(whole.details["shuffled"], rel=1e-9)
    a, b = (z.flatten(1).double().numpy() for z in (x, y))
    for other, told in ((b, found.value), (np.roll(b, -1, axis=0), found.details["shuffled"])):
        by_hand = [np.corrcoef(a[:, j], other[:, j])[0, 1] for j in range(d)]
        assert told == pytest.approx(np.mean(by_hand), rel=1e-9)
    difference = reading("latent_difference", x, y)
    assert difference.value == pytest.approx(np.sqrt(((a - b) ** 2).mean(0)).mean(), rel=1e-12)
    assert difference.error is not None
    assert abs(difference.value - math.sqrt(0.4)) < 4 * difference.error + 0.4 / n
    assert difference.details["shuffled"] == pytest.approx(math.sqrt(2), rel=0.02)
    with pytest.raises(BenchError, match="at least 3 images"):
        reading("latent_difference", x[:2], y[:2])


def test_identifiability_of_two_gaussians() -> None:
    """Their latents are linear in the image, ``(x - alpha m) / sqrt(v_eps)`` but for the prior's own."""
    chosen = law("vp")
    model = thin(chosen)
    found = model.data
    wider = Mixture(found.weight, found.mean + 0.1, 4 * found.variance)
    other = MixtureModel(wider, "cpu", torch.float64, color=None, range_=chosen.data_range)
    x = draws(model, 8)
    asked: list[str] = []

    def load(name: str) -> MixtureModel:
        asked.append(name)
        return other

    given = work(chosen, model, x, 1e-8, load=load)
    both = task("identifiability", other="gmm-cifar10")
    with torch.no_grad():
        both.warm(work(chosen, model, x, load=load))
        assert asked == ["gmm-cifar10"]
        left = both.run(given)
    np.testing.assert_allclose(left["latents"].numpy(), pushed(chosen, x.numpy()), atol=1e-4)
    low, high = chosen.at(chosen.eps), chosen.at(chosen.end)
    v_low, v_high = (level.alpha**2 * wider.variance + level.sigma**2 for level in (low, high))
    truth = high.alpha * wider.mean + np.sqrt(v_high / v_low) * (x.numpy() - low.alpha * wider.mean)
    np.testing.assert_allclose(left["other_latents"].numpy(), truth, atol=1e-4)
    alone = work(chosen, model, x, 1e-8)
    with torch.no_grad():
        encoded(x, alone)
    assert given.prediction.calls > alone.prediction.calls + 50


def test_the_arc() -> None:
    """Ends to the bit, the length kept, equal angles; and between a point and itself."""
    a, b = normal(0, 5).double(), normal(1, 5).double()
    a, b = (z / z.flatten(1).norm(dim=1)[:, None, None, None] for z in (a, b))
    assert torch.equal(spherical(a, b, 0.0), a)
    assert torch.equal(spherical(a, b, 1.0), b)
    way = [spherical(a, b, w).flatten(1) for w in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for z in way:
        torch.testing.assert_close(z.norm(dim=1), torch.ones(5, dtype=torch.float64))
    steps = torch.stack([(one * two).sum(1) for one, two in itertools.pairwise(way)])
    torch.testing.assert_close(steps, steps[:1].expand(4, -1))
    torch.testing.assert_close(spherical(a, a, 0.3), a)


def test_interpolation_of_a_gaussian() -> None:
    """Ends are the decoded images; the temperature scales latents, as the Gaussian's flow shows exactly: but
    for the arc's angle, which has the latents' own error, magnified as the flow stretches narrow ones."""
    chosen, points, tol = law("vp"), 4, 1e-6
    model = thin(chosen)
    x = draws(model, 3)
    given = work(chosen, model, x.repeat_interleave(points, 0), tol)
    with torch.no_grad():
        made = task("interpolate", points=points).run(given)["images"].view(3, points, *probe.SHAPE)
        whole = task("encode").run(work(chosen, model, x, tol))
        cooler = task("interpolate", points=points, temperature=0.5).run(given)["images"]
    for end, expected in ((made[:, 0], whole["images"]), (made[:, -1], whole["images"].roll(-1, 0))):
        assert off(model.states(end), model.states(expected)) < 20 * tol
    mean, v_low, v_high = marginal_variances(chosen)
    low, high = chosen.at(chosen.eps), chosen.at(chosen.end)
    z = torch.from_numpy(pushed(chosen, x.numpy()))
    middle = 0.5 * spherical(z, z.roll(-1, 0), 1 / 3).numpy()
    truth = low.alpha * mean + np.sqrt(v_low / v_high) * (middle - high.alpha * mean)
    found = model.states(cooler).view(3, points, *probe.SHAPE)[:, 1]
    assert off(found, torch.from_numpy(truth)) < math.sqrt((v_high / v_low).max()) * tol


def test_decoding_undoes_encoding_on_a_mixture() -> None:
    chosen = law("ve")
    model = thin(chosen, probe.MIXTURE)
    x = draws(model, 8)
    given = work(chosen, model, x, 1e-5)
    with torch.no_grad():
        back = decoded(encoded(x, given), given)
    assert off(back, x) < 20 * 1e-5


Run = Callable[..., str]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``bench run`` in a folder; its output, or its only line of error."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("other.npz", rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8))
    np.savez("images.npz", rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["run", "--task", *arguments, "--device", "cpu"])
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        assert "Traceback" not in out + err
        if status == 2:
            assert len(err.splitlines()) == 1
            return err
        return out

    return call


def records() -> dict[str, dict[str, Any]]:
    """Records of the results folder by their task."""
    found = [json.loads(path.read_text()) for path in Path("results", "records").glob("*.json")]
    return {record["identity"].get("task", {}).get("name", "generate"): record for record in found}


GAUSSIAN = ("--checkpoint", "gaussian-cifar10", "--tol", "1e-2")


def test_runs_of_draws_of_samples_and_their_pictures(bench: Run) -> None:
    bench("encode", *GAUSSIAN, "--samples", "4")
    made = records()["encode"]
    assert set(made["metrics"]) == {"round_trip", "latent_fd"}
    assert made["metrics"]["round_trip"]["value"] < 0.2
    bench("interpolate", *GAUSSIAN, "--samples", "6", "-P", "task.points=3", "--data", made["fingerprint"])
    found = records()["interpolate"]
    assert found["identity"]["data"]["kind"] == "run"
    with Image.open(found["preview"]) as picture:
        assert picture.size == (3 * 66 + 2, 2 * 66 + 2)  # 32 pixels twice enlarged, 2 between them


def test_a_network_beside_the_gaussian(bench: Run) -> None:
    tiny = ("--checkpoint", "cifar10-tiny", "--sde", "vp", "--tol", "0.1", "--precision", "bf16")
    bench("identifiability", *tiny, "--samples", "4", "--data", "images.npz")
    found = records()["identifiability"]
    assert set(found["metrics"]) == {"latent_correlation", "latent_difference"}
    assert found["metrics"]["latent_difference"]["details"]["shuffled"] > 0
    sha256 = installed().get("checkpoints", "gaussian-cifar10").thing.digest()
    assert found["identity"]["task"]["provenance"]["gaussian-cifar10"]["sha256"] == sha256


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("encode", "--checkpoint", "cifar10-tiny"), "the task encode works on images: give --data"),
        (("encode", *GAUSSIAN, "--data", "other.npz", "--samples", "4"), "is of 3x16x16 images"),
        (("encode", *GAUSSIAN, "--data", "images.npz", "--samples", "5"), "holds 4 images, 5 are asked for"),
        (
            ("encode", "--checkpoint", "gaussian-cifar10", "--predictor", "ancestral"),
            "encode follows the probability flow: give --solver rk45, not ancestral",
        ),
        (("identifiability", *GAUSSIAN), "gaussian-cifar10 would be set beside itself: give another"),
        (
            ("identifiability", *GAUSSIAN, "-P", "task.other=gmm-cifar10", "--samples", "2"),
            "latent_correlation needs 3 images or more: --samples 3 or more, not 2",
        ),
        (("identifiability", *GAUSSIAN, "-P", "task.other=gmm-cifar"), "unknown checkpoint 'gmm-cifar'"),
        (("interpolate", *GAUSSIAN, "--samples", "12"), "multiples of 16 for --samples and --batch-size"),
        (
            ("interpolate", *GAUSSIAN, "--samples", "24", "--batch-size", "16"),
            "multiples of 16 for --samples and --batch-size",
        ),
        (("interpolate", *GAUSSIAN, "--samples", "8"), "two or more rows of 8 in each batch"),
        (("interpolate", *GAUSSIAN, "-P", "task.points=1"), "interpolate.points must be >= 2"),
        (
            ("interpolate", *GAUSSIAN, "--data", "images.npz", "--samples", "48"),
            "holds 4 images, 6 are asked for: --samples 32",
        ),
    ],
)
def test_refused_in_a_line(bench: Run, arguments: tuple[str, ...], said: str) -> None:
    assert said in bench(*arguments, status=2)
    assert not Path("results").exists()
