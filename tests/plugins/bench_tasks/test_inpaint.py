"""Inpainting and colourisation: the known part, what stands in for it on the way, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import Model, Noise, NoiseLevel, Tensor
from bench.cli import main
from bench_tasks.colorize import GREY
from bench_tasks.known import KnownPart, Replace, turned
from bench_tasks.masks import known_pixels, said
from tests.support.analytic import sde
from tests.support.completions import SDES, Shrinking, decoupled, pc, pixels, small_gaussian, task, work

TASKS: dict[str, dict[str, Any]] = {
    "left": {"name": "inpaint"},
    "box": {"name": "inpaint", "mask": "box"},
    "random": {"name": "inpaint", "mask": "random:0.4"},
    "colorize": {"name": "colorize"},
}
EPS = float(np.finfo(np.float32).eps)
MODELS: dict[str, Callable[..., Model]] = {"coefficients": small_gaussian, "pixels": Shrinking}


@pytest.mark.parametrize("given", TASKS.values(), ids=TASKS.keys())
@pytest.mark.parametrize("name", SDES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_what_is_known_is_kept(model: Callable[..., Model], name: str, given: dict[str, Any]) -> None:
    """To the rounding of float32: the last of some 16 operations, on states within 3 on either side of 0."""
    sampler = pc(name, corrector="langevin", steps=5)
    originals = pixels(np.random.default_rng(1), 3, 8)
    left = task(**given).run(work(sampler, model(sampler.sde, 8), originals, 2))
    off = decoupled(left, left["images"]) - decoupled(left, left["original"])
    assert float(off.abs().max()) < 16 * 3 * EPS
    # and the rest is not: two completions of an image differ
    first, second = left["images"][::2], left["images"][1::2]
    assert float((first - second).abs().amax(dim=(1, 2, 3)).min()) > 0.01
    assert torch.equal(left["original"], originals.repeat_interleave(2, dim=0))


@pytest.mark.parametrize("order", ["corrector_first", "predictor_first"])
@pytest.mark.parametrize("denoise", ["mean", "tweedie", "none"])
@pytest.mark.parametrize("predictor", ["ancestral", "none", "heun"])
def test_it_is_kept_however_a_run_ends(predictor: str, denoise: str, order: str) -> None:
    sampler = pc("vp", predictor, "langevin", steps=4)
    object.__setattr__(sampler, "denoise", denoise)
    object.__setattr__(sampler, "order", order)
    originals = pixels(np.random.default_rng(1), 2, 4)
    left = task("inpaint").run(work(sampler, small_gaussian(sampler.sde, 4), originals, 2))
    off = decoupled(left, left["images"]) - decoupled(left, left["original"])
    assert float(off.abs().max()) < 16 * 3 * EPS


@pytest.mark.parametrize("name", SDES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("given", [TASKS["random"], TASKS["colorize"]], ids=["inpaint", "colorize"])
def test_in_the_middle_of_a_run_the_known_part_has_the_forward_marginal(
    given: dict[str, Any], model: Callable[..., Model], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each move known pixels are N(alpha y, sigma^2), independent of each other: z-scores over 2000."""
    seen: list[tuple[NoiseLevel, Tensor]] = []
    project = Replace.project

    def spy(self: Replace, x: Tensor, level: NoiseLevel, noise: Noise) -> Tensor:
        after = project(self, x, level, noise)
        seen.append((level, self.model.images(after) - self.image_of_zero))
        return after

    monkeypatch.setattr(Replace, "project", spy)
    sampler, n = pc(name, corrector="langevin", steps=3), 2000
    low, high = sampler.sde.data_range
    original = pixels(np.random.default_rng(1), 1, 4)
    left = task(**given).run(work(sampler, model(sampler.sde, 4), original, n))
    # a corrector's move, a predictor's: at each scale, at the next; then the result
    plan = sampler.schedule()
    assert [level.sigma for level, _ in seen] == [
        plan[0].sigma, plan[1].sigma, plan[1].sigma, plan[2].sigma, plan[2].sigma, 0, 0,
    ]  # fmt: skip
    for level, images in seen[:5]:
        # states are (high - low) image + low, up to a rotation
        y = low / (high - low) + original
        z = decoupled(left, images - level.alpha * y) * ((high - low) / level.sigma)
        count = z.shape[1]
        assert float(z.mean(dim=0).abs().max()) < 5 / math.sqrt(n)
        covariance = z.T @ z / n
        assert float((covariance - torch.eye(count)).abs().max()) < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_what_is_put_in_leaves_the_rest(model: Callable[..., Model]) -> None:
    run = sde("vp")
    rng = np.random.default_rng(2)
    axes, mask = task("colorize").part((3, 8, 8))  # type: ignore[attr-defined]
    part = KnownPart(torch.from_numpy(axes).float(), torch.from_numpy(mask).float())
    small = model(run, 8)
    condition = Replace(small, pixels(rng, 4, 8), part)
    x = small.states(pixels(rng, 4, 8))
    after = condition.project(x, NoiseLevel(0.5, 0.6, 0.8), torch.randn_like)
    rest, rest_after = (small.images(s) - part(small.images(s)) for s in (x, after))
    assert torch.allclose(rest, rest_after, atol=64 * EPS)
    assert not torch.allclose(part(small.images(x)), part(small.images(after)), atol=0.1)


def test_grey_is_the_first_of_three_orthogonal_axes() -> None:
    assert np.allclose(GREY @ GREY.T, np.eye(3), atol=1e-15)
    assert np.allclose(GREY[0], 1 / math.sqrt(3), atol=1e-15)
    grey = torch.full((1, 3, 2, 2), 0.4, dtype=torch.float64)
    assert torch.allclose(turned(torch.from_numpy(GREY), grey)[:, 1:], torch.zeros(1, 2, 2, 2).double())


def test_a_colourless_image_is_what_is_known_of_it() -> None:
    sampler = pc("vp", steps=2)
    originals = pixels(np.random.default_rng(3), 2, 4)
    colorize = task("colorize", completions=2)
    left = colorize.run(work(sampler, small_gaussian(sampler.sde, 4), originals, 2))
    picture = colorize.preview(left)
    assert picture is not None
    grey = originals.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(picture[0][1::4], grey)


def test_masks() -> None:
    left, box = known_pixels("left", 4, 6), known_pixels("box", 8, 8)
    assert left.tolist() == [[True] * 3 + [False] * 3] * 4
    assert box.sum() == 48
    assert not box[2:6, 2:6].any()
    random = known_pixels("random:0.3", 10, 10)
    assert random.sum() == 30
    assert (random == known_pixels("random:0.3", 10, 10)).all()


def test_a_mask_is_read_from_a_file(tmp_path: Path) -> None:
    known = known_pixels("random:0.5", 4, 6)
    for name, mode in (("grey", "L"), ("bits", "1"), ("rgb", "RGB")):
        Image.fromarray(known.astype(np.uint8) * 255).convert(mode).save(tmp_path / f"{name}.png")
    np.save(tmp_path / "bool.npy", known)
    np.save(tmp_path / "float.npy", known.astype(np.float32))
    for file in tmp_path.iterdir():
        assert (known_pixels(str(file), 4, 6) == known).all(), file
    # the record knows the content, not the folder
    before = said(str(tmp_path / "bool.npy"))
    np.save(tmp_path / "bool.npy", ~known)
    assert before.startswith("bool.npy ")
    assert said(str(tmp_path / "bool.npy")) != before
    assert task("inpaint", mask=str(tmp_path / "grey.png")).values()["mask"].startswith("grey.png ")
    assert task("inpaint").values() == {"completions": 4, "mask": "left"}


def test_a_picture_has_a_row_for_each_image() -> None:
    sampler = pc("vp", steps=2)
    inpaint = task("inpaint", completions=3)
    originals = pixels(np.random.default_rng(4), 2, 4)
    left = inpaint.run(work(sampler, small_gaussian(sampler.sde, 4), originals, 3))
    picture = inpaint.preview(left)
    assert picture is not None
    images, columns = picture
    assert (columns, len(images)) == (5, 10)
    for row in range(2):
        mine = slice(3 * row, 3 * row + 3)
        assert torch.equal(images[5 * row], left["original"][3 * row])
        assert bool((images[5 * row + 1][..., 2:] == 0.5).all())
        assert torch.equal(images[5 * row + 1][..., :2], originals[row][..., :2])
        assert torch.equal(images[5 * row + 2 : 5 * row + 5], left["images"][mine])


@pytest.mark.parametrize(("completions", "count"), [(3, 66), (5, 100), (70, 140)])
def test_a_picture_has_whole_rows_alone(completions: int, count: int) -> None:
    """Of 64 samples or a few less, or of one image whose completions are more."""
    shape = (3, 2, 2)
    left = {name: torch.zeros(count, *shape) for name in ("images", "original")}
    left |= {"known": torch.ones(count, *shape, dtype=torch.bool), "axes": torch.eye(3).expand(count, 3, 3)}
    picture = task("inpaint", completions=completions).preview(left)
    assert picture is not None
    rows = max(64 // completions, 1)
    assert (len(picture[0]), picture[1]) == (rows * (completions + 2), completions + 2)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """``bench run --task …`` in a folder of masks and images: the line that it is refused with."""
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", np.eye(16, dtype=bool))
    np.save("grey.npy", np.linspace(0, 1, 1024).reshape(32, 32))
    np.save("objects.npy", np.array([{}, None]), allow_pickle=True)
    np.save("none.npy", np.zeros((32, 32), dtype=bool))
    np.save("all.npy", np.ones((32, 32), dtype=bool))
    Image.new("L", (32, 30), 255).save("flat.png")
    Path("broken.png").write_bytes(b"no picture")
    np.savez("wide.npz", images=np.zeros((16, 32, 40, 3), np.uint8))
    np.savez("few.npz", images=np.zeros((3, 32, 32, 3), np.uint8))

    def call(*arguments: str) -> str:
        given = ("--checkpoint", "gaussian-cifar10") if "--checkpoint" not in arguments else ()
        with pytest.raises(SystemExit) as stop:
            main(["run", "--samples", "16", "--task", *arguments, *given])
        out, err = capsys.readouterr()
        assert stop.value.code == 2, out + err
        assert len(err.splitlines()) == 1, err
        assert err.startswith("bench: ")
        assert not Path("results").exists()
        return err

    return call


REFUSED = {
    "name": ("mask=lft", "unknown mask 'lft' (did you mean 'left'?"),
    "share": ("mask=random:1.5", "share of known pixels must lie between 0 and 1, not '1.5'"),
    "no share": ("mask=random", "share of known pixels must lie between 0 and 1, not ''"),
    "no number": ("mask=random:nan", "share of known pixels must lie between 0 and 1, not 'nan'"),
    "rounded to nothing": ("mask=random:1e-5", "knows nothing"),
    "rounded to all": ("mask=random:0.99999", "knows everything"),
    "size": ("mask=small.npy", "the mask small.npy is 16x16 pixels, the images are 32x32"),
    "size of a picture": ("mask=flat.png", "the mask flat.png is 32x30 pixels, the images are 32x32"),
    "nothing": ("mask=none.npy", "the mask none.npy knows nothing"),
    "everything": ("mask=all.npy", "the mask all.npy knows everything"),
    "greys": ("mask=grey.npy", "the mask grey.npy must be black and white"),
    "objects": ("mask=objects.npy", "the mask objects.npy is no .npy, or damaged"),
    "broken": ("mask=broken.png", "the mask broken.png is no PNG, or damaged"),
    "missing": ("mask=gone.png", "the mask gone.png can't be read: No such file"),
    "one completion": ("completions=1", "completions must be >= 2"),
    "samples": ("completions=3", "--samples must be a multiple of the 3 samples made of an image"),
}


@pytest.mark.parametrize(("given", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_mask_is_told_in_a_line(refused: Any, given: str, told: str) -> None:
    assert told in refused("inpaint", "-P", f"task.{given}")


@pytest.mark.parametrize("name", ["inpaint", "colorize"])
def test_what_it_cannot_do_is_told_in_a_line(refused: Any, name: str) -> None:
    assert "leave out --solver rk45" in refused(name, "--solver", "rk45")
    assert "give --data" in refused(name, "--checkpoint", "cifar10-tiny")
    assert "is of 3x32x40 images, gaussian-cifar10 takes 3x32x32" in refused(name, "--data", "wide.npz")
    assert "few.npz holds 3 images, 4 are asked for: --samples 12" in refused(name, "--data", "few.npz")
    assert "--batch-size must be a multiple of the 4" in refused(name, "--batch-size", "6")
    told = refused(name, "--metric", "known_eror")
    assert "unknown metric 'known_eror' (did you mean 'known_error'?" in told
    assert "has no parameter 'masks'" in refused(name, "-P", "task.masks=left")


def test_the_metric_needs_a_task_that_leaves_what_it_reads(refused: Any) -> None:
    told = refused("generate", "--metric", "known_error")
    assert "known_error reads original, which the task generate does not leave" in told


def test_nothing_is_shared_between_images_of_a_batch() -> None:
    """An image's completions don't depend on the other images where the sampler couples none."""
    sampler = pc("vp", steps=4)
    small = small_gaussian(sampler.sde, 4)
    originals = pixels(np.random.default_rng(5), 2, 4)
    both = task("inpaint").run(work(sampler, small, originals, 4))
    other = task("inpaint").run(work(sampler, small, torch.stack([originals[0], originals[0]]), 4))
    assert torch.allclose(both["images"][:4], other["images"][:4], atol=1e-6)
