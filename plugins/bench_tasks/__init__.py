"""Tasks, and the metrics of what they return."""

from bench import Register, hookimpl


@hookimpl
def register_tasks(register: Register) -> None:
    from bench_tasks.class_conditional import ClassConditional
    from bench_tasks.colorize import Colorize
    from bench_tasks.encode import Encode
    from bench_tasks.generate import Generate
    from bench_tasks.guided import Guided
    from bench_tasks.identifiability import Identifiability
    from bench_tasks.inpaint import Inpaint
    from bench_tasks.interpolate import Interpolate
    from bench_tasks.likelihood import Likelihood

    for task in (Generate, Likelihood, Encode, Identifiability, Interpolate, Inpaint, Colorize):
        register(task)
    for guided in (ClassConditional, Guided):
        register(guided)


@hookimpl
def register_metrics(register: Register) -> None:
    from bench_tasks.class_metrics import ClassShare, ComponentShare, FdClass, FdComponent
    from bench_tasks.conditional import ConditionalFd, KnownError
    from bench_tasks.latents import LatentCorrelation, LatentDifference, LatentFD
    from bench_tasks.means import BitsPerDim, RoundTrip

    for flow_metric in (BitsPerDim, RoundTrip, LatentFD, LatentCorrelation, LatentDifference):
        register(flow_metric)
    for metric in (ConditionalFd, KnownError, ClassShare, ComponentShare, FdClass, FdComponent):
        register(metric)
