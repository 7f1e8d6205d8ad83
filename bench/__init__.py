"""``bench``: samplers of score-based generative models, measured. What a plugin author needs is here.

Nothing imported here loads torch: ``Tensor`` is a name for annotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.checkpoints.cards import Card
from bench.checkpoints.readers import Reader
from bench.errors import BenchError
from bench.execute import Executor, Job
from bench.features import Extractor, FeatureMetric, Features, MeasuredFeatures
from bench.metrics import Measured, Metric, Reading
from bench.params import Plugin, param
from bench.plugins import Register, hookimpl
from bench.sampling import (
    Corrector,
    Field,
    FlowSolver,
    LangevinLike,
    LinearPredictor,
    Noise,
    Predictor,
    Sampler,
    Solver,
    Update,
    velocity,
)
from bench.score import Denoiser, Model, ScoreFunction
from bench.sde import SDE, Array, Level, Scale
from bench.tasks import Condition, Task, Work

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

__version__ = "0.1.0"

__all__ = [
    "SDE",
    "Array",
    "BenchError",
    "Card",
    "Condition",
    "Corrector",
    "Denoiser",
    "Executor",
    "Extractor",
    "FeatureMetric",
    "Features",
    "Field",
    "FlowSolver",
    "Job",
    "LangevinLike",
    "Level",
    "LinearPredictor",
    "Measured",
    "MeasuredFeatures",
    "Metric",
    "Model",
    "Noise",
    "Plugin",
    "Predictor",
    "Reader",
    "Reading",
    "Register",
    "Sampler",
    "Scale",
    "ScoreFunction",
    "Solver",
    "Task",
    "Tensor",
    "Update",
    "Work",
    "hookimpl",
    "param",
    "velocity",
]
