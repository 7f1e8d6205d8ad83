"""Which figures stand beside a run: every field of the key counts, and what is not stated matches nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.reporting.matching import Matcher, sampler_name
from bench.reporting.published_figures import PublishedFigure, all_figures
from bench.results.record import Record
from tests.support.made_up import figure, identity, metric_record, plugin, record
from tests.support.plugins import installed

EDM = "edm-cifar10-uncond-vp"
FID: dict[str, Any] = {
    "rounding": "round",
    "extrapolate": False,
    "preset": "edm",
    "mode": "legacy_tensorflow",
    "reference": "cifar10-train",
}


def run(
    predictor: str = "heun",
    nfe: float = 19,
    grid: str | None = "polynomial",
    checkpoint: str = EDM,
    metric: dict[str, Any] | None = None,
    sde: str = "vp",
    own: dict[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """A finished run of a sampler with its default parameters but for ``own``, measured by FID."""
    registry = installed()
    process = registry.build("sdes", sde, {})
    part = registry.build("predictors", predictor, own or {}).resolve(process)
    base = identity()
    fields = {
        "checkpoint": base.checkpoint.model_copy(update={"name": checkpoint}),
        "sde": plugin(sde, **process.values()),
        "predictor": plugin(predictor, **part.values()),
        "grid": None if grid is None else plugin(grid, **registry.build("grids", grid, {}).values()),
        "order": "corrector_first",
    }
    value = metric_record(metric="fid", parameters=FID | (metric or {}))
    made_up = record(identity=identity(**(fields | changes)), metrics={"fid-edm": value})
    assert made_up.cost is not None
    return made_up.model_copy(update={"cost": made_up.cost.model_copy(update={"nfe": nfe})})


def beside(one: PublishedFigure, made_up: Record) -> bool:
    """Whether the figure stands beside the run."""
    return Matcher([one], installed()).beside(made_up, "fid-edm") == (one,)


def test_a_figure_stands_beside_the_run_of_its_key() -> None:
    assert beside(figure(), run())
    assert beside(figure(parameters={}), run())  # 7 is the grid's default
    assert beside(figure(sde="vp"), run())


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint": "edm-cifar10-uncond-ve"},
        {"checkpoint": ""},
        {"dataset": "ffhq-64x64"},
        {"dataset": ""},
        {"metric": "kid"},
        {"preset": "song2021"},
        {"preset": "none"},
        {"preset": ""},
        {"sde": "ve"},
        {"sampler": "ddim"},
        {"sampler": "heun + langevin"},
        {"sampler": ""},
        {"parameters": {"grid.rho": 5.0}},
        {"parameters": {"grid.rho": None}},
        {"parameters": {"predictor.s_churn": 40.0}},
        {"parameters": {"predictor.s_churn": None}},
        {"parameters": {"predictor.unknown": 1.0}},
        {"parameters": {"label_scales": 1000}},
        {"parameters": {"denoise": "none"}},
        {"parameters": {"steps": 3}},
        {"grid": "logsnr", "parameters": {}},
        {"grid": ""},
        {"nfe": 18},
        {"nfe": None},
        {"guidance": "a network"},
        {"guidance": ""},
    ],
)
def test_a_figure_of_any_other_key_does_not(change: dict[str, Any]) -> None:
    assert not beside(figure(**change), run())


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint": "edm-cifar10-uncond-ve"},
        {"metric": {"preset": "none"}},
        {"metric": {"extrapolate": True}},
        {"metric": {"reference": "mine.npz"}},
        {"predictor": "dpmpp_2m"},
        {"own": {"s_churn": 40.0}},
        {"grid": "logsnr"},
        {"nfe": 9},
        {"denoise": "none"},
        {"labels": 3},
        {"task": plugin("guided", scale=2.0)},
        {"corrector": plugin("langevin")},
    ],
)
def test_nor_does_it_beside_any_other_run(change: dict[str, Any]) -> None:
    assert not beside(figure(), run(**change))


def test_nor_where_the_network_is_called_off_its_own_sde() -> None:
    made_up = run()
    checkpoint = made_up.identity.checkpoint.model_copy(update={"convention": "rescaled"})
    other = made_up.identity.model_copy(update={"checkpoint": checkpoint})
    assert not beside(figure(sde="vp"), made_up.model_copy(update={"identity": other}))


def test_a_class_conditional_network_is_given_classes_as_published() -> None:
    assert beside(figure(), run(labels="seed"))


def test_parameters_are_those_that_the_sampler_has_on_the_run_s_sde() -> None:
    """DEIS's polynomial is in t on VP, and ancestral sampling has the variance published for the SDE."""
    one = figure(sampler="deis", parameters={"predictor.variable": "t"})
    assert beside(one, run("deis"))
    assert not beside(
        figure(sampler="deis", parameters={"predictor.variable": "t"}), run("deis", sde="vp_cosine")
    )
    paper = figure(sampler="ancestral", grid="uniform", parameters={})
    assert beside(paper, run("ancestral", grid="uniform"))
    assert not beside(paper, run("ancestral", grid="uniform", own={"variance": "posterior"}))


def test_no_shipped_figure_stands_beside_another_checkpoint_data_set_or_metric() -> None:
    """Every figure of one predictor whose key is stated, against its own run and three that are of another
    thing."""
    registry = installed()
    names = registry.names("predictors")
    count = 0
    for one in all_figures():
        stated = one.checkpoint and one.nfe and one.grid and one.preset and one.guidance
        if one.sampler not in names or not stated or None in one.parameters.values() or one.metric != "fid":
            continue
        own = {
            name.removeprefix("predictor."): value
            for name, value in one.parameters.items()
            if name.startswith("predictor.")
        }
        mode = {"rounding": "truncate" if one.preset == "song2021" else "round"}
        metric = mode | {"preset": one.preset, "reference": one.dataset}
        setting: dict[str, Any] = {
            **{
                "predictor": one.sampler,
                "nfe": one.nfe,
                "grid": one.grid,
                "own": own,
                "sde": one.sde or "vp",
            },
            **{
                "label_scales": one.parameters.get("label_scales"),
                "checkpoint": one.checkpoint,
                "metric": metric,
            },
        }
        count += 1
        assert beside(one, run(**setting)), one
        assert not beside(one, run(**setting | {"checkpoint": "gaussian-cifar10"}))
        assert not beside(one, run(**setting | {"metric": metric | {"reference": "svhn-train"}}))
        assert not beside(one, run(**setting | {"metric": metric | {"mode": "clean"}}))
    assert count > 150


CHECKPOINTS = [EDM, "edm-cifar10-uncond-ve", "edm-ffhq-64-uncond-vp", "score-sde-vp-ddpm", "gaussian-cifar10"]
DATASETS = ["cifar10-train", "cifar10-test", "ffhq-64x64", "imagenet-64x64", "mine.npz"]
FIGURES = all_figures()


@settings(max_examples=60, deadline=None)
@given(
    checkpoint=st.sampled_from(CHECKPOINTS),
    dataset=st.sampled_from(DATASETS),
    preset=st.sampled_from(["edm", "song2021", "clean", "none"]),
    predictor=st.sampled_from(["ddim", "heun", "dpmpp_3m", "unipc", "deis", "ipndm", "ancestral"]),
    grid=st.sampled_from(["polynomial", "logsnr", "time_uniform", "quadratic", "uniform"]),
    nfe=st.sampled_from([3, 5, 6, 8, 10, 19, 20, 35, 1000, 2000]),
)
def test_of_all_shipped_figures_those_beside_a_run_are_of_the_run(
    checkpoint: str, dataset: str, preset: str, predictor: str, grid: str, nfe: int
) -> None:
    """Whatever the run: none of another checkpoint, data set, metric, sampler, grid or number of calls."""
    truncates = preset == "song2021"
    metric = {"preset": preset, "reference": dataset, "rounding": "truncate" if truncates else "round"}
    metric |= {"mode": "clean" if preset == "clean" else "legacy_tensorflow"}
    made_up = run(predictor, nfe=nfe, grid=grid, checkpoint=checkpoint, metric=metric)
    for one in Matcher(FIGURES, installed()).beside(made_up, "fid-edm"):
        key = (one.checkpoint, one.dataset, one.metric, one.preset, one.sampler, one.grid, one.nfe)
        assert key == (checkpoint, dataset, "fid", preset, predictor, grid, nfe)
        assert one.guidance == "none"
        assert None not in one.parameters.values()


def test_sources_that_disagree_stand_in_one_cell() -> None:
    one, other = figure(value=15.93), figure(value=16.57, source="another paper")
    assert Matcher([one, figure(nfe=8), other], installed()).beside(run(), "fid-edm") == (one, other)


def test_what_is_near_says_what_is_another() -> None:
    figures = [
        figure(),
        figure(preset="song2021", source="A"),
        figure(grid="", source="B"),
        figure(parameters={"predictor.s_churn": None}, source="C"),
        figure(nfe=8),
        figure(checkpoint="edm-cifar10-uncond-ve"),
    ]
    near = {one.source: reasons for one, reasons in Matcher(figures, installed()).near(run(), "fid-edm")}
    assert near == {
        "A": ("preset song2021", "rounding truncate"),
        "B": ("grid not stated",),
        "C": ("predictor.s_churn not stated",),
    }


def test_elsewhere_is_what_was_sampled_alike() -> None:
    """Of an SDE that the table has, a figure belongs to the runs on it alone."""
    other = figure(checkpoint="another", preset="", metric="kid", sde="ve")
    matcher = Matcher([], installed())
    assert matcher.elsewhere(run(), [other, figure(nfe=8), figure(grid="logsnr")], ["vp"]) == (other,)
    assert matcher.elsewhere(run(), [other], ["ve", "vp"]) == ()
    assert matcher.elsewhere(run(sde="ve"), [other], ["ve", "vp"]) == (other,)


def test_a_figure_that_is_a_number_of_calls_is_found_by_steps_or_tolerance() -> None:
    solver = installed().build("solvers", "rk45", {"tol": 1e-3})
    made_up = run(
        predictor="none", nfe=77, solver=plugin("rk45", **solver.values()), grid=None, denoise="none"
    )
    assert sampler_name(made_up.identity) == "rk45"
    own = {"sampler": "rk45", "grid": "", "nfe": 92, "value": 92.0}
    calls = figure(**own, metric="nfe", parameters={"solver.tol": 0.001, "denoise": "none"})
    other = figure(**own, metric="nfe", parameters={"solver.tol": 0.1, "denoise": "none"})
    unknown = figure(**own, metric="nfe", parameters={"solver.tol": 0.001})
    assert Matcher([], installed()).elsewhere(made_up, [calls, other, unknown], ["vp"]) == (calls,)
    quality = figure(**own, parameters={"solver.tol": 0.001, "denoise": "none"})
    assert not Matcher([], installed()).elsewhere(made_up, [quality], ["vp"])


def test_a_plugin_that_is_gone_has_no_figure() -> None:
    made_up = run()
    gone = made_up.identity.model_copy(update={"predictor": plugin("gone")})
    assert not beside(figure(sampler="gone"), made_up.model_copy(update={"identity": gone}))
