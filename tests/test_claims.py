"""What README.md, the docs and results/README.md say of the committed results, against the files.

A figure is computed from the files and looked for in the text, so that neither can change alone.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev

import pytest

from bench import BenchError, FeatureMetric, Sampler, check, exact_fd_dct
from bench.plugins.registry import Registry
from tests.benchmarks import authoring, startup
from tests.benchmarks.check_cost import BOTH, HERE
from tests.faults.__main__ import FAULTS
from tests.support.analytic import grid_of, sde
from tests.support.metrics import metric_context
from tests.support.pages import block, page, page_says
from tests.support.paths import ROOT
from tests.support.plugins import empty_registry, installed
from tests.support.reference import REFERENCE, cells, errors_off, mean, read, says

OWN = ("euler_maruyama", "reverse_diffusion", "ancestral", "probability_flow")
"""The paper's own predictors."""
HIGHER = ("deis", "ipndm", "dpmpp_2m", "dpmpp_3m", "unipc")
ERRORS = 4
"""Standard errors that a mean over seeds may lie off."""

TABLES, NUMBERS = "docs/guide/tables.md", "docs/guide/numbers.md"
SAMPLER = "docs/extend/sampler.md"

NFE = "nfe/gaussian-cifar10-256"


def test_sampled_values_of_nfe_lie_within_four_errors_of_the_exact_ones() -> None:
    own = {place: rows for place, rows in cells(NFE).items() if rows[0]["exact"] and not rows[0]["solver"]}
    assert len(own) == 152
    assert {len(rows) for rows in own.values()} == {5}
    assert max(map(errors_off, own.values())) < ERRORS


def test_rk45_is_near_its_limit_from_a_tolerance_on() -> None:
    solved = {place: rows for place, rows in cells(NFE).items() if rows[0]["exact"] and rows[0]["solver"]}
    assert {row.partition(",")[0] for _, row, _ in solved} == {"rk45"}
    far = {place: errors_off(rows) for place, rows in solved.items() if errors_off(rows) >= ERRORS}
    assert far.keys() == {("ve", f"rk45, denoise {end}", "tol 0.1") for end in ("none", "tweedie")}
    assert all(30 < off < 50 for off in far.values())
    assert says("on VE at 0.1 it is 30 to 50 away")


TABLE1 = "table1/gaussian-cifar10-1024"


def test_the_probability_flow_is_far_behind_on_ve_until_a_corrector_follows_it() -> None:
    """And C2000 is the worst on VP; on the Gaussian as in the paper."""
    for field in ("exact", "published"):
        value = {place: float(rows[0][field]) for place, rows in cells(TABLE1).items() if rows[0][field]}
        flow = value["ve", "probability_flow", "P1000"]
        others = [value["ve", row, "P1000"] for row in ("ancestral", "reverse_diffusion")]
        corrected = [value["ve", row, "PC1000"] for row in ("ancestral", "reverse_diffusion")]
        assert flow > 3 * max(others)
        assert value["ve", "probability_flow", "PC1000"] < 1.2 * max(corrected)
        on_vp = {place: one for place, one in value.items() if place[0] == "vp"}
        assert max(on_vp, key=lambda place: on_vp[place]) == ("vp", "none", "C2000")


def test_the_size_and_the_time_of_table1() -> None:
    rows = read(f"{TABLE1}/cells.csv")
    hours = math.fsum(float(row["seconds"]) for row in rows) / 3600
    assert page_says(TABLES, f"({len(rows)} runs of {rows[0]['samples']} samples")
    assert page_says(TABLES, f"{hours:.1f} hours of one core")


@pytest.mark.parametrize(
    ("name", "field", "best"),
    [("fast/gaussian-cifar10-1024", "exact", "ipndm"), ("fast/cifar10-tiny-64", "value", "unipc")],
)
def test_few_calls(name: str, field: str, best: str) -> None:
    value = {
        (row, int(column.removeprefix("NFE "))): mean(own, field)
        for (_, row, column), rows in cells(name).items()
        if (own := [one for one in rows if one["metric"] != "flow_error"]) and own[0][field]
    }
    assert all(value[row, 20] < value["ddim", 100] for row in HIGHER)
    assert min((row for row, calls in value if calls == 5), key=lambda row: value[row, 5]) == best
    ratios = []
    for calls in (5, 10, 20, 50, 100):
        others = [one for (row, n), one in value.items() if n == calls and row not in OWN]
        ratios.append(min(value[row, calls] for row in OWN) / min(others))
    assert min(ratios) > (4 if field == "exact" else 1)


def test_few_calls_by_flow_error() -> None:
    """On the network: other ranks at 5 calls, and the floor at 100."""
    error, floor = {}, 0.0
    for row in read("fast/cifar10-tiny-64/cells.csv"):
        if row["metric"] == "flow_error" and row["value"]:
            error[row["row"], row["column"]] = float(row["value"])
            floor = float(row["floor"])
    at_5 = {row: value for (row, column), value in error.items() if column == "NFE 5"}
    assert min(at_5, key=at_5.__getitem__) == "ipndm"
    assert at_5["unipc"] > at_5["ddim"]
    assert all(error[row, "NFE 20"] < error["ddim", "NFE 100"] for row in HIGHER)
    # 1.4 floors: a distance and the floor, both of random direction, add in squares
    assert all(error[row, "NFE 100"] < math.sqrt(2) * floor for row in HIGHER)
    near = {row for row in HIGHER if error[row, "NFE 50"] < math.sqrt(2) * floor}
    assert near == {"dpmpp_3m", "unipc"}
    assert says("At 100 calls the multistep methods are at its floor, `dpmpp_3m` and `unipc` at 50")


def test_digits() -> None:
    """What `fd` and `flow_error` tell of a network's samplers."""

    def values(metric: str) -> dict[tuple[str, int], list[float]]:
        """By sampler and calls, one per seed."""
        by_place = defaultdict(list)
        for row in read("digits/digits-tiny-1000/cells.csv"):
            if row["metric"] == metric and row["column"].startswith("NFE "):
                by_place[row["row"], int(row["column"].removeprefix("NFE "))].append(float(row["value"]))
        return by_place

    fd, error = values("fd-digits-pixels"), values("flow_error")
    assert fmean(fd["dpmpp_2m", 10]) < fmean(fd["ddim", 50])
    assert fmean(error["dpmpp_2m", 20]) < fmean(error["ddim", 50]) < fmean(error["dpmpp_2m", 10])
    calls = (10, 20, 50)
    assert says("({:.3f}, {:.3f} and {:.3f}, ±".format(*(fmean(fd["dpmpp_2m", n]) for n in calls)))
    assert f"{max(stdev(fd['dpmpp_2m', n]) for n in calls):.3f}" == "0.006"
    assert says("({:.4f}, {:.4f} and {:.4f})".format(*(fmean(error["dpmpp_2m", n]) for n in calls)))
    for n in (5, *calls):
        samplers = [row for row, at in error if at == n]
        orders = {tuple(sorted(samplers, key=lambda row: error[row, n][seed])) for seed in range(3)}
        assert (len(samplers), len(orders)) == (3, 1)


def test_heun_stands_at_odd_calls() -> None:
    calls = {
        rows[0]["nfe"] for (_, row, _), rows in cells("fast/gaussian-cifar10-1024").items() if row == "heun"
    }
    assert {float(one) for one in calls} >= {9, 19, 49, 99}


def table_rows() -> list[tuple[str, str, str]]:
    """Folder, description and command of each table of results/README.md."""
    text = (ROOT / "results" / "README.md").read_text()
    return re.findall(r"^\| `reference/(\w[\w-]*/[^`]+)` \| (.*?) \| (`bench run.*`) \|$", text, re.MULTILINE)


def test_every_table_is_of_the_samples_and_seeds_that_its_line_names() -> None:
    names = {path.parent.relative_to(REFERENCE).as_posix() for path in REFERENCE.glob("*/*/cells.csv")}
    rows = table_rows()
    assert {folder for folder, _, _ in rows} == names
    for folder, text, command in rows:
        table = read(f"{folder}/cells.csv")
        last = command.split("`bench run ")[-1]
        samples = re.search(r"--samples (\d+)", last)
        # without the option: the number of the profile `exact`
        assert {row["samples"] for row in table} == {samples[1] if samples else "1024"}, folder
        seeds = re.search(r"--repeats (\d+)", last)
        assert len({row["seed"] for row in table}) == (int(seeds[1]) if seeds else 1), folder
        missing = any(row["status"] != "finished" for row in table)
        assert missing == ("the other cells are shown as missing" in text), folder
        assert f"--suite {table[0]['suite']} " in f"{last} "
        assert f"--checkpoint {table[0]['checkpoint']} " in f"{last} "
    shared = {c for (_, _, c), rows in cells("nfe/cifar10-tiny-64-bf16").items() if c.endswith("00 steps")}
    assert shared == {"100 steps", "200 steps"}


def test_the_readmes_first_run_is_its_record() -> None:
    record = json.loads((REFERENCE / "quick.json").read_text())
    value, cost = record["metrics"]["fd_cifar10"], record["cost"]
    assert page_says("README.md", f"({cost['seconds']:.0f} seconds on two cores)")
    line = f"value {value['value']:.4g} † samples {value['n']} NFE per sample {cost['nfe']:g}"
    assert page_says("README.md", line)
    assert page_says("README.md", f"samples/s {cost['samples_per_second']:.4g}")
    assert page_says("README.md", f"in network {100 * cost['network_share']:.1f} %")
    assert page_says(NUMBERS, f"`cifar10-tiny` is {100 * cost['network_share']:.0f} % of its runs' time")


def test_a_step_costs_about_its_draws_and_passes() -> None:
    """ "About as much" is within a fifth, on 3x32x32 batches."""
    ratios = [float(row["ratio"]) for row in read("overhead.csv") if row["height"] == "32"]
    assert len(ratios) == 3
    assert all(0.8 < ratio < 1.2 for ratio in ratios)


def test_a_sampler_from_start_to_table_takes_about_a_minute() -> None:
    rows = {row["step"]: float(row["seconds"]) for row in read("authoring.csv")}
    assert round(rows["in all"] / 60) == 1
    assert rows["in all"] == pytest.approx(sum(s for step, s in rows.items() if step != "in all"), abs=0.3)
    assert rows["bench check my_sampler"] < 60


def test_metrics_that_need_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of the docs names all metrics of images alone, by what their features are taken from."""
    lines = page("docs/guide/what-can-be-run.md").splitlines()
    (line,) = (one for one in lines if one.startswith("| `--metric`"))
    named = [re.findall(r"`(\w+)`", part) for part in line.removeprefix("| `--metric`").split(";")]
    by_extractor: dict[str, list[str]] = defaultdict(list)
    for entry in installed().of_kind("metrics"):
        if issubclass(entry.thing, FeatureMetric) and entry.thing.inputs == ("images",):
            by_extractor[entry.thing().extractor_plugin(metric_context()).name].append(entry.name)
    free, inception, pixels, flow, items = (sorted(group) for group in named)
    assert flow == ["flow_error"]
    assert items == ["mmd", "sliced_wasserstein"]
    assert sorted([*by_extractor["cifar10-features"], "fd_dct"]) == free
    assert sorted(by_extractor["inception"]) == inception
    assert sorted(by_extractor["pixels"]) == pixels
    assert by_extractor.keys() == {"cifar10-features", "inception", "pixels"}
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    context = metric_context()
    with pytest.raises(BenchError, match="bench stats build cifar10-train --extractor pixels"):
        installed().build("metrics", "fd", {}).provenance(context)
    for name in free:
        installed().build("metrics", name, {}).provenance(context)


def my_sampler(folder: Path) -> Registry:
    """The installed plugins, and the sampler of the docs."""
    import importlib.util

    path = folder / "claimed_sampler.py"
    path.write_text(block(authoring.PAGE, "my_sampler.py"))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    registry = empty_registry()
    registry.load(module, "claimed-sampler", "0.1.0")
    return registry


def test_the_exact_values_of_the_suite_with_a_new_sampler(tmp_path: Path) -> None:
    card, built = installed().get("checkpoints", "gaussian-cifar10").thing, installed()
    for name in ("my_sampler", "ddim", "dpmpp_2m"):
        registry = my_sampler(tmp_path) if name == "my_sampler" else built
        predictor = registry.build("predictors", name, {})
        values = [
            exact_fd_dct(card, Sampler(sde("vp"), predictor, steps=steps, grid=grid_of("logsnr"))) or 0.0
            for steps in (10, 20, 50)
        ]
        words = " ".join(page(SAMPLER).split())
        line = re.search(rf"vp {name} fd_dct [-\d. ]+ fd_dct, exact ([\d.]+) ([\d.]+) ([\d.]+)", words)
        assert line is not None
        assert [float(one) for one in line.groups()] == pytest.approx(values, rel=1e-3)


def test_flow_error_ranks_samplers_alike_at_every_seed() -> None:
    """Kendall's tau of each pair of five seeds, in all and over the pairs that both seeds tell apart."""
    rows = read("flow-error-tau.csv")
    assert {row["calls"] for row in rows} == {"5", "10", "20"}
    assert len(rows) == 3 * 10  # pairs of five seeds
    assert {row["tau"] for row in rows} == {row["tau_resolved"] for row in rows} == {"1.000"}
    assert says("Kendall's tau between two seeds' rankings of eight samplers is 1 at 5, 10 and 20 calls")
    best: dict[str, str] = {}
    for row in read("flow-error-ranking.csv"):
        best.setdefault(row["calls"], row["sampler"])
    assert best == {"5": "ipndm", "10": "ipndm", "20": "unipc"}


def test_the_power_of_bench_check() -> None:
    """Noise off by 1 % is found where a sampler is linear, by 3 % where it is not; sound ones pass."""
    rows = read("check_power.csv")
    by_case = {(row["sampler"], row["mistake"], float(row["size"])): row for row in rows}
    assert by_case["linear", "noise", 0.01]["found"] == by_case["linear", "noise", 0.01]["runs"]
    for sampler in ("not linear", "no order declared"):
        assert by_case[sampler, "noise", 0.03]["found"] == by_case[sampler, "noise", 0.03]["runs"]
    assert {row["found"] for row in rows if float(row["size"]) == 0} == {"0"}
    assert page_says(SAMPLER, "noise off by 1 % where a sampler is declared linear, by 3 % where it is not")


def test_the_cost_of_bench_check() -> None:
    """It costs no more than at the earlier commit, and a long search at most seven times ddim's."""
    rows = read("check_cost.csv")
    assert {row["sampler"] for row in rows} == {*BOTH, *HERE}
    assert all(float(row["over_before"]) <= 1 for row in rows if row["over_before"])
    assert all(float(row["over_ddim"]) <= 7 for row in rows)


def test_the_time_to_the_first_batch() -> None:
    """At most `startup.ALLOWED` seconds beyond ``import torch``."""
    rows = {row["command"]: row for row in read("startup.csv")}
    assert rows.keys() == startup.COMMANDS.keys()
    for name in ("first batch, exact", "first batch, network"):
        assert float(rows[name]["wall_s_beyond_torch"]) <= startup.ALLOWED


def test_a_suite_by_two_workers() -> None:
    """Half the time of one worker of one thread and of the earlier commit, to the same values."""
    old, one, two = (row for row in read("against-suite.csv") if row["samples"] == "4096")
    assert float(one["seconds"]) / float(two["seconds"]) >= 1.85
    assert float(old["seconds"]) / float(two["seconds"]) >= 2
    assert old["mean_metric"] == one["mean_metric"] == two["mean_metric"]
    assert old["runs"] == one["runs"] == two["runs"] == "26"


def test_tables_of_many_records() -> None:
    """Ten times the records take at most seven times the processor's time; less than the earlier commit."""
    old, new, many = read("against-tables.csv")
    assert (old["records"], new["records"], many["records"]) == ("1000", "1000", "10000")
    assert float(many["ten_times_of_one"]) <= 7
    assert float(new["of_old"]) < 0.8


def test_the_memory_of_many_batches() -> None:
    peaks = {int(row["batches"]): float(row["peak_mib"]) for row in read("against-memory.csv")}
    assert peaks.keys() == {10, 100, 1000, 10_000}
    assert peaks[10_000] <= 1.05 * peaks[10]


def test_the_cost_of_executors() -> None:
    """At most 2 % of a worker's time is the engine's; Ray's batches are as long, within the spread."""
    workers, ray = read("executors.csv")
    assert all(float(row["engine_share"]) <= 0.02 for row in (workers, ray))
    assert float(ray["lowest"]) <= 1 <= float(ray["highest"])


def test_the_speed_of_a_network_on_two_cores() -> None:
    """Compiled in bfloat16 it reaches 60 % of the processor's rate for products of matrices."""
    rows = {row["variant"]: row for row in read("networks-cpu.csv")}
    best = rows["bf16, compiled"]
    assert float(best["share"]) >= 0.6
    assert float(best["over_score_sde"]) >= 2
    assert "amx" not in best["processor"]


def test_the_check_of_the_sampler_of_the_docs(tmp_path: Path) -> None:
    """The lines that the page shows, and that all passed."""
    thing = my_sampler(tmp_path).get("predictors", "my_sampler").thing
    report = check(thing, registry=installed(), sdes=("vp",))
    for finding in report.findings:
        if finding.name in ("network calls", "convergence, vp", "uneven steps, vp"):
            assert page_says(SAMPLER, f"{finding.name} pass {finding.measured} "), finding.measured
    assert report.passed


def test_fitted_grids_are_better_than_unfitted_ones() -> None:
    """docs/fitted.md, for each sampler and number of calls of the committed table."""
    with (ROOT / "results/reference/fitted/fitted.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    places = {(row["predictor"], row["nfe"]) for row in rows}
    assert {nfe for _, nfe in places} == {"5", "6"}
    for place in places:
        own = [row for row in rows if (row["predictor"], row["nfe"]) == place]
        values = {row["grid"]: float(row["flow_error"]) for row in own}
        fitted = {row["grid"] for row in own if row["fit_nfe"]}
        assert fitted == {"gits", "gits, deviation", "learned_times"}
        least = min(value for grid, value in values.items() if grid not in fitted)
        assert values["learned_times"] < least, (place, values)
        assert (values["gits"] < least) == (place != ("dpmpp_2m", "6")), (place, values)
        errors = {row["grid"]: float(row["error"]) for row in own}
        assert abs(values["gits"] - least) < errors["gits"] or values["gits"] < least
        assert abs(values["gits, deviation"] - values["gits"]) < errors["gits"]


def test_every_fault_was_survived_twenty_times() -> None:
    lines = (REFERENCE / "faults.txt").read_text().splitlines()
    assert all(line.endswith("struck, and 20 of 20 as without it") for line in lines)
    names = {line.partition(" struck")[0].strip() for line in lines}
    assert names == FAULTS.keys() | {"ray actor killed", "raylet killed"}
