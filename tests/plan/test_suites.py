"""Suites: their cells, where they stand, the flags that go with them, the manifest they leave."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench.plan.planning import plan_suite
from bench.plan.settings import settings, suites
from bench.plan.suites import Place, Suite, expand, resolve_suite
from bench.reporting.matching import Matcher
from bench.reporting.published_figures import all_figures
from tests.support import plans
from tests.support.made_up import failed_record
from tests.support.plugins import installed
from tests.support.runs import exit_status

MINE = """
[suites.mine]
about = "two predictors, two SDEs"
layout = "grid"
checkpoint = "gaussian-cifar10"
[[suites.mine.cells]]
sde = ["ve", "vp"]
predictor = ["ancestral", "euler_maruyama"]
steps = [30, 41]
row = "{predictor}"
column = "P{steps}"

[suites.wider]
extends = "mine"
about = "and a corrector"
[[suites.wider.cells]]
sde = "ve"
predictor = "ancestral"
corrector = "langevin"
parameters.corrector = { snr = [0.1, 0.2], steps = 2 }
steps = 60
label_scales = 30
row = "{sampler}"
column = "r {snr:g}"
"""
SMALL = ("--device", "cpu", "--samples", "16", "--batch-size", "8")
Bench = Callable[..., tuple[str, str]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs ``bench run`` in a folder with the suites in its bench.toml: its output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    Path("bench.toml").write_text(MINE)

    def call(*arguments: str, status: int = 0) -> tuple[str, str]:
        code = exit_status("run", *SMALL, *arguments)
        out, err = capsys.readouterr()
        assert code == status, out + err
        assert "Traceback" not in out + err
        return out, err

    return call


def named(text: str, name: str, folder: Path) -> Suite:
    """A suite of a bench.toml."""
    (folder / "bench.toml").write_text(text)
    return resolve_suite(name, suites(folder))


def fingerprints(out: str) -> list[str]:
    """Fingerprints in the lines of a dry run."""
    return [line.rsplit(" ", 1)[1] for line in out.splitlines() if " batches on disk · " in line]


def test_lists_expand_to_their_product(tmp_path: Path) -> None:
    expanded = expand("mine", named(MINE, "mine", tmp_path))
    expected = itertools.product(["ve", "vp"], ["ancestral", "euler_maruyama"], [30, 41])
    assert expanded == [
        (Place(s, p, f"P{n}"), {"sde": s, "predictor": p, "steps": n}) for s, p, n in expected
    ]


def test_lists_of_parameters_too_and_a_row_of_the_whole_sampler(tmp_path: Path) -> None:
    expanded = expand("wider", named(MINE, "wider", tmp_path))[8:]
    common = {"sde": "ve", "predictor": "ancestral", "corrector": "langevin", "steps": 60, "label_scales": 30}
    assert expanded == [
        (
            Place("ve", "ancestral + langevin", f"r {snr:g}"),
            common | {"parameters": {"corrector": {"snr": snr, "steps": 2}}},
        )
        for snr in (0.1, 0.2)
    ]


def test_extends_takes_in_the_cells_of_another_first(tmp_path: Path) -> None:
    mine = named(MINE, "mine", tmp_path)
    wider = named(MINE, "wider", tmp_path)
    assert expand("wider", wider)[:8] == expand("mine", mine)
    assert len(expand("wider", wider)) == 10
    assert (wider.about, wider.layout, wider.checkpoint) == ("and a corrector", "grid", "gaussian-cifar10")
    shipped = named('[suites.own]\nextends = "table1"\n', "own", tmp_path)
    assert expand("own", shipped) == expand("table1", resolve_suite("table1", suites(tmp_path / "nowhere")))


def test_the_abscissa_of_a_curve(tmp_path: Path) -> None:
    text = MINE.replace('layout = "grid"', 'layout = "curve"\nx = "steps"')
    assert [place.x for place, _ in expand("mine", named(text, "mine", tmp_path))] == [30.0, 41.0] * 4
    text = MINE.replace('layout = "grid"', 'layout = "curve"\nx = "nfe"')  # known once it has run
    assert {place.x for place, _ in expand("mine", named(text, "mine", tmp_path))} == {None}


def test_a_suite_of_the_same_name_replaces_a_shipped_one(tmp_path: Path) -> None:
    text = '[suites.table1]\n[[suites.table1.cells]]\nsde = "vp"\npredictor = "ancestral"\nsteps = 30\n'
    assert len(expand("table1", named(text, "table1", tmp_path))) == 1


def test_steps_scale_multiplies_steps_and_labels_and_leaves_places(tmp_path: Path) -> None:
    suite = named(MINE, "wider", tmp_path)
    whole, tenth = expand("wider", suite), expand("wider", suite, 0.1)
    assert [place for place, _ in tenth] == [place for place, _ in whole]
    assert [chosen["steps"] for _, chosen in tenth] == [3, 4] * 4 + [6, 6]
    assert [chosen.get("label_scales") for _, chosen in tenth] == [None] * 8 + [3, 3]
    assert {chosen["steps"] for _, chosen in expand("wider", suite, 0.001)} == {1}


def test_cells_are_those_of_plain_flags(bench: Bench) -> None:
    out, _ = bench("--suite", "wider", "--profile", "exact", "--dry-run")
    plain = ("--profile", "exact", "--checkpoint", "gaussian-cifar10", "--dry-run")
    expected = []
    for sde, predictor, steps in itertools.product(
        ["ve", "vp"], ["ancestral", "euler_maruyama"], ["30", "41"]
    ):
        listing, _ = bench(*plain, "--sde", sde, "--predictor", predictor, "--steps", steps)
        expected += fingerprints(listing)
    langevin = ("--corrector", "langevin", "--corrector-steps", "2", "--steps", "60", "--label-scales", "30")
    for snr in ("0.1", "0.2"):
        listing, _ = bench(*plain, "--sde", "ve", "--predictor", "ancestral", *langevin, "--snr", snr)
        expected += fingerprints(listing)
    assert len(expected) == len(set(expected)) == 10
    assert fingerprints(out) == expected
    assert "suite wider: 10 runs = 1 checkpoint x 10 samplers x 1 seed; 0 recorded already" in out


def test_checkpoint_samples_and_seeds_are_the_command_lines(bench: Bench) -> None:
    out, _ = bench("--suite", "mine", "--dry-run")
    assert out.startswith("profile exact: gaussian-cifar10, 16 samples, on cpu in fp32")  # the suite's own
    assert out.count("gaussian-cifar10 · v") == 8
    chosen = (
        "--checkpoint",
        "gmm-cifar10",
        "--checkpoint",
        "gaussian-cifar10",
        "--repeats",
        "2",
        "--seed",
        "3",
    )
    out, _ = bench("--suite", "mine", *chosen, "--dry-run")
    lines = [line for line in out.splitlines() if " batches on disk · " in line]
    places = [(line.split()[2], line.partition("· seed ")[2][0]) for line in lines]
    # by checkpoint, then by seed: what is stopped leaves whole tables
    pairs = [(name, seed) for name in ("gmm-cifar10", "gaussian-cifar10") for seed in "34"]
    assert places == [pair for pair in pairs for _ in range(8)]
    assert "suite mine: 32 runs = 2 checkpoints x 8 samplers x 2 seeds" in out


def test_the_manifest(bench: Bench) -> None:
    out, _ = bench(
        "--suite", "wider", "--steps-scale", "0.8", "--repeats", "2", "--checkpoint", "gmm-cifar10"
    )
    assert "20 finished, 0 failed" in out
    assert "bench table wider" in out
    (path,) = Path("results/suites/wider").iterdir()
    assert path.name == "gmm-cifar10-16-steps-x0.8.json"
    content = json.loads(path.read_text())
    cells = content.pop("cells")
    assert len(content.pop("checksum")) == 64
    assert content == {
        "schema_version": 1,
        "suite": "wider",
        "name": path.stem,
        "about": "and a corrector",
        "layout": "grid",
        "checkpoint": "gmm-cifar10",
        "samples": 16,
        "batch_size": 8,
        "steps_scale": 0.8,
        "precision": "fp32",
        "metrics": ["fd_dct"],
        "published_of": [],
    }
    assert len(cells) == 20
    assert Counter(cell["seed"] for cell in cells) == {0: 10, 1: 10}
    places = Counter((cell["sde"], cell["row"], cell["column"]) for cell in cells)
    assert places[("vp", "euler_maruyama", "P41")] == 2  # by the unscaled settings
    assert places[("ve", "ancestral + langevin", "r 0.2")] == 2
    for cell in cells:
        record = json.loads(Path("results/records", f"{cell['fingerprint']}.json").read_text())
        assert (record["title"], record["identity"]["seed"]) == (cell["title"], cell["seed"])
        assert record["identity"]["sde"]["name"] == cell["sde"]
        if cell["row"] == "euler_maruyama":
            assert record["identity"]["predictor"]["name"] == "euler_maruyama"
            assert record["identity"]["steps"] == {"P30": 24, "P41": 33}[cell["column"]]
        else:
            assert record["identity"]["predictor"]["name"] == "ancestral"
    out, _ = bench("--suite", "mine", "--out", "elsewhere")
    assert out.rstrip().endswith("bench table mine --out elsewhere")


def test_only_some_cells_are_run_and_the_manifest_is_whole(bench: Bench) -> None:
    out, _ = bench("--suite", "mine", "--only", "vp * P30", "--only", "* euler_maruyama P30")
    assert "3 finished, 0 failed" in out
    done = {path.stem for path in Path("results/records").iterdir()}
    cells = json.loads(Path("results/suites/mine/gaussian-cifar10-16.json").read_text())["cells"]
    assert len(cells) == 8
    assert {(c["sde"], c["row"], c["column"]) for c in cells if c["fingerprint"] in done} == {
        ("vp", "ancestral", "P30"),
        ("vp", "euler_maruyama", "P30"),
        ("ve", "euler_maruyama", "P30"),
    }


def test_what_holds_for_all_cells_is_said_of_one_that_was_chosen(bench: Bench) -> None:
    flags = ("--suite", "mine", "--checkpoint", "edm-cifar10-uncond-vp", "--only")
    for only in ("vp *", "ve *"):
        _, err = bench(*flags, only, status=2)
        assert f"suite mine: {only.partition(' ')[0]} " in err
        assert "edm-cifar10-uncond-vp is not here" in err


def test_seeds_add_up_in_a_manifest_and_other_settings_replace_it(bench: Bench) -> None:
    path = Path("results/suites/mine/gaussian-cifar10-16.json")
    for flags, seeds in (
        (("--repeats", "2"), [0, 1]),
        (("--repeats", "1"), [0, 1]),
        (("--seed", "3"), [0, 1, 3]),
    ):
        out, _ = bench("--suite", "mine", *flags, "--only", "vp * P30")
        assert "notice" not in out
        planned = [cell["seed"] for cell in json.loads(path.read_text())["cells"]]
        assert planned == [seed for seed in seeds for _ in range(8)]
    out, _ = bench("--suite", "mine", "--batch-size", "16", "--only", "vp * P30")
    assert "had 24 runs of other settings" in out
    assert len(json.loads(path.read_text())["cells"]) == 8


def test_manifests_of_one_suite_stand_side_by_side(bench: Bench) -> None:
    for other in ((), ("--samples", "8"), ("--precision", "bf16"), ("--steps-scale", "0.8")):
        bench("--suite", "mine", *other)
    names = {path.stem for path in Path("results/suites/mine").iterdir()}
    assert names == {
        "gaussian-cifar10-16",
        "gaussian-cifar10-8",
        "gaussian-cifar10-16-bf16",
        "gaussian-cifar10-16-steps-x0.8",
    }


OWN = "--sde vp, --predictor ancestral, --corrector none, --solver rk45, --steps 30, --grid uniform"
OWN += ", --order corrector_first, --denoise none, --label-scales 10"


@pytest.mark.parametrize("text", OWN.split(", "))
def test_flags_of_a_sampler_are_refused(bench: Bench, text: str) -> None:
    flags = text.split()
    _, err = bench("--suite", "mine", *flags, status=2)
    assert err == (
        f"bench: the suite mine sets its own samplers: leave out {flags[0]}, or define a suite in bench.toml "
        '(extends = "mine" takes in its cells)\n'
    )
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("flags", "role"),
    [
        (("--snr", "0.1"), "corrector"),
        (("--rho", "7"), "grid"),
        (("--corrector-steps", "2"), "corrector"),
        (("--tol", "1e-3"), "solver"),
        (("-P", "sde.eps=1e-3"), "sde"),
        (("-P", "metric.x=1", "-P", "predictor.dt=grid"), "predictor"),
    ],
)
def test_parameters_of_a_sampler_are_refused(bench: Bench, flags: tuple[str, ...], role: str) -> None:
    _, err = bench("--suite", "mine", *flags, status=2)
    assert f"leave out a parameter of a {role}, or define" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--suite", "tabel1"), "unknown suite 'tabel1' (did you mean 'table1'? known: "),
        (("--steps-scale", "0.5"), "belong to a suite: give --suite"),
        (("--only", "vp *"), "belong to a suite: give --suite"),
        (
            ("--suite", "mine", "--only", "subvp *"),
            "no cell of the suite matches 'subvp *': a cell is called",
        ),
        (("--suite", "mine", "--steps-scale", "0"), "must lie above 0 and at most at 100, not 0"),
        (("--suite", "mine", "--steps-scale", "101"), "must lie above 0 and at most at 100, not 101"),
        (("--suite", "mine", "--steps-scale", "nan"), "must lie above 0 and at most at 100, not nan"),
        (("--suite", "mine", "--steps-scale", "0.1"), "suite mine: vp ancestral P30: "),
        (("--suite", "mine", "--metric", "fd_dtc"), "unknown metric 'fd_dtc' (did you mean 'fd_dct'?"),
        (("--suite", "mine", "--checkpoint", "gmm-cifar"), "'gmm-cifar' (did you mean 'gmm-cifar10'?"),
    ],
)
def test_mistakes_beside_a_suite(bench: Bench, flags: tuple[str, ...], message: str) -> None:
    _, err = bench(*flags, status=2)
    assert message in err
    assert len(err.splitlines()) == 1
    assert not Path("results").exists()


CELLS = '[[suites.s.cells]]\nsde = "vp"\npredictor = "ancestral"\nsteps = 30\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[suites.s]\n", "suite 's' has no cells: give it [[suites.s.cells]]"),
        ('[suites.s]\nextends = "r"\n[suites.r]\nextends = "s"\n', "suite 's' extends itself: s -> r -> s"),
        ('[suites.s]\nextends = "tabel1"\n', "unknown suite 'tabel1' (did you mean 'table1'?"),
        (
            '[suites.s]\nlayuot = "grid"\n' + CELLS,
            "unknown key 'layuot' in [suites.s] (did you mean 'layout'?",
        ),
        ('[suites.s]\nlayout = "round"\n' + CELLS, "suites.s.layout: "),
        (CELLS + "sampels = 3\n", "unknown key 'sampels' in [suites.s.cells]"),
        (CELLS + 'predicter = "none"\n', "in [suites.s.cells] (did you mean 'predictor'?"),
        (CELLS + "denoise = 3\n", "suites.s.cells.0.denoise"),
        (CELLS + 'denoise = "yes"\n', "suite s: vp ancestral: denoise: "),
        (
            CELLS + 'row = "{predicter}"\n',
            "names 'predicter', which its cells do not set (did you mean 'predictor'?",
        ),
        (CELLS + 'row = "{snr}"\n', "names 'snr', which its cells do not set"),
        (
            CELLS + 'corrector = "langvin"\n',
            "suite s: vp ancestral + langvin: unknown corrector 'langvin' (did you mean",
        ),
        (CELLS.replace("30", "[30, 40]"), "two cells have the place vp ancestral: distinguish them"),
        (CELLS.replace('"vp"', "[]"), "suite s: a list of its cells is empty"),
        (CELLS + 'row = "{predictor"\n', "'{predictor' can't be filled in: "),
        (CELLS + 'column = "{steps:zz}"\n', "'{steps:zz}' can't be filled in: "),
        (
            CELLS + 'row = "{predictor:{foo}}"\n',
            "'{predictor:{foo}}' can't be filled in: {name} or {name:g} is",
        ),
        (CELLS + 'row = "{steps:10000000000}"\n', "'{steps:10000000000}' can't be filled in: "),
        (CELLS + 'row = "{steps:.999999999f}"\n', "'{steps:.999999999f}' can't be filled in: "),
        (CELLS + 'row = "{predictor!r}"\n', "'{predictor!r}' can't be filled in: "),
        (CELLS + 'row = "{predictor:d}"\n', "'{predictor:d}' can't be filled in: "),
        (CELLS + f'row = "{"x" * 201}"\n', "suites.s.cells.0.row: string should have at most 200 characters"),
        (CELLS + 'row = "{steps:.99f}{steps:.99f}"\n', "longer than 200"),
        (
            CELLS + f"parameters.corrector.snr = {[0.1] * 1000}\nparameters.sde.beta_min = {[0.1] * 1000}\n",
            "suite s: its lists make 1e+06 cells, more than 10000",
        ),
        (CELLS + "parameters.predictor.dt = 1\n", "ancestral has no parameter 'dt'"),
        (CELLS + "parameters.corrector.snr = 1\n", "none has no parameter 'snr'"),
        (
            '[suites.s]\npublished = "song"\n' + CELLS,
            "unknown key 'published' in [suites.s] (did you mean 'published_of'?",
        ),
    ],
)
def test_mistakes_in_a_suite(bench: Bench, text: str, message: str) -> None:
    Path("bench.toml").write_text(text)
    _, err = bench("--suite", "s", "--checkpoint", "gaussian-cifar10", status=2)
    assert message in err
    assert len(err.splitlines()) == 1
    assert not Path("results").exists()


@pytest.mark.parametrize("name", ["../x", ".", "", "records", "-x", "a b", "x" * 65])
def test_a_suite_is_a_plain_folder_beside_the_stores_own(bench: Bench, name: str) -> None:
    Path("bench.toml").write_text(CELLS.replace("suites.s.", f'suites."{name}".'))
    _, err = bench("--suite", name, status=2)
    assert "a suite can't be called" in err
    assert [p.name for p in Path().iterdir()] == ["bench.toml"]


@pytest.mark.parametrize("name", ["table1", "nfe", "snr", "memoir"])
def test_the_shipped_suites_can_be_planned(tmp_path: Path, name: str) -> None:
    chosen, _ = settings({"checkpoint": ["gaussian-cifar10"], "device": "cpu"}, "exact", tmp_path)
    suite = resolve_suite(name, suites(tmp_path))
    plan = plan_suite(chosen, "exact", name, suite, plans.contexts())
    assert len(plan.specs) == len(plan.runs)
    assert len({run.fingerprint for run in plan.runs}) == len(plan.runs)
    places = [run.place for suite_plan in plan.suite_plans for run in suite_plan.cells]
    assert len(places) == len(plan.runs)
    assert len(set(places)) == len(places)
    # every figure of the suite's source that states its sampler has the place of one run
    figures = [
        one
        for one in all_figures()
        if one.network in suite.published_of
        or (one.checkpoint in suite.published_of and one.citation.startswith("Song et al. 2021, Table"))
    ]
    matcher = Matcher(figures, installed())
    sdes = sorted({run.identity.sde.name for run in plan.specs})
    runs = [failed_record(identity=run.identity, planned_nfe=run.planned_nfe) for run in plan.specs]
    counts = Counter(one for run in runs for one in matcher.elsewhere(run, figures, sdes))
    assert counts == Counter(figures)
    assert len(figures) == {"table1": 26, "memoir": 9}.get(name, 0)


def test_a_label_of_a_coarser_chain_is_another_cell(tmp_path: Path) -> None:
    values: dict[str, Any] = {"checkpoint": ["gaussian-cifar10"], "device": "cpu", "steps": 60}
    keys = set()
    for label_scales in (None, 30, 60):
        extra = {} if label_scales is None else {"label_scales": label_scales}
        (spec,) = plans.plan(settings(values | extra, "exact", tmp_path)[0])
        keys.add(spec.key)
    assert len(keys) == 3
    with pytest.raises(BenchError, match="label"):
        plans.plan(settings(values | {"label_scales": 70}, "exact", tmp_path)[0])
