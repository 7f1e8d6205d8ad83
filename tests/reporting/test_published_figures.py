"""Published figures: what ships with the project, their files, and how they are found."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

import pytest

import bench
from bench import BenchError, PublishedFigure
from bench.files import registry_path
from bench.reporting.published_figures import (
    COLUMNS,
    KINDS,
    all_figures,
    check_published_of,
    published,
    read_figures,
)
from tests.support.made_up import figure
from tests.support.pages import page
from tests.support.paths import GOLDEN_PATH, ROOT
from tests.support.plugins import installed

sys.path.insert(0, str(ROOT / "registry" / "recipes"))
from published_figures import source_rows, typed_rows

FIGURES = all_figures()
EDM = "edm-cifar10-uncond-vp"


def test_every_row_of_the_sources_is_a_figure_of_its_own() -> None:
    """The file is what the recipe makes of sources and mapping, row by row."""
    sources = list(source_rows())
    assert len(sources) == len(FIGURES)
    assert f"lists {len(FIGURES)} published figures" in page("docs/guide/tables.md")
    with registry_path("published", "figures.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == typed_rows()
    for row, one in zip(sources, FIGURES, strict=True):
        assert one.value == float(row.get("value") or row["FID"])
        assert (one.method, one.network, one.read_from) == (
            *(row["method"], row["checkpoint"], row["verified_from"]),
        )
        if row["NFE"].isdigit():
            assert one.nfe == int(row["NFE"])


def test_every_row_of_the_sources_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its checkpoint or network, its sampler's words, and its calls."""
    # the file is read once
    monkeypatch.setattr("bench.reporting.published_figures.all_figures", lambda: FIGURES)
    sources = Counter(
        (row["method"], row["checkpoint"], row.get("value") or row["FID"]) for row in source_rows()
    )
    listed = published()
    assert Counter((one.method, one.network, one.value) for one in listed) == Counter(
        {(method, network, float(value)): count for (method, network, value), count in sources.items()}
    )
    for one in FIGURES:
        assert one in published(checkpoint=one.checkpoint or one.network, metric=one.quantity)
        if one.nfe is not None:
            assert one in published(sampler=one.sampler or one.method, nfe=one.nfe)


def test_figures_are_of_cards_and_plugins_that_exist() -> None:
    registry = installed()
    cards = {name: registry.get("checkpoints", name).thing for name in registry.names("checkpoints")}
    for one in FIGURES:
        assert one.kind in KINDS
        if one.checkpoint:
            card = cards[one.checkpoint]
            # EDM's denoisers serve every SDE; the others are sampled on their own, but by EDM's sampler
            assert one.sde == (card.sde or "")
        parts = [part for part in one.sampler.split(" + ") if part]
        roles = {role: registry.names(f"{role}s") for role in ("predictor", "corrector", "solver", "grid")}
        assert all(any(part in names for names in roles.values()) for part in parts)
        assert not one.grid or one.grid in roles["grid"]
        used = [*parts, one.grid]
        for name in one.parameters:
            role, _, parameter = name.partition(".")
            if parameter:
                things = [registry.get(f"{role}s", part).thing for part in used if part in roles[role]]
                known = {own.name for thing in things for own in thing.parameters()}
                assert parameter in known or not one.sampler, (one.method, name)
            else:
                assert name in ("steps", "label_scales", "denoise")


def test_every_figure_of_table_1_is_there_with_its_spread() -> None:
    with (GOLDEN_PATH / "song2021_table1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    own = [
        one for one in FIGURES if one.citation in ("Song et al. 2021, Table 1", "Song et al. 2021, Table 4")
    ]
    assert Counter((one.sde, one.nfe, one.value, one.std) for one in own) == Counter(
        (row["sde"], int(row["nfe"]), float(row["fid_mean"]), float(row["fid_std"])) for row in rows
    )


@pytest.mark.parametrize(
    ("sampler", "nfe", "values"),
    [
        ("heun", 10, [15.93, 16.57]),
        ("ipndm", 6, [7.05, 11.8]),
        ("unipc", 6, [11.1, 11.14, 13.12]),
    ],
)
def test_sources_that_disagree_are_all_found(sampler: str, nfe: int, values: list[float]) -> None:
    own = bench.published(checkpoint=EDM, sampler=sampler, nfe=nfe)
    assert [one.value for one in own] == values
    assert len({one.citation for one in own}) == len(values)


def test_figures_are_found_by_any_part_of_their_key() -> None:
    assert {one.sampler for one in published(sampler="langevin")} == {
        *("langevin", "ancestral + langevin", "reverse_diffusion + langevin"),
        *("probability_flow + langevin", "euler_maruyama + langevin"),
    }
    assert {one.method for one in published(sampler="amed")} == {
        *("AMED-Solver", "AMED-Plugin", "iPNDM + AMED-Plugin"),
    }
    calls = [one.nfe for one in published(checkpoint=EDM, nfe=(5, 7))]
    assert calls == sorted(calls, key=lambda n: n or 0)
    assert set(calls) == {5, 6, 7}
    assert {one.metric for one in published(metric="fid")} == {"fid"}
    assert {one.preset for one in published(metric="fid-edm")} == {"edm"}
    with pytest.raises(BenchError, match=r"no published figure of 'edm-cifar10-uncond'.*did you mean"):
        published(checkpoint="edm-cifar10-uncond")
    with pytest.raises(BenchError, match=r"sampler 'huen'.*heun"):
        published(sampler="huen")
    with pytest.raises(BenchError, match=r"metric 'fid-edn'.*fid-edm"):
        published(metric="fid-edn")
    with pytest.raises(BenchError, match="no published figure of 'nothing of that name'"):
        check_published_of(["nothing of that name"])


def test_a_figure_reads_as_its_source_prints_it() -> None:
    one = figure(value=3.6, std=0.02)
    assert (one.text, one.quantity, one.citation) == ("3.60 ± 0.02", "fid-edm", "a paper, Table 1 (2022)")
    other = figure(preset="none", source="Song et al. 2021", table="", year=2021)
    assert (other.text, other.quantity, other.citation) == ("2.5", "fid", "Song et al. 2021")
    assert hash(one) != hash(other)
    assert one.plain()["parameters"] == {"grid.rho": 7.0}


HEADER = ",".join(COLUMNS) + "\n"
ROW = (
    'c,n,d,fid,edm,3.2,,,heun,"{""grid.rho"": 7.0}",polynomial,9,none,Heun,training-free,a paper,,2022,text\n'
)


def test_own_figures_are_read_beside_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text(HEADER + ROW)
    Path("bench.toml").write_text('published = ["mine.csv"]\n')
    (own,) = published(checkpoint="c")
    assert isinstance(own, PublishedFigure)
    assert (own.value, own.std, own.parameters, own.nfe, own.year) == (3.2, None, {"grid.rho": 7.0}, 9, 2022)
    Path("bench.toml").write_text('published = ["none.csv"]\n')
    with pytest.raises(BenchError, match="published: there is no file"):
        published()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "its columns must be checkpoint,network"),
        (HEADER + ROW.replace("3.2", "x"), "could not convert"),
        (HEADER + ROW.replace("3.2", "nan"), "finite numbers"),
        (HEADER + ROW.replace(",9,", ",9.5,"), "invalid literal"),
        (HEADER + ROW.replace("training-free", "trained"), "unknown kind trained"),
        (HEADER + ROW.replace("polynomial", "p" * 401), "grid is longer than 400"),
        (HEADER + ROW.replace('"{""grid.rho"": 7.0}"', "[1]"), "parameters must be a JSON object"),
        (HEADER + ROW.replace('"{""grid.rho"": 7.0}"', "{"), "."),
        (HEADER + ROW.strip() + ",more\n", "line 2: it must have 19 columns"),
        (HEADER + "c,n\n", "line 2: it must have 19 columns"),
        (HEADER + "x" * 200_000 + "\n", "field larger than field limit"),
        (HEADER + "x" * 4_000_001, "it is too large"),
    ],
)
def test_a_wrong_file_is_an_error_of_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(BenchError, match=message) as caught:
        read_figures(path)
    assert "\n" not in str(caught.value)
