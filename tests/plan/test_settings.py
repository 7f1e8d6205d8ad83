"""bench.toml, profiles and flags; what a plan's fingerprints depend on."""

from __future__ import annotations

import hashlib
import itertools
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError, hookimpl
from bench.checkpoints.cards import Card
from bench.files import REGISTRY, SHIPPED_TOML
from bench.plan.settings import Settings, profiles, results_folder, settings
from bench.results.run_spec import RunSpec
from tests.support import plans
from tests.support.plugins import empty_registry, installed
from tests.support.runs import exit_status

QUICK = {"checkpoint": ["gaussian-cifar10"], "steps": 30, "samples": 64, "batch_size": 16, "device": "cpu"}


def _toml(folder: Path, text: str) -> Path:
    (folder / "bench.toml").write_text(text)
    return folder


def shipped(profile: str) -> dict[str, Any]:
    """A profile as the shipped bench.toml has it."""
    profiles: dict[str, Any] = tomllib.loads(SHIPPED_TOML.read_text())["profiles"][profile]
    return profiles


def test_the_shipped_file_alone(tmp_path: Path) -> None:
    chosen, name = settings({}, None, tmp_path)
    assert name == "quick"
    assert chosen.sde == []  # the checkpoint's own
    assert shipped("quick").items() <= chosen.model_dump().items()
    paper, name = settings({}, "paper", tmp_path)
    assert (name, paper.steps, paper.samples, paper.repeats) == ("paper", 1000, 50000, 5)
    assert shipped("paper").items() <= paper.model_dump().items()


def test_the_profiles_of_both_files_are_known(tmp_path: Path) -> None:
    assert [profile.name for profile in profiles(tmp_path)] == ["digits", "exact", "paper", "quick"]
    folder = _toml(tmp_path, "[profiles.mine]\nsteps = 5\n")
    assert [profile.name for profile in profiles(folder)] == ["digits", "exact", "mine", "paper", "quick"]


def test_flags_over_own_file_over_shipped(tmp_path: Path) -> None:
    own = '[defaults]\nseed = 7\nout = "mine"\n[profiles.quick]\nsteps = 41\nsamples = 9\n'
    chosen, name = settings({"samples": 5, "sde": "ve"}, None, _toml(tmp_path, own))
    assert name == "quick"
    assert (chosen.samples, chosen.sde) == (5, ["ve"])  # flags
    assert (chosen.steps, chosen.seed, chosen.out) == (41, 7, Path("mine"))  # own file
    assert (chosen.batch_size, chosen.precision) == (shipped("quick")["batch_size"], "fp32")


def test_a_file_goes_over_the_shipped_one_and_its_profile_over_its_defaults(tmp_path: Path) -> None:
    folder = _toml(tmp_path, "[defaults]\nrepeats = 3\ngrid = 'logsnr'\n[profiles.exact]\nrepeats = 2\n")
    chosen, _ = settings({}, "paper", folder)
    assert (chosen.repeats, chosen.grid, chosen.samples) == (3, "logsnr", 50000)
    chosen, _ = settings({}, "exact", folder)
    assert (chosen.repeats, chosen.grid) == (2, "logsnr")


def test_another_selection_drops_the_files_parameters(tmp_path: Path) -> None:
    text = "[profiles.quick]\ncorrector = 'langevin'\n[profiles.quick.parameters.corrector]\nsnr = 0.2\n"
    folder = _toml(tmp_path, text)
    assert settings({}, None, folder)[0].parameters == {"corrector": {"snr": 0.2}}
    assert settings({"corrector": ["langevin"]}, None, folder)[0].parameters == {"corrector": {"snr": 0.2}}
    assert settings({"corrector": ["none"]}, None, folder)[0].parameters == {}


def test_the_choice_of_a_profile(tmp_path: Path) -> None:
    folder = _toml(tmp_path, 'profile = "exact"\n[profiles.tall]\nsteps = 77\n')
    assert settings({}, None, folder)[1] == "exact"
    assert settings({}, None, folder)[0].checkpoint == ["gaussian-cifar10"]
    chosen, name = settings({}, "tall", folder)
    assert (name, chosen.steps) == ("tall", 77)
    with pytest.raises(BenchError, match=r"unknown profile 'tal' .did you mean 'tall'"):
        settings({}, "tal", folder)


def test_the_file_of_the_working_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_toml(tmp_path, "[profiles.quick]\nsteps = 41\n"))
    assert settings({})[0].steps == 41


def test_a_solver_by_flag_takes_the_place_of_the_profiles_predictor(tmp_path: Path) -> None:
    folder = _toml(tmp_path, '[profiles.quick]\npredictor = ["ancestral"]\ncorrector = ["langevin"]\n')
    chosen, _ = settings(QUICK | {"solver": ["rk45"]}, None, folder)
    (spec,) = plans.plan(chosen)
    assert plugin_names(spec)["solver"] == "rk45"
    assert spec.sampler.predictor is None
    assert spec.sampler.corrector is None


def _dry(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    run = ("run", "--dry-run", "--checkpoint", "gaussian-cifar10", "--sde", "ve")
    status = exit_status(*run, *arguments)
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    return [line.rsplit(" ", 1)[1] for line in out.splitlines() if line.startswith("  to run")]


def test_parameters_in_the_file_count_as_those_by_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    langevin = ("--corrector", "langevin")
    by_flag = _dry(capsys, *langevin, "--snr", "0.3")
    both = _dry(capsys, *langevin, "--snr", "0.3", "--corrector-steps", "2")
    assert len(by_flag) == len(both) == 1
    _toml(tmp_path, "[profiles.quick.parameters.corrector]\nsnr = 0.3\n")
    assert _dry(capsys, *langevin) == by_flag
    assert _dry(capsys, *langevin, "--corrector-steps", "2") == both
    _toml(tmp_path, "[profiles.quick.parameters.corrector]\nsnr = 0.9\n")
    assert _dry(capsys, *langevin, "--snr", "0.3") == by_flag


def plan(**changes: Any) -> list[RunSpec]:
    """Runs of quick settings with some changed."""
    return plans.plan(Settings.model_validate(QUICK | changes))


def plugin_names(spec: RunSpec) -> dict[str, str]:
    """Names of a run's plugins by role."""
    return {role: plugin.name for role, plugin in spec.identity.plugins().items()}


def one(**changes: Any) -> RunSpec:
    """The only run of quick settings with some changed."""
    (spec,) = plan(**changes)
    return spec


def test_lists_multiply_out() -> None:
    chosen: dict[str, list[str]] = {
        "checkpoint": ["gaussian-cifar10", "gmm-cifar10"],
        "sde": ["vp", "ve", "subvp"],
        "predictor": ["reverse_diffusion", "euler_maruyama"],
        "corrector": ["none", "langevin"],
    }
    specs = plan(**chosen, seed=5, repeats=2)
    names = [
        (s.card.name, *(plugin_names(s)[role] for role in ("sde", "predictor", "corrector")), s.seed)
        for s in specs
    ]
    assert sorted(names) == sorted(itertools.product(*chosen.values(), [5, 6]))
    assert len({spec.fingerprint for spec in specs}) == len(specs)
    assert len({spec.key for spec in specs}) == len(specs)


def test_several_solvers_and_metrics() -> None:
    specs = plan(solver=["rk45", "scipy_rk45"], metric=["fd_dct"])
    assert [plugin_names(spec)["solver"] for spec in specs] == ["rk45", "scipy_rk45"]
    assert [[metric.name for metric in spec.metrics] for spec in specs] == [["fd_dct"]] * 2


def test_a_parameter_goes_to_every_selected_plugin_that_has_it() -> None:
    specs = plan(corrector=["none", "langevin"], parameters={"corrector": {"snr": "0.5"}})
    assert [s.sampler.corrector.values().get("snr") for s in specs if s.sampler.corrector] == [None, 0.5]


PC = {"corrector": ["langevin"]}
CHANGES: list[dict[str, Any]] = [
    {},
    {"seed": 1},
    {"steps": 31},
    {"batch_size": 32},
    {"checkpoint": ["gmm-cifar10"]},
    {"sde": ["ve"]},
    {"sde": ["subvp"]},
    {"parameters": {"sde": {"beta_max": 19.0}}},
    {"predictor": ["ancestral"]},
    {"predictor": ["ancestral"], "parameters": {"predictor": {"variance": "posterior"}}},
    PC,
    PC | {"parameters": {"corrector": {"snr": 0.2}}},
    PC | {"parameters": {"corrector": {"steps": 2}}},
    PC | {"order": "predictor_first"},
    {"precision": "bf16"},
    {"compile": True},
    {"denoise": "none"},
    {"denoise": "tweedie"},
    {"grid": "logsnr"},
    {"grid": "polynomial"},
    {"grid": "polynomial", "parameters": {"grid": {"rho": 5.0}}},
    {"solver": ["rk45"]},
    {"solver": ["scipy_rk45"]},
    {"solver": ["rk45"], "parameters": {"solver": {"tol": 1e-3}}},
]


def test_all_that_decides_the_numbers_is_in_the_fingerprint() -> None:
    specs = [one(**change) for change in CHANGES]
    for (a, x), (b, y) in itertools.combinations(zip(CHANGES, specs, strict=True), 2):
        assert x.key != y.key, f"{a} and {b}"
        assert x.fingerprint != y.fingerprint, f"{a} and {b}"
    titles = {spec.label for spec in specs}
    assert len(titles) == len(specs) - 1  # the size of a batch is in none
    again = [one(**change) for change in CHANGES]
    assert [(s.key, s.fingerprint) for s in again] == [(s.key, s.fingerprint) for s in specs]


@pytest.mark.parametrize(
    "change",
    [
        {"out": Path("elsewhere")},
        {"metric": ["fd_dct"]},
        {"sde": ["vp"], "parameters": {"sde": {"beta_max": "20"}}},
        {"grid": "uniform"},
        {"device": "cpu"},
    ],
)
def test_what_decides_no_number_is_not_in_the_fingerprint(change: dict[str, Any]) -> None:
    assert (one(**change).key, one(**change).fingerprint) == (one().key, one().fingerprint)


def test_a_value_left_to_the_sde_is_that_value() -> None:
    explicit = one(**PC, parameters={"corrector": {"snr": 0.01}})
    assert explicit.fingerprint == one(**PC).fingerprint
    assert plan(repeats=3)[0].fingerprint == one().fingerprint


def test_samples_change_the_record_and_not_the_folder_of_samples() -> None:
    specs = [one(samples=n) for n in (16, 40, 64, 1000)]
    assert len({spec.key for spec in specs}) == 1
    assert len({spec.fingerprint for spec in specs}) == len(specs)
    batches = [list(spec.batches()) for spec in specs]
    assert batches[1] == [(0, 16), (1, 16), (2, 8)]
    assert batches[0] == batches[1][:1] == batches[2][:1]


def test_a_plugins_distribution_and_version_count() -> None:
    def key(distribution: str, version: str) -> str:
        class Hooks:
            @hookimpl
            def register_predictors(self, register: Any) -> None:
                register(installed().get("predictors", "ancestral").thing)

        registry = empty_registry()
        registry.entries = {k: e for k, e in installed().entries.items() if k != ("predictors", "ancestral")}
        registry.load(Hooks(), distribution, version)
        (spec,) = plans.plan(Settings.model_validate(QUICK | {"predictor": ["ancestral"]}), registry)
        return spec.key

    assert key("a", "1") == key("a", "1")
    assert len({key("a", "1"), key("a", "2"), key("b", "1")}) == 3


def test_all_of_a_card_that_decides_the_numbers_counts(tmp_path: Path) -> None:
    """Two cards may share a file: how it is read (format, data range, network, sigma_data) counts too."""
    blob = b"any bytes"
    (tmp_path / "file").write_bytes(blob)
    model = Card.read(REGISTRY / "cards" / "gaussian-cifar10.toml")

    def key(format: str, **changes: Any) -> str:
        file = {"name": "file", "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
        fields = model.model_dump(by_alias=True) | {"name": "mine", "format": format, "files": [file]}
        convention = {"predicts": "edm", "labels": "edm"} if format == "edm" else {}
        card = Card(**fields | convention | changes)
        card._home = tmp_path
        registry = installed().copy()
        registry.add("checkpoints", card, "t", "1")
        (spec,) = plans.plan(Settings.model_validate(QUICK | {"checkpoint": ["mine"]}), registry)
        return spec.key

    assert key("edm") == key("edm") == key("edm", summary="in other words")
    keys = [
        key("edm"),
        key("gaussian"),
        key("edm", data_range=(-1.0, 1.0)),
        key("edm", network={"width": 32}),
        key("edm", network={"width": 32, "sigma_data": 0.25}),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("change", "nfe"),
    [
        ({}, 30),
        (PC, 60),
        (PC | {"parameters": {"corrector": {"steps": 3}}}, 120),
        (PC | {"predictor": ["none"]}, 30),
        (PC | {"order": "predictor_first"}, 59),
        ({"denoise": "tweedie"}, 31),
        ({"solver": ["rk45"]}, None),
    ],
)
def test_the_planned_cost_of_a_run(change: dict[str, Any], nfe: int | None) -> None:
    assert one(**change).planned_nfe == nfe


def test_the_profile_none_leaves_out_every_file(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(
        'profile = "quick"\n[defaults]\nseed = 5\ncompile = true\nparameters.corrector.snr = 0.3\n'
    )
    assert settings({"steps": 3}, "none", tmp_path) == (Settings(steps=3), "none")
    with pytest.raises(BenchError, match=r"^steps: "):
        settings({"steps": 0}, "none", tmp_path)
    (tmp_path / "bench.toml").write_text("[profiles.none]\nsteps = 3\n")
    with pytest.raises(BenchError, match="a profile can't be called 'none', which stands for no"):
        settings({}, None, tmp_path)


def test_profiles_are_those_of_both_files(tmp_path: Path) -> None:
    assert [(one.name, one.default) for one in profiles(tmp_path)] == [
        ("digits", False),
        ("exact", False),
        ("paper", False),
        ("quick", True),
    ]
    (tmp_path / "bench.toml").write_text(
        'profile = "mine"\n[defaults]\nseed = 5\n[profiles.mine]\nsteps = 3\n[profiles.quick]\nsamples = 9\n'
    )
    by_name = {one.name: one for one in profiles(tmp_path)}
    assert [name for name, one in by_name.items() if one.default] == ["mine"]
    assert by_name["mine"].values == {"steps": 3}
    assert by_name["quick"].values["samples"] == 9
    assert by_name["quick"].values["steps"] == 150
    for name, one in by_name.items():
        assert one.settings == settings({}, name, tmp_path)[0]


def test_the_results_folder_is_that_of_bench_toml_unless_one_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert results_folder() == Path("results")
    Path("bench.toml").write_text('[defaults]\nout = "~/elsewhere"\n')
    assert results_folder() == Path.home() / "elsewhere"
    assert results_folder(Path("here")) == Path("here")
