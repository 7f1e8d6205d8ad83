"""Runs of published networks from the command line: a user's card, its own SDE, what the record says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import UNet, UNetConfig
from bench.cli import main
from tests.support import score_sde_files as files
from tests.support.runs import forbid_batches

SMALL = ["--steps", "25", "--samples", "3", "--batch-size", "3", "--grid", "uniform"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a bench.toml that names a folder of cards: one on VE, one on VP."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bench.toml").write_text('cards = ["cards"]\n')
    (tmp_path / "cards").mkdir()
    for name in ("ncsnpp_ve_continuous", "ddpm_vp"):
        shutil.copy(files.FOLDER / f"{name}.pth", tmp_path / "cards")
        card = files.card(name, tmp_path / "cards", f"{name}.pth", name=name.replace("_", "-"))
        (tmp_path / "cards" / f"{name}.toml").write_text(toml(card.model_dump(mode="json", by_alias=True)))
    return tmp_path


def toml(card: dict[str, Any]) -> str:
    """A card as its file."""
    plain = {k: v for k, v in card.items() if not isinstance(v, dict) and k != "files" and v is not None}
    (file,) = card["files"]
    tables = {"[files]": {k: v for k, v in file.items() if v is not None}, "network": card["network"]}
    tables |= {f"parameters.{role}": values for role, values in card["parameters"].items()}
    lines = [f"{k} = {json.dumps(v)}" for k, v in plain.items()]
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
    return "\n".join(lines) + "\n"


def bench(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


def records() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(Path("results/records").glob("*.json"))]


def test_a_checkpoint_runs_on_its_own_sde_by_its_convention() -> None:
    assert bench("run", "--checkpoint", "ncsnpp-ve-continuous", *SMALL) == 0
    (record,) = records()
    identity = record["identity"]
    assert (identity["sde"]["name"], identity["checkpoint"]["convention"]) == ("ve", "published")
    reader = identity["checkpoint"]["reader"]
    assert (reader["name"], reader["distribution"]) == ("score_sde", "sampler-bench")
    assert (reader["parameters"], identity["precision"], identity["compile"]) == (
        {"weights": "ema"},
        "fp32",
        False,
    )
    assert record["cost"]["nfe"] == 25
    assert 0 < record["cost"]["warm_seconds"] < record["cost"]["seconds"]  # one call against 25


def test_another_sde_goes_through_the_rescaling_and_the_record_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench("run", "--checkpoint", "ncsnpp-ve-continuous", "--sde", "vp", *SMALL) == 0
    changed = ("run", "--checkpoint", "ddpm-vp", "-P", "sde.beta_max=19", *SMALL)
    assert bench(*changed) == 0
    assert [r["identity"]["checkpoint"]["convention"] for r in records()] == ["rescaled", "rescaled"]
    message = capsys.readouterr().out
    assert "ncsnpp-ve-continuous was trained on ve: it is called at" in message
    assert "ddpm-vp was trained on vp with beta_max=20: it is called at" in message


def test_labels_of_a_discrete_checkpoint_make_another_run() -> None:
    """P2000 in small: twice 30 scales by rounding and at the network's own label, from the same noise."""
    run = ["run", "--checkpoint", "ddpm-vp", "--steps", "60", "--samples", "3", "--grid", "uniform"]
    assert bench(*run) == 0
    assert bench(*run, "--label-scales", "30") == 0
    first, second = records()
    assert first["metrics"]["fd_cifar10"]["value"] != second["metrics"]["fd_cifar10"]["value"]
    assert {r["identity"].get("label_scales") for r in (first, second)} == {None, 30}


def test_cards_that_differ_in_how_a_file_is_read_are_two_checkpoints(folder: Path) -> None:
    """In one command, one after the other: the last weights are not the average that was loaded before."""
    raw = files.card(
        "ddpm_vp", folder / "cards", "ddpm_vp.pth", name="raw", parameters={"reader": {"weights": "raw"}}
    )
    (folder / "cards" / "raw.toml").write_text(toml(raw.model_dump(mode="json", by_alias=True)))
    assert bench("run", "--checkpoint", "ddpm-vp", "--checkpoint", "raw", *SMALL) == 0
    values = {r["identity"]["checkpoint"]["name"]: r["metrics"]["fd_cifar10"]["value"] for r in records()}
    assert bench("run", "--checkpoint", "raw", *SMALL, "--rerun", "all") == 0
    again = {r["identity"]["checkpoint"]["name"]: r["metrics"]["fd_cifar10"]["value"] for r in records()}
    assert values == again
    assert values["raw"] != values["ddpm-vp"]


def test_the_levels_a_network_was_trained_on_make_another_run(folder: Path) -> None:
    """On another SDE too, where they are no parameters of the run's."""
    path = folder / "cards" / "ddpm_vp.toml"
    plain = path.read_text()
    for beta_max in ("20.0", "19.0"):
        path.write_text(f"{plain}[parameters.sde]\nbeta_max = {beta_max}\n")
        assert bench("run", "--checkpoint", "ddpm-vp", "--sde", "ve", *SMALL) == 0
    assert len(records()) == 2


def test_bfloat16_is_another_run_near_by() -> None:
    run = ["run", "--checkpoint", "ddpm-vp", *SMALL]
    assert bench(*run) == 0
    assert bench(*run, "--precision", "bf16") == 0
    assert {r["identity"]["precision"] for r in records()} == {"fp32", "bf16"}


def test_import_then_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A card without its file beside it: the run says how to get it, and after the import it runs."""
    (folder / "cards" / "ddpm_vp.pth").rename(folder / "download.pth")
    run = ["run", "--checkpoint", "ddpm-vp", *SMALL]
    assert bench(*run) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("bench: checkpoint ddpm-vp is not here: ")
    assert "bench checkpoints import FILE --card ddpm-vp" in message
    assert bench("checkpoints", "import", "download.pth", "--card", "ddpm-vp") == 0
    assert bench(*run) == 0
    (folder / "cache" / "checkpoints" / "ddpm-vp" / "ddpm_vp.pth").write_bytes(b"damaged")
    capsys.readouterr()
    assert bench(*run, "--seed", "1") == 2
    assert "is truncated" in capsys.readouterr().err


def test_fid_without_its_weights_is_one_line_before_anything_is_sampled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The card's own metric, as the published ones have it, where nothing can be fetched."""

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("socket.getaddrinfo", offline)
    monkeypatch.setattr("bench.download.PAUSES", ())
    monkeypatch.setattr("bench_fid.inception.TEMPORARY", folder / "nowhere")
    path = folder / "cards" / "ddpm_vp.toml"
    path.write_text(path.read_text().replace('metric = "fd_cifar10"', 'metric = "fid"'))
    forbid_batches(monkeypatch)
    assert bench("run", "--checkpoint", "ddpm-vp", *SMALL) == 2
    (line,) = capsys.readouterr().err.splitlines()
    place = folder / "cache" / "inception" / "inception-2015-12-05.pt"
    assert line.startswith("bench: inception-2015-12-05.pt is not here and can't be fetched (")
    assert line.endswith(f" to {place}; fd_cifar10 needs no download")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--checkpoint", "cifar10-tiny"], "cifar10-tiny has no learned variance"),
        (["--checkpoint", "gaussian-cifar10"], "gaussian-cifar10 has no learned variance"),
    ],
)
def test_learned_variance_where_there_is_none(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = ["--predictor", "ancestral", "-P", "predictor.variance=learned"]
    assert bench("run", *flags, *learned, *SMALL) == 2
    assert message in capsys.readouterr().err


def images() -> list[torch.Tensor]:
    """The samples of every run, a row each, in the order of `records`."""
    paths = (Path("results/samples") / record["key"] for record in records())
    return [load_file(next(path.glob("00000-*.safetensors")))["images"] for path in paths]


def test_classes_of_a_class_conditional_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In turn, one for all, drawn: from the same noise, sample 2 in turn is that of class 2 for all."""
    network = {"configuration": "edm_vp", "width": 32, "multipliers": [1], "blocks": 1, "attention": []}
    torch.manual_seed(0)
    unet = UNet(UNetConfig.read(network | {"classes": 4}))
    save_file(unet.state_dict(), folder / "cards" / "cond.safetensors")
    facts: dict[str, Any] = {"format": "edm", "sde": None, "predicts": "edm", "labels": "edm", "classes": 4}
    facts["network"] = {"architecture": "unet", **network}
    card = files.card("ddpm_vp", folder / "cards", "cond.safetensors", name="cond", **facts)
    (folder / "cards" / "cond.toml").write_text(toml(card.model_dump(mode="json", by_alias=True)))
    run = ["run", "--checkpoint", "cond", "--steps", "5", "--samples", "4", "--batch-size", "4"]
    for labels in (["--labels", "turn"], ["--labels", "2"], []):
        assert bench(*run, *labels) == 0
    places = {r["identity"]["labels"]: i for i, r in enumerate(records())}
    assert places.keys() == {"turn", 2, "seed"}
    assert all(r["identity"]["checkpoint"]["classes"] == 4 for r in records())
    assert {r["identity"]["labels"]: r["title"].partition(" grid")[2] for r in records()} == {
        "turn": ", classes in turn",
        2: ", class 2",
        "seed": "",
    }
    turn, second = images()[places["turn"]], images()[places[2]]
    torch.testing.assert_close(turn[2], second[2], rtol=1e-4, atol=1e-4)
    assert float((turn[1] - second[1]).abs().max()) > 1e-3
    capsys.readouterr()
    assert bench(*run, "--labels", "4") == 2
    assert "cond has no class 4: --labels must be 0 to 3" in capsys.readouterr().err
    assert bench(*run, "--labels", "fourth") == 2
    assert "'fourth' is not seed, turn or the index of a class" in capsys.readouterr().err
    assert bench("run", "--checkpoint", "ddpm-vp", *SMALL, "--labels", "turn") == 2
    assert "checkpoint ddpm-vp is not class-conditional: leave out --labels" in capsys.readouterr().err
