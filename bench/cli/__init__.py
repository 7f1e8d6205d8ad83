"""The command ``bench``. Commands import heavy libraries when they run."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import click

from bench.cli import collector
from bench.cli.check import check_command
from bench.cli.checkpoints import checkpoints_command
from bench.cli.compare import compare_command
from bench.cli.completion import complete_names, completion_command
from bench.cli.console import echo, echo_lines
from bench.cli.context import CommandState
from bench.cli.doctor import doctor_command
from bench.cli.export import export_command
from bench.cli.fid import fid_command
from bench.cli.fit import fit_command
from bench.cli.listing import list_command, show_command
from bench.cli.measure import measure_command
from bench.cli.merge import merge_command
from bench.cli.new import new_command
from bench.cli.publish import publish_command
from bench.cli.published import published_command
from bench.cli.report import report_command
from bench.cli.run import run_command
from bench.cli.stats import stats_command
from bench.cli.stopping import STOPPED, Stop, report_stop, stop_signals
from bench.cli.table import table_command
from bench.errors import BenchError, printable
from bench.plugins.registry import Registry


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sampler-bench", prog_name="bench")
def cli() -> None:
    """Judge samplers of score-based generative models: quality against network calls.

    \b
    bench run --sde vp --predictor reverse_diffusion --corrector langevin
    bench run --suite table1 --checkpoint gaussian-cifar10 --steps-scale 0.1
    bench table table1
    bench report table1 -o report.html
    bench published --checkpoint edm-cifar10-uncond-vp --nfe 5..10
    bench fid samples/ --reference cifar10
    bench fit gits --checkpoint cifar10-tiny --nfe 5 -o gits-5.json
    bench export 2cf71ed5 -o samples/
    bench list predictors
    bench show langevin
    bench checkpoints list
    bench new predictor my-sampler
    bench check my_sampler
    bench completion bash
    bench doctor
    """


LONGEST_MESSAGE = 2000
"""Greatest length of an error's line: names from files may have any length."""

cli.add_command(run_command)
cli.add_command(table_command)
cli.add_command(report_command)
cli.add_command(compare_command)
cli.add_command(published_command)
cli.add_command(publish_command)
cli.add_command(measure_command)
cli.add_command(fid_command)
cli.add_command(fit_command)
cli.add_command(export_command)
cli.add_command(merge_command)
cli.add_command(stats_command)
cli.add_command(checkpoints_command)
cli.add_command(list_command)
cli.add_command(show_command)
cli.add_command(new_command)
cli.add_command(check_command)
cli.add_command(completion_command)
cli.add_command(doctor_command)
complete_names(cli)


def main(arguments: Sequence[str] | None = None, registry: Registry | None = None) -> None:
    """Entry point. Exit status: 0 done, 1 a run or check failed, 2 a mistake in the command, 130 stopped
    by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.

    Args:
        arguments: The command line without the program's name; None for that of this process.
        registry: The plugins to use; None for the installed ones.
    """
    if arguments is not None:
        with stop_signals() as stop:
            sys.exit(_exit_status(list(arguments), registry, stop))
    if hasattr(signal, "SIGPIPE"):
        # `bench list | head` ends silently when its reader closes the pipe
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    collector.rest()
    with stop_signals() as stop:
        status = _exit_status(None, registry, stop)
        collector.leave()
        sys.exit(status)


def _exit_status(words: list[str] | None, registry: Registry | None, stop: Stop) -> int:
    """Run a command line and report its error, if there is one; the exit status."""
    try:
        status = cli.main(args=words, standalone_mode=False, obj=CommandState(registry))
    except click.exceptions.NoArgsIsHelpError as error:
        echo_lines(error.format_message())
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        echo_lines(f"bench: {error.format_message()}{hint}", err=True)
        return 2
    except BenchError as error:
        echo(f"bench: {printable(str(error), LONGEST_MESSAGE)}", err=True)
        return 2
    except (KeyboardInterrupt, click.Abort):
        report_stop("")
        return stop.status
    except OSError as error:
        if stop.signal is not None:  # a terminal that was closed can't be restored
            return stop.status
        echo(f"bench: {error}; what was finished is kept: run the same command again", err=True)
        return 1
    if status == STOPPED:
        return stop.status
    return status if isinstance(status, int) else 0
