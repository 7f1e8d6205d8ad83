"""The cards of published checkpoints: which there are, how to get them, what their papers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import BenchError
from bench.checkpoints.cards import Card
from bench.files import REGISTRY, registry_path
from tests.support.plugins import installed

CARDS = {path.stem: Card.read(path) for path in sorted((REGISTRY / "cards").glob("*.toml"))}

SCORE_SDE = {
    # name after "score-sde-": sde, labels, configuration
    "ve-ncsnpp": ("ve", "index_down", "ncsnpp"),
    "ve-ncsnpp-continuous": ("ve", "sigma", "ncsnpp_continuous"),
    "ve-ncsnpp-deep-continuous": ("ve", "sigma", "ncsnpp_deep_continuous"),
    "vp-ddpm": ("vp", "time_index", "ddpm"),
    "vp-ddpm-continuous": ("vp", "999t", "ddpm"),
    "vp-ddpmpp": ("vp", "time_index", "ddpmpp"),
    "vp-ddpmpp-continuous": ("vp", "999t", "ddpmpp"),
    "vp-ddpmpp-deep-continuous": ("vp", "999t", "ddpmpp_deep"),
    "subvp-ddpm-continuous": ("subvp", "999t", "ddpm"),
    "subvp-ddpmpp-continuous": ("subvp", "999t", "ddpmpp"),
    "subvp-ddpmpp-deep-continuous": ("subvp", "999t", "ddpmpp_deep"),
}
"""The CIFAR-10 rows of the README of yang-song/score_sde_pytorch."""

PULLED = {
    "edm-afhqv2-64-uncond-ve",
    "edm-afhqv2-64-uncond-vp",
    "edm-ffhq-64-uncond-ve",
    "edm-ffhq-64-uncond-vp",
    "edm-imagenet-64-cond-adm",
    "edm2-img64-l",
    "edm2-img64-m",
    "edm2-img64-s",
    "edm2-img64-s-guided",
    "edm2-img64-xs-guide",
    "edm2-img64-xl",
    "ddpm-cifar10-32",
    "edm-cifar10-cond-vp",
    "edm-cifar10-cond-ve",
    "edm-cifar10-uncond-vp",
    "edm-cifar10-uncond-ve",
    "iddpm-cifar10-uncond",
    "iddpm-cifar10-uncond-vlb",
    "torchcfm-cifar10-fm",
    "torchcfm-cifar10-icfm",
    "torchcfm-cifar10-otcfm",
}
"""Checkpoints whose files a program can fetch."""

PUBLISHED = {
    # Song et al. 2021, tables 1 (vp-ddpm, ancestral P1000), 2 and 3: fid, inception_score, fid_ode, nll
    "score-sde-ve-ncsnpp": (2.45, 9.73, None, None),
    "score-sde-ve-ncsnpp-continuous": (2.38, 9.83, None, None),
    "score-sde-ve-ncsnpp-deep-continuous": (2.20, 9.89, None, None),
    "score-sde-vp-ddpm": (3.24, None, 3.37, 3.28),
    "score-sde-vp-ddpm-continuous": (None, None, 3.69, 3.21),
    "score-sde-vp-ddpmpp": (2.78, 9.64, None, None),
    "score-sde-vp-ddpmpp-continuous": (2.55, 9.58, 3.93, 3.16),
    "score-sde-vp-ddpmpp-deep-continuous": (2.41, 9.68, 3.08, 3.13),
    "score-sde-subvp-ddpm-continuous": (None, None, 3.56, 3.05),
    "score-sde-subvp-ddpmpp-continuous": (2.61, 9.56, 3.16, 3.02),
    "score-sde-subvp-ddpmpp-deep-continuous": (2.41, 9.57, 2.92, 2.99),
    # Ho et al. 2020; Karras et al. 2022, table 2
    "ddpm-cifar10-32": (3.17, 9.46, None, None),
    "edm-cifar10-uncond-vp": (1.97, None, None, None),
    "edm-cifar10-uncond-ve": (1.98, None, None, None),
    "edm-ffhq-64-uncond-vp": (2.39, None, None, None),
    "edm-ffhq-64-uncond-ve": (2.53, None, None, None),
    "edm-afhqv2-64-uncond-vp": (1.96, None, None, None),
    "edm-afhqv2-64-uncond-ve": (2.16, None, None, None),
    "edm-imagenet-64-cond-adm": (1.36, None, None, None),
    # the presets of NVlabs/edm2
    "edm2-img64-s": (1.58, None, None, None),
    "edm2-img64-s-guided": (1.01, None, None, None),
    "edm2-img64-m": (1.43, None, None, None),
    "edm2-img64-l": (1.33, None, None, None),
    "edm2-img64-xl": (1.33, None, None, None),
}


def test_a_published_fid_stands_beside_a_fid() -> None:
    """By the mode that papers' figures compare with; the project's own have metrics without a download."""
    published = {name for name, card in CARDS.items() if card.published}
    assert published == {name for name, card in CARDS.items() if not card.recipe}
    assert {CARDS[name].metric for name in published} == {"fid"}
    others = {card.metric for name, card in CARDS.items() if name not in published}
    assert others == {"fd", "fd_cifar10", "fd_dct", "sliced_wasserstein"}
    fid = installed().get("metrics", "fid").thing.build({})
    assert (fid.label, fid.mode, fid.reference) == ("fid", "legacy_tensorflow", "cifar10-train")


def test_every_published_checkpoint_has_its_card_under_its_own_name() -> None:
    assert {name: card.name for name, card in CARDS.items()} == {name: name for name in CARDS}
    assert {name for name, card in CARDS.items() if not card.shipped} == (
        {f"score-sde-{name}" for name in SCORE_SDE} | PULLED
    )


@pytest.mark.parametrize("name", sorted(SCORE_SDE))
def test_score_sde_cards_follow_the_conventions_of_their_sde(name: str) -> None:
    card = CARDS[f"score-sde-{name}"]
    sde, labels, configuration = SCORE_SDE[name]
    ve = sde == "ve"
    assert (card.sde, card.labels, card.network["configuration"]) == (sde, labels, configuration)
    assert card.predicts == ("scaled_score" if ve else "noise")
    assert card.data_range == ((0.0, 1.0) if ve else (-1.0, 1.0))
    assert card.network.get("centre", False) is ve
    assert card.scales == (1000 if card.discrete else None)
    bounds = {"sigma_min": 0.01, "sigma_max": 50.0} if ve else {"beta_min": 0.1, "beta_max": 20.0}
    assert card.parameters["sde"] == bounds


@pytest.mark.parametrize("name", sorted({f"score-sde-{name}" for name in SCORE_SDE} | PULLED))
def test_card_says_how_to_get_its_files(name: str) -> None:
    card = CARDS[name]
    assert card.contradiction() == ""
    assert card.licence
    size = 64 if "64" in name.split("-") or "img64" in name else 32
    assert card.shape == (3, size, size)
    # FID against CIFAR-10 would mean nothing
    assert ("reference" in card.parameters.get("metric", {})) == (size == 64)
    assert card.classes == (0 if "-cond" not in name and "img64" not in name else 10 if size == 32 else 1000)
    for file in card.files:
        assert file.url is not None
        assert file.url.startswith("https://")
        assert file.browser == file.url.startswith("https://drive.google.com/")
        assert file.browser or file.url.endswith("/" + file.name)
    advice = card.how_to_get()
    if name in PULLED:
        assert advice == f"bench checkpoints pull {name}"
    else:
        assert f"fetch {card.files[0].name} from {card.files[0].url}, " in advice
        assert advice.endswith(f"bench checkpoints import FILE --card {name}")


def test_no_two_cards_lead_to_the_same_file() -> None:
    urls = [file.url for card in CARDS.values() for file in card.files if file.url]
    assert len(set(urls)) == len(urls)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_figures_are_those_of_the_paper(name: str) -> None:
    result = CARDS[name].published
    keys = ("fid", "inception_score", "fid_ode", "nll")
    assert tuple(result.get(key) for key in keys) == PUBLISHED[name]
    assert result["source"]


@pytest.mark.parametrize(
    ("key", "most"),
    [("summary", 2000), ("licence", 2000), ("source", 2000), ("classifier", 200)],
)
def test_texts_of_a_card_are_bounded(tmp_path: Path, key: str, most: int) -> None:
    text = registry_path("cards", "gaussian-cifar10.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(f"{key} = ")]
    path = tmp_path / "x.toml"
    path.write_text("\n".join([f'{key} = "{"x" * most}"', *lines]))
    assert getattr(Card.read(path), key) == "x" * most
    path.write_text("\n".join([f'{key} = "{"x" * (most + 1)}"', *lines]))
    with pytest.raises(BenchError, match=f"{key}: string should have at most {most} characters"):
        Card.read(path)


@pytest.mark.parametrize(
    ("start", "label", "reference"),
    [
        ("score-sde-", "fid-song2021", "cifar10-train"),
        ("edm-cifar10-", "fid-edm", "cifar10-32x32"),
        ("edm-ffhq-", "fid-edm-ffhq_64x64", "ffhq-64x64"),
        ("edm-afhqv2-", "fid-edm-afhqv2_64x64", "afhqv2-64x64"),
        ("edm-imagenet-", "fid-edm-imagenet_64x64", "imagenet-64x64"),
        ("edm2-", "fid-edm-img64", "img64"),
        ("ddpm-", "fid", "cifar10-train"),
        ("iddpm-", "fid", "cifar10-train"),
        ("torchcfm-", "fid", "cifar10-train"),
    ],
)
def test_a_published_fid_is_compared_by_its_papers_convention(start: str, label: str, reference: str) -> None:
    cards = [card for name, card in CARDS.items() if name.startswith(start)]
    assert cards
    for card in cards:
        fid = installed().build("metrics", "fid", card.parameters.get("metric", {}))
        assert (fid.label, fid.reference_name()) == (label, reference)
