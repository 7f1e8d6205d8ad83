"""The page of findings names each script and a test of ours; what no other test holds is held here."""

from __future__ import annotations

import re
import weakref

import numpy as np
import pytest
import torch

from bench import NoiseLevel, Prediction, Sampler, Tensor
from bench.diffusion.prediction import At
from tests.support.analytic import gaussian, grid_of, sde
from tests.support.pages import page
from tests.support.paths import ROOT
from tests.support.plugins import installed

PAGE = "docs/findings.md"
FAST = ("ddim", "deis", "dpmpp_2m", "dpmpp_3m", "unipc", "ipndm", "heun", "euler", "sa_solver", "er_sde")


def rows() -> list[list[str]]:
    """The table's rows, a list of cells each."""
    lines = [line for line in page(PAGE).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_and_the_folder_agree() -> None:
    named = [row[0].strip("`") for row in rows()]
    assert named == sorted(path.name for path in (ROOT / "findings").glob("*.sh"))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0].strip("`"))
def test_a_row_says_what_it_means_and_names_a_test(row: list[str]) -> None:
    assert len(row) == 4
    assert all(len(cell) > 30 for cell in row[1:3])
    file, _, name = row[3].strip("`").partition("::")
    assert re.search(rf"^def {re.escape(name)}\(", (ROOT / file).read_text(), re.MULTILINE), row[3]


def result(name: str, variance: float, steps: int, grid: str = "logsnr") -> Tensor:
    """Samples (4000, 1) of N(0, variance) by a sampler with the exact score on VP."""
    law, shape = sde("vp"), (1,)
    model = gaussian(np.zeros(shape), np.full(shape, variance))
    sampler = Sampler(
        sde=law, predictor=installed().build("predictors", name, {}), steps=steps, grid=grid_of(grid)
    )
    generator = torch.Generator().manual_seed(0)

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    with torch.no_grad():
        return sampler.run(
            noise(torch.empty(4000, 1, dtype=torch.float64)), Prediction(model, law), noise, noise
        )


@pytest.mark.parametrize("name", FAST)
def test_samplers_end_on_clean_data(name: str) -> None:
    """Of data that is a point nothing but the point is left, where noise of 0.01 would be 1e-2."""
    assert float(result(name, 1e-12, 20).std()) < 1e-5


def test_more_steps_of_deis_are_better() -> None:
    """Held to the flow to eps and the data expected there: the error falls with order 4 to 1000 steps."""
    law = sde("vp")
    alpha, sigma = (of(np.array([law.eps, law.end])) for of in (law.alpha, law.sigma))
    deviation = np.sqrt(0.25 * alpha**2 + sigma**2)
    factor = deviation[0] / deviation[1] * 0.25 * alpha[0] / deviation[0] ** 2
    start = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = [
        float((result("deis", 0.25, steps) - factor * start).square().mean().sqrt())
        for steps in (100, 500, 1000)
    ]
    assert errors[0] / errors[1] > 5**3.5
    assert errors[1] / errors[2] > 2**3.5


@pytest.mark.parametrize("name", ["ipndm", "ipndm_v", "dpmpp_2m", "dpmpp_3m", "deis", "unipc"])
def test_a_method_with_a_history_keeps_a_few_outputs(name: str) -> None:
    """As many tensors are alive after 40 steps as after 10."""
    law = sde("vp")

    class Recorder(Prediction):
        def denoised(self, x: Tensor, at: At) -> Tensor:
            return self.note(super().denoised(x, at))

        def noise(self, x: Tensor, at: At) -> Tensor:
            return self.note(super().noise(x, at))

        def note(self, answer: Tensor) -> Tensor:
            outputs.append(weakref.ref(answer))
            alive.append(sum(one() is not None for one in outputs))
            return answer

    outputs: list[weakref.ref[Tensor]] = []
    alive: list[int] = []
    sampler = Sampler(
        sde=law, predictor=installed().build("predictors", name, {}), steps=40, grid=grid_of("logsnr")
    )
    zeros = torch.zeros(1, 1, dtype=torch.float64)
    sampler.run(zeros, Recorder(gaussian(np.zeros(1), np.ones(1)), law), torch.zeros_like, torch.zeros_like)
    assert len(alive) == 40
    assert max(alive) == max(alive[:10]) <= 5


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("grid", ["uniform", "logsnr", "polynomial", "time_uniform"])
def test_one_step_starts_at_the_most_noise(name: str, grid: str) -> None:
    """One step is the expected data at T, the mean: not the first noise, of standard deviation 1."""
    assert float(result(name, 0.25, 1, grid).std()) < 0.01


@pytest.mark.parametrize("grid", ["logsnr", "polynomial", "ays", "time_uniform"])
def test_a_network_is_told_the_level_of_its_states(grid: str) -> None:
    """Between the training's steps too: the level asked at is the step's own, to rounding."""
    law = sde("vp")
    sampler = Sampler(
        sde=law, predictor=installed().build("predictors", "dpmpp_2m", {}), steps=10, grid=grid_of(grid)
    )
    schedule, levels = sampler.schedule(), []

    class Recorder(Prediction):
        def denoised(self, x: Tensor, at: object) -> Tensor:
            assert isinstance(at, NoiseLevel)
            levels.append(at)
            return super().denoised(x, at)

    zeros = torch.zeros(1, 1, dtype=torch.float64)
    sampler.run(zeros, Recorder(gaussian(np.zeros(1), np.ones(1)), law), torch.zeros_like, torch.zeros_like)
    assert len(levels) == len(schedule) == 10
    for at, step in zip(levels, schedule, strict=True):
        assert (at.sigma, at.alpha) == (step.sigma, step.alpha)
        t = np.array(at.t)
        assert float(law.sigma(t) / law.alpha(t)) == pytest.approx(step.sigma / step.alpha, rel=1e-9)
