"""``bench published``: its lines, its JSON, its picture, its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli import main
from bench.reporting.published_figures import COLUMNS, published

EDM = "edm-cifar10-uncond-vp"


def call(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[str, str]:
    """What ``bench published`` prints on stdout and stderr."""
    with pytest.raises(SystemExit) as stop:
        main(["published", *arguments])
    out, err = capsys.readouterr()
    assert stop.value.code == status, out + err
    return out, err


def test_every_figure_is_listed_and_in_the_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.cli.published.console", lambda: Console(width=500, highlight=False))
    figures = published()
    plain = json.loads(call(capsys, "--json")[0], parse_constant=pytest.fail)
    assert [tuple(one) for one in plain["figures"]] == [COLUMNS] * len(figures)
    assert plain["figures"] == [one.plain() for one in figures]
    out = call(capsys)[0]
    assert f"{len(figures)} published figures" in out
    lines = [line.strip() for line in out.splitlines() if line.strip()][2:-1]
    assert len(lines) == len(figures)
    for line, one in zip(lines, figures, strict=True):
        assert line.startswith(one.checkpoint or f"({one.network})")
        assert all(part in line for part in (one.text, one.method, one.source, one.read_from))


def test_sources_that_disagree_are_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    out = call(capsys, "--checkpoint", EDM, "--sampler", "unipc", "--nfe", "6", "--sort", "value")[0]
    lines = [line.split() for line in out.splitlines() if line.strip().startswith(EDM)]
    assert [next(word for word in line if word in ("11.1", "11.14", "13.12")) for line in lines] == [
        *("11.1", "11.14", "13.12")
    ]
    assert "3 published figures" in out
    out = call(capsys, "--checkpoint", EDM, "--nfe", "5..10", "--json")[0]
    assert {one["nfe"] for one in json.loads(out)["figures"]} == {5, 6, 7, 8, 9, 10}


def test_a_picture_is_written_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("--checkpoint", EDM, "--sampler", "heun")
    assert "drawn to heun.svg" in call(capsys, *arguments, "--plot", "heun.svg")[0]
    assert "diff-sampler" in Path("heun.svg").read_text()
    for name, message in (("heun.pdf", "must end in .png or .svg"), ("no/heun.svg", "choose another --plot")):
        err = call(capsys, *arguments, "--plot", name, status=2)[1]
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--nfe", "ten"), "'ten' is no number such as 10 or 5..10"),
        (("--nfe", "10..5"), "'10..5' is no number such as 10 or 5..10"),
        (("--checkpoint", "edm-cifar10-uncond-v"), "did you mean"),
        (("--sampler", "nothing"), "no published figure of the sampler 'nothing'"),
        (("--metric", "fidd"), "no published figure of the metric 'fidd'"),
    ],
)
def test_a_mistake_is_a_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    out, err = call(capsys, *arguments, status=2)
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def run(
    capsys: pytest.CaptureFixture[str],
    checkpoint: str,
    *words_more: str,
    predictor: str = "dpmpp_3m",
    status: int = 0,
) -> tuple[str, str]:
    """What a short ``bench run`` prints that asks for the figures of a checkpoint."""
    words = ["run", "--profile", "none", "--checkpoint", "gaussian-cifar10", "--predictor", predictor]
    words += ["--grid", "logsnr", "--steps", "5", "--samples", "2", "--batch-size", "2", "--device", "cpu"]
    with pytest.raises(SystemExit) as stop:
        main([*words, *words_more, "--published-of", checkpoint])
    out, err = capsys.readouterr()
    assert stop.value.code == status, out + err
    return out, err


def test_a_run_ends_with_figures_of_other_checkpoints_under_their_own_heading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the two that were sampled alike, one is of a convention of its own."""
    monkeypatch.chdir(tmp_path)
    out, _ = run(capsys, EDM)
    summary, heading, block = out.partition("of another checkpoint and another metric")
    assert heading
    assert "24.97" not in summary
    assert "24.97 [1]" in block
    assert "24.54 [2]" in block
    assert "[1] diff-sampler, README of diff-solvers-main (2024)." in block
    out, _ = run(capsys, EDM, predictor="ddim")
    assert f"no published figure of {EDM} is of these samplers, grids and network calls" in out
    out, err = run(capsys, "edm-cifar10-uncond", status=2)
    assert "did you mean" in err
    assert out == ""


def test_the_json_of_a_run_has_them_apart_from_figures_of_its_own_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (facts,) = json.loads(run(capsys, EDM, "--json")[0])["runs"]
    (metric,) = facts["metrics"].values()
    assert metric["published"] == []
    assert sorted(one["value"] for one in metric["published_elsewhere"]) == [24.54, 24.97]
    assert {one["checkpoint"] for one in metric["published_elsewhere"]} == {EDM}
    with pytest.raises(SystemExit):
        main(["list", "runs", "--json"])
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    (metric,) = listed["metrics"].values()
    assert (metric["published"], metric["published_elsewhere"]) == ([], [])


def test_a_damaged_file_of_figures_stops_a_run_before_it_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("value\n1\n")
    Path("bench.toml").write_text('published = ["mine.csv"]\n')
    words = ["run", "--checkpoint", "gaussian-cifar10", "--samples", "2", "--json"]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "mine.csv: its columns must be" in capsys.readouterr().err
    assert not Path("results").exists()
