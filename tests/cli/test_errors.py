"""Bad input: one clear line on stderr, exit status 2, never a traceback, nothing run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.checkpoints.cards import Card
from bench.files import REGISTRY
from bench.plugins.registry import Registry
from tests.support.plugins import installed
from tests.support.runs import exit_status

Refusal = Callable[..., str]

RUN = ("run", "--checkpoint", "gaussian-cifar10", "--samples", "4")
EM = ("--predictor", "euler_maruyama")
LANGEVIN = ("--corrector", "langevin")
RK45 = ("--solver", "rk45")


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Runs a command in an empty folder and gives the one line that refuses it."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, registry: Registry | None = None) -> str:
        status = exit_status(*arguments, registry=registry)
        out, err = capsys.readouterr()
        assert status == 2, out
        assert "Traceback" not in out + err
        lines = err.splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("bench: ")
        assert not (tmp_path / "results").exists()
        return lines[0]

    return call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sde", "pv"), "unknown sde 'pv' (did you mean 'vp'?"),
        (("--predictor", "reverse_difusion"), "unknown predictor 'reverse_difusion' (did you mean 'reverse_"),
        (("--corrector", "langvin"), "unknown corrector 'langvin' (did you mean 'langevin'?"),
        (("--solver", "rk54"), "unknown solver 'rk54' (did you mean 'rk45'?"),
        (
            ("--checkpoint", "gausian-cifar10"),
            "unknown checkpoint 'gausian-cifar10' (did you mean 'gaussian-",
        ),
        (("--metric", "fd_dtc"), "unknown metric 'fd_dtc' (did you mean 'fd_dct'?"),
        (("--profile", "quik"), "unknown profile 'quik' (did you mean 'quick'?"),
        (("--executor", "locale"), "unknown executor 'locale' (did you mean 'local'?"),
        (("--logger", "tensorbord"), "unknown logger 'tensorbord' (did you mean 'tensorboard'?"),
    ],
)
def test_unknown_names_get_a_suggestion(refusal: Refusal, arguments: tuple[str, ...], message: str) -> None:
    words = arguments if "--checkpoint" in arguments else ("--checkpoint", "gaussian-cifar10", *arguments)
    assert message in refusal("run", *words)


def test_a_far_miss_gets_the_known_names_and_no_guess(refusal: Refusal) -> None:
    line = refusal(*RUN, "--sde", "zzzzzzzz")
    assert "did you mean" not in line
    assert "known: flow, flow_cosine, subvp, ve, ve_exp, vp, vp_cosine" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*LANGEVIN, "-P", "corrector.snrr=1"), "langevin has no parameter 'snrr' (did you mean 'snr'?"),
        (
            (*EM, "-P", "predicter.dt=grid"),
            "unknown role 'predicter' in a parameter (did you mean 'predictor'?",
        ),
        (("-P", "corrector.snr"), "ROLE.NAME=VALUE, not 'corrector.snr'"),
        (("-P", "snr=1"), "ROLE.NAME=VALUE, not 'snr=1'"),
        (("-P", "corrector.a.b=1"), "ROLE.NAME=VALUE, not 'corrector.a.b=1'"),
        (("-P", "="), "ROLE.NAME=VALUE, not '='"),
        ((*EM, "-P", "predictor.dt=grid", "-P", "predictor.dt=published"), "predictor.dt was given twice"),
        ((*LANGEVIN, "--snr", "0.1", "-P", "corrector.snr=0.2"), "corrector.snr was given twice"),
        (("--steps", "10", "--steps", "20"), "--steps was given twice: it takes one value"),
        (("--grid", "uniform", "--grid=logsnr"), "--grid was given twice: it takes one value"),
        ((*EM, "-P", "predictor.dt=fast"), "euler_maruyama.dt must be grid|published, not 'fast'"),
        ((*LANGEVIN, "-P", "corrector.steps=2.5"), "langevin.steps must be int, not '2.5'"),
        ((*LANGEVIN, "-P", "corrector.snr=abc"), "langevin.snr must be float or none, not 'abc'"),
        (("-P", "sde.beta_max=-1"), "vp.beta_max must be > 0, <= 1000, not '-1'"),
        (("-P", "sde.beta_max=inf"), "vp.beta_max must be > 0, <= 1000, not 'inf'"),
        (("-P", "sde.eps=1"), "vp.eps must lie between 0 and 1"),
        (("--sde", "ve", "-P", "sde.sigma_min=100"), "sigma_min"),
        (("-P", "solver.tol=0.1"), "a parameter of a solver was given, but the run has none"),
        ((*RK45, "--snr", "0.1"), "a parameter of a corrector was given, but the run has none"),
        ((*RK45, "-P", "predictor.dt=grid"), "a parameter of a predictor was given, but the run has none"),
        ((*RK45, "-P", "sde.eps=1"), "vp.eps must lie between 0 and 1"),
        (("-P", "executor.sockets=2"), "local has no parameter 'sockets'"),
        (("-P", "logger.folder=x"), "a parameter of a logger was given, but the run has none: give --logger"),
        (
            ("--logger", "tensorboard", "-P", "logger.foldr=x"),
            "tensorboard has no parameter 'foldr' (did you mean 'folder'?",
        ),
        (("-P", "metric.size=2"), "fd_dct has no parameter 'size'"),
    ],
)
def test_wrong_parameters_are_named(refusal: Refusal, arguments: tuple[str, ...], message: str) -> None:
    assert message in refusal(*RUN, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*LANGEVIN, "--snr", "abc"), "langevin.snr must be float or none, not 'abc'"),
        ((*LANGEVIN, "--snr", "-1"), "langevin.snr must be >= 0, not '-1'"),
        ((*LANGEVIN, "--snr", "nan"), "langevin.snr must be >= 0, not 'nan'"),
        ((*LANGEVIN, "--corrector-steps", "0"), "langevin.steps must be >= 1, not '0'"),
        (("--steps", "0"), "steps: input should be greater than or equal to 1, not 0"),
        (("--steps", "many"), "--steps"),
        (("--samples", "0"), "samples: input should be greater than or equal to 2, not 0"),
        (("--batch-size", "-4"), "batch_size: input should be greater than or equal to 1, not -4"),
        (("--repeats", "0"), "repeats: input should be greater than or equal to 1, not 0"),
        (("--seed", "-1"), "seed: input should be greater than or equal to 0, not -1"),
        ((*RK45, "--tol", "0"), "rk45.tol must be > 0, not '0'"),
        ((*RK45, "--tol", "nan"), "rk45.tol must be > 0, not 'nan'"),
        (("--grid", "polynomial", "--rho", "nan"), "rho"),
        (("--grid", "polynomial", "--rho", "inf"), "rho"),
        (("--grid", "square"), "unknown grid 'square' ("),
        (("--precision", "fp64"), "--precision"),
        (("--precision", "tf32"), "--precision tf32 needs a GPU: use fp32 or bf16 on this device"),
        (("--device", "tpu"), "unknown device 'tpu': take auto, cpu, cuda or cuda:N"),
        (("--device", "meta"), "device 'meta' is not supported"),
        ((*RK45, "--predictor", "ancestral"), "give --solver, or --predictor and --corrector, not both"),
        ((*RK45, "--denoise", "mean"), "--denoise mean needs a predictor or corrector"),
        (("--predictor", "none"), "a run without predictor and without corrector does nothing"),
        (("--steps", "10", "--grid", "uniform"), "raise --steps or take --grid polynomial"),
        (("--stpes", "10"), "No such option '--stpes'"),
        (("extra",), "unexpected extra argument"),
    ],
)
def test_wrong_values_are_named(refusal: Refusal, arguments: tuple[str, ...], message: str) -> None:
    # click 8.4 has quotes where earlier ones have a colon
    line = refusal(*RUN, "--device", "cpu", *arguments)
    assert message in line.replace("option: --stpes", "option '--stpes'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rnu",), "No such command 'rnu'"),
        (("list", "predictrs"), "unknown kind 'predictrs' (did you mean 'predictors'?"),
        (("show", "langvin"), "nothing is registered as 'langvin' (did you mean 'langevin'?"),
        (("show",), "NAME"),
        (("--colr",), "--colr"),
    ],
)
def test_unknown_commands_and_things(refusal: Refusal, arguments: tuple[str, ...], message: str) -> None:
    assert message in refusal(*arguments)


def test_a_gpu_is_requested_where_there_is_none(refusal: Refusal) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "torch finds no GPU: take --device cpu" in refusal(*RUN, "--device", "cuda")


def test_an_unwritable_results_folder(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refusal(*RUN, "--out", str(tmp_path / "file" / "results"))
    assert "can't be written" in line
    assert "choose another by --out" in line


def _own_card(folder: Path) -> tuple[Card, Registry]:
    """A copy of gaussian-cifar10 named ``mine`` in ``folder``, and a registry that has it."""
    shipped = REGISTRY / "cards" / "gaussian-cifar10.toml"
    (folder / "mine.toml").write_text(shipped.read_text().replace('"gaussian-cifar10"', '"mine"', 1))
    name = "gaussian-cifar10.safetensors"
    (folder / name).write_bytes(shipped.with_name(name).read_bytes())
    card = Card.read(folder / "mine.toml")
    registry = installed().copy()
    registry.add("checkpoints", card, "cards-of-test", "1")
    return card, registry


def _missing(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _wrong_hash(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_missing, "is not here"),
        (_truncated, "is truncated (24903 bytes, not 24904)"),
        (_wrong_hash, "has the wrong hash"),
        (_folder, "can't be read"),
    ],
)
def test_a_damaged_checkpoint_file(
    refusal: Refusal,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    card, registry = _own_card(tmp_path)
    damage(card.folder / card.files[0].name)
    line = refusal("run", "--checkpoint", "mine", "--steps", "30", registry=registry)
    assert message in line
    assert "checkpoint mine" in line
    assert card.files[0].name in line


def test_a_metric_refuses_a_checkpoint_before_its_files_are_missed(refusal: Refusal, tmp_path: Path) -> None:
    card, registry = _own_card(tmp_path)
    _missing(card.folder / card.files[0].name)
    run = ("run", "--checkpoint", "mine", "--metric", "sliced_wasserstein", "--dry-run")
    assert "digits is of 1x8x8 items" in refusal(*run, "-P", "metric.reference=digits", registry=registry)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('profil = "quick"', "unknown key 'profil' (did you mean 'profile'?"),
        ("[defaults]\nstep = 30", "unknown key 'step' in [defaults] (did you mean 'steps'?"),
        (
            "[profiles.quick]\nsampels = 4",
            "unknown key 'sampels' in [profiles.quick] (did you mean 'sam",
        ),
        ("[profiles.other]\nsed = 4", "unknown key 'sed' in [profiles.other] (did you mean 'seed'?"),
        ('profile = "quik"', "unknown profile 'quik' (did you mean 'quick'?"),
        ("profile = 3", "profile: "),
        ("profiles = 3", "profiles: "),
        ("defaults = 3", "defaults: "),
        ("[defaults]\nseed = -1", "seed: input should be greater than or equal to 0, not -1"),
        ('[defaults]\nsteps = "many"', "steps: "),
        ("[profiles.quick]\nbatch_size = 0", "batch_size: input should be greater than or equal to 1, not 0"),
        ('[profiles.quick]\ngrid = "logsrn"', "unknown grid 'logsrn' (did you mean 'logsnr'?"),
        ("[defaults]\nsde = 3", "sde: "),
        ('[defaults]\nsde = ["pv"]', "unknown sde 'pv' (did you mean 'vp'?"),
        ("[defaults.parameters.sde]\nbeta_mx = 3", "vp has no parameter 'beta_mx' (did you mean 'beta_max'?"),
        ("[defaults\nseed = 1", "bench.toml: "),
        ("seed = \udcff", "bench.toml: "),
    ],
)
def test_mistakes_in_bench_toml(refusal: Refusal, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bench.toml").write_bytes(text.encode(errors="surrogateescape"))
    assert message in refusal("run", "--checkpoint", "gaussian-cifar10")
