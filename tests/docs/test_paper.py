"""docs/paper.md, end to end: every command that it names, on random weights in the published layout.

The network of most tests is a narrow one under the card's name: the real one takes half a second per call on
a CPU. One test imports and runs the card as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import bench
from bench import Card, UNet, UNetConfig
from bench.plugins.registry import Registry
from bench_readers.example import random_weights
from bench_readers.layout import published
from bench_readers.score_sde import views
from tests.support.inception_stand_in import pictures, save_torchscript
from tests.support.made_up_pages import page_data_of
from tests.support.paths import ROOT
from tests.support.plugins import installed
from tests.support.runs import exit_status, records_in

pytestmark = pytest.mark.timeout(900)  # a thousand calls of a network, on a slow machine too

NAME = "score-sde-vp-ddpm"
FILE = "checkpoint_14.pth"
NARROW = {"width": 16, "multipliers": (1, 1), "blocks": 1, "attention": ()}
"""Changes to the card's [network] that make a call take milliseconds; two levels, as a U-Net's middle has
attention, at a quarter of the pixels then."""
SMALL = ("--samples", "2", "--batch-size", "2", "--repeats", "1", "--device", "cpu")
"""What the rehearsal adds to ``bench run``."""
ANCESTRAL_P1000, ANCESTRAL_STD = 3.24, 0.02
"""Song et al. (2021), Table 1: VP, ancestral sampling, P1000."""


def commands() -> list[list[str]]:
    """The words after ``bench`` of every command of the page, in order."""
    lines = (ROOT / "docs" / "paper.md").read_text().splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("    bench ")]


def card() -> Card:
    """The card as it is."""
    result: Card = installed().get("checkpoints", NAME).thing
    return result


def registry_of_narrow_card() -> Registry:
    """What is installed; the network of the card is narrow."""
    registry = installed().copy()
    (entry,) = registry.entries["checkpoints", NAME]
    narrow = card().model_copy(update={"network": card().network | NARROW})
    registry.entries["checkpoints", NAME] = [dataclasses.replace(entry, thing=narrow)]
    return registry


def write_checkpoint(path: Path, of: Card) -> None:
    """A file in the published layout with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = random_weights(UNet(UNetConfig.read(of.network)))
    state = published(views(network))
    average = {"decay": 0.9999, "num_updates": 1, "shadow_params": list(state.values())}
    model = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"model": model, "ema": average, "optimizer": {}, "step": 1}, path)


def write_fid_files(cache: Path) -> None:
    """A network of Inception's interface, and statistics of made-up images in place of CIFAR-10's."""
    save_torchscript(cache / "inception")
    extractor = installed().build("extractors", "inception", {})
    rows = extractor.load(torch.device("cpu"))(pictures(16)).rows.numpy().astype(float)
    (cache / "stats").mkdir()
    file = cache / "stats" / "cifar10_legacy_tensorflow_train_32.npz"
    np.savez(file, mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as result:
        yield result


@pytest.fixture(scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> None:
    """The current folder, with the narrow network's file, and a cache with FID's files."""
    root = tmp_path_factory.mktemp("paper")
    patch.chdir(root)
    patch.setenv("BENCH_CACHE", str(root / "cache"))
    write_fid_files(root / "cache")
    write_checkpoint(root / FILE, registry_of_narrow_card().get("checkpoints", NAME).thing)


@pytest.fixture(scope="module")
def rehearsal(_folder: None) -> dict[str, int]:
    """Runs every command of the page, smaller; exit statuses by the command's first words."""
    registry, statuses = registry_of_narrow_card(), {}
    for words in commands():
        small = [*words, *SMALL] if words[0] == "run" else words
        if "--dry-run" not in small:
            # one cell at its full 1000 steps
            small = ["vp ancestral P1000" if word == "vp *" else word for word in small]
        statuses[" ".join(words[:2])] = exit_status(*small, registry=registry)
    return statuses


def test_every_command_succeeds(rehearsal: dict[str, int]) -> None:
    # of the suite's 26 cells the rehearsal runs one: the table is not complete
    incomplete = {"table table1", "report table1", "publish table1"}
    complete = {"checkpoints import", "checkpoints verify", "run --suite", "published --checkpoint"}
    assert rehearsal == dict.fromkeys(complete, 0) | dict.fromkeys(incomplete, 1)


def test_the_page_has_the_cell_and_its_published_figure(rehearsal: dict[str, int]) -> None:
    assert rehearsal
    data = page_data_of(Path("report.html").read_text())
    assert data["runs"]["n"] == 1
    assert "3.24" in json.dumps(data)
    (file,) = Path("public/table1/records").iterdir()
    assert file.stem == records_in()[0].fingerprint


def test_the_import_takes_down_the_hash_and_the_record_holds_it(rehearsal: dict[str, int]) -> None:
    assert rehearsal
    digest = hashlib.sha256(Path(FILE).read_bytes()).hexdigest()
    assert digest in Path("cache", "checkpoints", NAME, "installed.json").read_text()
    for record in records_in():
        assert digest in record.identity.checkpoint.model_dump_json()


def test_the_metric_is_that_of_the_paper(rehearsal: dict[str, int]) -> None:
    assert rehearsal
    records = records_in()
    assert [record.seed for record in records] == [0]
    for record in records:
        (metric,) = record.metrics.values()
        settings = ("fid", "song2021", "legacy_tensorflow", "truncate", "cifar10-train")
        names = ("preset", "mode", "rounding", "reference")
        assert (metric.metric, *(metric.parameters[name] for name in names)) == settings
        assert record.cost is not None
        assert record.cost.nfe == 1000


def test_the_published_fid_stands_beside_the_cell_of_this_checkpoint(rehearsal: dict[str, int]) -> None:
    assert rehearsal
    (table,) = bench.table("table1", plots=False)
    (cell,) = [cell for cell in table.cells if cell.status == "finished"]
    assert (cell.sde, cell.row, cell.column) == ("vp", "ancestral", "P1000")
    assert [(one.checkpoint, one.value, one.std) for one in cell.published] == [
        (NAME, ANCESTRAL_P1000, ANCESTRAL_STD)
    ]
    (file,) = Path("results/table1").glob("*/fid-song2021.md")
    assert "3.24 ± 0.02" in file.read_text()


def test_fewer_steps_are_of_no_published_figure(rehearsal: dict[str, int]) -> None:
    """Predictors, correctors and both at 22 steps: every cell has a value, and none a figure beside it."""
    assert rehearsal
    words = next(words for words in commands() if words[0] == "run" and "--dry-run" not in words)
    columns = [
        word for pattern in ("vp * P1000", "vp * PC1000", "vp * C2000") for word in ("--only", pattern)
    ]
    at = words.index("--only")
    small = [*words[:at], *columns, *words[at + 2 :], *SMALL, "--steps-scale", "0.022", "--out", "small"]
    assert exit_status(*small, registry=registry_of_narrow_card()) == 0
    (table,) = bench.table("table1", out="small", plots=False)
    cells = [cell for cell in table.cells if cell.status == "finished"]
    assert len(cells) == 7
    assert all(cell.value is not None and not cell.published for cell in cells)


def test_the_card_as_it_is_takes_a_file_of_its_size_and_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    write_checkpoint(tmp_path / FILE, card())
    for words in commands()[:2]:
        assert exit_status(*words) == 0
    sampler = ("--predictor", "ddim", "--grid", "polynomial", "--steps", "2", "--metric", "none")
    assert exit_status("run", "--profile", "paper", "--checkpoint", NAME, *sampler, *SMALL) == 0
    assert {record.samples for record in records_in()} == {2}


def test_the_published_command_lists_table_1_of_this_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = [words for words in commands() if words[0] == "published"]
    assert exit_status(*words, "--json") == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert (ANCESTRAL_P1000, ANCESTRAL_STD, "Table 1") in [
        (one["value"], one["std"], one["table"]) for one in figures
    ]
    assert {one["checkpoint"] for one in figures} == {NAME}
