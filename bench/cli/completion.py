"""Completion of names in the shell, and ``bench completion``, which prints the shell's script.

Names are those of plugins, checkpoints, suites, profiles, data sets and recorded runs. Some come from data:
only safe names are offered. Nothing heavy is loaded, and a broken file makes no message here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from bench.cli.console import echo_lines
from bench.cli.context import registry_of
from bench.cli.listing import LISTED
from bench.errors import printable
from bench.files import inside, is_safe_name
from bench.plugins.hookspecs import KINDS
from bench.testing import scaffold

Named = tuple[str, str]
"""A name, and a few words about it for the shells that show them."""
Source = Callable[[click.Context], Iterable[Named]]
"""The names that a parameter may take, for the words before it."""

TITLES = 50
"""Greatest number of runs whose records are read for their titles."""
LONGEST_HELP = 80

INSTALL = {
    "bash": "bench completion bash > ~/.bench-completion.bash && "
    "echo '. ~/.bench-completion.bash' >> ~/.bashrc",
    "zsh": "bench completion zsh > ~/.bench-completion.zsh && echo '. ~/.bench-completion.zsh' >> ~/.zshrc",
    "fish": "bench completion fish > ~/.config/fish/completions/bench.fish",
}
"""The line that installs the completion of each shell."""


@click.command("completion", short_help="Print the script that completes names in a shell.")
@click.argument("shell", type=click.Choice(list(INSTALL)))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that completes names of plugins, checkpoints, suites and runs in SHELL.

    Its last line says how to install it.
    """
    completion = get_completion_class(shell)
    assert completion is not None
    script = completion(context.find_root().command, {}, "bench", "_BENCH_COMPLETE").source()
    echo_lines(f"{script.rstrip()}\n# to install it: {INSTALL[shell]}")


def plugins(*kinds: str) -> Source:
    """Names of plugins of these kinds; of a family of plugins there is no list."""

    def names(context: click.Context) -> Iterator[Named]:
        registry = registry_of(context)
        return ((name, kind[:-1]) for kind in kinds for name in registry.names(kind))

    return names


def checkpoints(context: click.Context) -> Iterator[Named]:
    """Names of checkpoints."""
    entries = registry_of(context).of_kind("checkpoints")
    return ((entry.name, entry.thing.summary) for entry in entries)


def suites(_: click.Context) -> Iterator[Named]:
    """Names of the suites of bench.toml."""
    from bench.plan.settings import suites

    return ((name, suite.about) for name, suite in suites().items())


def profiles(_: click.Context) -> Iterator[Named]:
    """Names of the profiles of bench.toml."""
    from bench.plan.settings import NO_PROFILE, profiles

    return ((name, "profile") for name in (*(profile.name for profile in profiles()), NO_PROFILE))


def planned_suites(context: click.Context) -> Iterator[Named]:
    """Names of the suites that the results folder has plans of."""
    return ((path.name, "suite") for path in sorted((_results(context) / "suites").iterdir()))


def plans(context: click.Context) -> Iterator[Named]:
    """Names of the plans of the suite on the command line."""
    # before the value of an option, click has not yet assigned the arguments
    suite = context.params.get("source") or context.args[0]
    folder = inside(_results(context) / "suites", suite)
    return ((path.stem, "plan") for path in sorted(folder.glob("*.json")))


def published_checkpoints(_: click.Context) -> Iterator[Named]:
    """Names of the cards that have published figures."""
    from bench.reporting.published_figures import all_figures

    names = sorted({figure.checkpoint for figure in all_figures()} - {""})
    return ((name, "published figures") for name in names)


def published_samplers(_: click.Context) -> Iterator[Named]:
    """Names of the samplers that have published figures."""
    from bench.reporting.published_figures import all_figures

    parts = {part for figure in all_figures() for part in figure.sampler.split(" + ")} - {""}
    return ((name, "sampler") for name in sorted(parts))


def datasets(context: click.Context) -> Iterator[Named]:
    """Names of data sets and of their splits."""
    from bench.data.splits import split_names

    return ((name, "data set") for name in split_names(registry_of(context)))


def runs(context: click.Context) -> Iterator[Named]:
    """Fingerprints of recorded runs. `_matches` adds their titles where few are left."""
    folder = _results(context) / "records"
    return ((path.stem, "") for path in sorted(folder.glob("*.json")))


def several(*sources: Source) -> Source:
    """The names of several sources; one that fails leaves the others."""

    def names(context: click.Context) -> Iterator[Named]:
        for source in sources:
            yield from _attempt(source, context)

    return names


def words(*known: str) -> Source:
    """Fixed words."""
    return lambda _: ((word, "") for word in known)


def _results(context: click.Context) -> Path:
    """The results folder: that of ``--out``, or else of bench.toml."""
    from bench.plan.settings import results_folder

    return results_folder(context.params.get("out"))


def _attempt(source: Source, context: click.Context) -> list[Named]:
    """The names of a source; none where a file or plugin that it reads is broken, as commands report."""
    try:
        return list(source(context))
    except Exception:
        return []


def _matches(source: Source, context: click.Context, incomplete: str) -> list[CompletionItem[str]]:
    """The safe names that begin with what is typed; where there are none, the shell completes files."""
    names = {
        name: about
        for name, about in _attempt(source, context)
        if is_safe_name(name) and name.startswith(incomplete)
    }
    untitled = [name for name, about in names.items() if not about]
    if source in WITH_RUNS and len(untitled) <= TITLES:
        titles = dict(_attempt(lambda context: _titles(untitled, context), context))
        names |= titles
    items = [CompletionItem(name, help=printable(about, LONGEST_HELP)) for name, about in names.items()]
    return items or ([CompletionItem(incomplete, type="file")] if source in WITH_RUNS else [])


def _titles(fingerprints: Iterable[str], context: click.Context) -> Iterator[Named]:
    from bench.results.store import Store

    store = Store(_results(context), writes=False)
    for fingerprint in fingerprints:
        record = store.read_record(fingerprint)
        if record is not None:
            yield fingerprint, record.label


_IMAGES = several(datasets, runs)
_SIDES = several(planned_suites, runs)
WITH_RUNS = (runs, _IMAGES, _SIDES)
"""Sources of parameters that take paths too."""

BY_NAME: dict[str, Source] = {
    "checkpoint": checkpoints,
    "corrector": plugins("correctors"),
    "data": _IMAGES,
    "executor": plugins("executors"),
    "extractor": plugins("extractors"),
    "grid": plugins("grids"),
    "logger": plugins("loggers"),
    "metric": plugins("metrics"),
    "metrics": plugins("metrics"),
    "predictor": plugins("predictors"),
    "profile": profiles,
    "reference": _IMAGES,
    "sde": plugins("sdes"),
    "solver": plugins("solvers"),
    "task": plugins("tasks"),
}
"""What completes a parameter of any command, by the parameter's name."""

BY_COMMAND: dict[tuple[str, str], Source] = {
    ("run", "suite"): suites,
    ("measure", "suite"): planned_suites,
    ("table", "source"): planned_suites,
    ("table", "name"): plans,
    ("table", "published_of"): published_checkpoints,
    ("publish", "sources"): planned_suites,
    ("report", "sources"): planned_suites,
    ("report", "published_of"): published_checkpoints,
    ("run", "published_of"): published_checkpoints,
    ("published", "checkpoint"): published_checkpoints,
    ("published", "sampler"): published_samplers,
    ("compare", "a"): _SIDES,
    ("compare", "b"): _SIDES,
    ("fid", "path"): _IMAGES,
    ("export", "runs"): runs,
    ("stats build", "source"): _IMAGES,
    ("checkpoints show", "name"): checkpoints,
    ("checkpoints pull", "names"): checkpoints,
    ("checkpoints import", "name"): checkpoints,
    ("checkpoints verify", "names"): checkpoints,
    ("checkpoints path", "name"): checkpoints,
    ("list", "kind"): words(*LISTED),
    ("show", "words"): several(plugins(*KINDS), suites, profiles, runs),
    ("new", "role"): words(*scaffold.ROLES),
    ("check", "role"): words(*(kind[:-1] for kind in KINDS)),
    ("check", "name"): several(
        plugins(
            "tasks",
            "sdes",
            "grids",
            "predictors",
            "correctors",
            "solvers",
            "metrics",
            "executors",
            "loggers",
            "datasets",
        ),
        checkpoints,
    ),
    ("check", "data"): datasets,
}
"""What completes a parameter of one command, by the command and the parameter's name."""


def complete_names(command: click.Command, path: str = "") -> None:
    """Let the parameters of a command and of its subcommands complete the names that they take."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            complete_names(child, f"{path} {name}".strip())
    for parameter in command.params:
        source = BY_COMMAND.get((path, f"{parameter.name}")) or BY_NAME.get(f"{parameter.name}")
        if source is not None:
            parameter.shell_complete = functools.partial(_matches, source)  # type: ignore[method-assign]
