"""``bench``: measures samplers of score-based generative models. This is the whole public API.

Names load on first use, so that ``import bench`` and ``bench --help`` do not import torch. A plugin imports
from ``bench`` alone; every other module is private, whatever its name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api.measuring import measure as measure
    from bench.api.measuring import remeasure as remeasure
    from bench.api.reporting import compare as compare
    from bench.api.reporting import export as export
    from bench.api.reporting import merge as merge
    from bench.api.reporting import publish as publish
    from bench.api.reporting import report as report
    from bench.api.reporting import table as table
    from bench.api.running import check as check
    from bench.api.running import fit as fit
    from bench.api.running import run as run
    from bench.cache import cache_folder as cache_folder
    from bench.cache import cached_sha256 as cached_sha256
    from bench.cache import is_web_page as is_web_page
    from bench.checkpoints.cards import Card as Card
    from bench.checkpoints.cards import WeightsCard as WeightsCard
    from bench.checkpoints.classes import class_count as class_count
    from bench.checkpoints.classes import classifier_sha256 as classifier_sha256
    from bench.checkpoints.exact import dct_data as dct_data
    from bench.checkpoints.exact import exact_data as exact_data
    from bench.checkpoints.exact import exact_fd_dct as exact_fd_dct
    from bench.checkpoints.exact import limit_fd_dct as limit_fd_dct
    from bench.checkpoints.label import Index as Index
    from bench.checkpoints.label import IndexDown as IndexDown
    from bench.checkpoints.label import IndexLabel as IndexLabel
    from bench.checkpoints.label import Label as Label
    from bench.checkpoints.label import TimeIndex as TimeIndex
    from bench.checkpoints.memory import MemoryCheckpoint as MemoryCheckpoint
    from bench.checkpoints.memory import network as network
    from bench.checkpoints.networks.edm2 import EDM2Config as EDM2Config
    from bench.checkpoints.networks.edm2 import EDM2UNet as EDM2UNet
    from bench.checkpoints.networks.edm2 import MPBlock as MPBlock
    from bench.checkpoints.networks.layers import Attention as Attention
    from bench.checkpoints.networks.layers import ConvDown as ConvDown
    from bench.checkpoints.networks.layers import ConvUp as ConvUp
    from bench.checkpoints.networks.layers import FourierFeatures as FourierFeatures
    from bench.checkpoints.networks.layers import ResidualBlock as ResidualBlock
    from bench.checkpoints.networks.mlp import ResidualMLP as ResidualMLP
    from bench.checkpoints.networks.tiny import TinyUNet as TinyUNet
    from bench.checkpoints.networks.unet import UNet as UNet
    from bench.checkpoints.networks.unet import UNetConfig as UNetConfig
    from bench.checkpoints.parametrisation import Parametrisation as Parametrisation
    from bench.checkpoints.readers import Reader as Reader
    from bench.closed_form.dct import from_dct as from_dct
    from bench.closed_form.dct import to_dct as to_dct
    from bench.closed_form.mixture import Mixture as Mixture
    from bench.closed_form.mixture import MixtureModel as MixtureModel
    from bench.data.dataset import Dataset as Dataset
    from bench.data.dataset import Toy as Toy
    from bench.data.folder import ImageFiles as ImageFiles
    from bench.data.images import Images as Images
    from bench.devices import device_kind as device_kind
    from bench.diffusion.condition import Condition as Condition
    from bench.diffusion.fitting import Artifact as Artifact
    from bench.diffusion.fitting import FitFacts as FitFacts
    from bench.diffusion.fitting import Fittable as Fittable
    from bench.diffusion.fitting import FitWork as FitWork
    from bench.diffusion.grid import Grid as Grid
    from bench.diffusion.grid import UniformGrid as UniformGrid
    from bench.diffusion.levels import NoiseLevel as NoiseLevel
    from bench.diffusion.levels import Step as Step
    from bench.diffusion.levels import per_sample as per_sample
    from bench.diffusion.model import Denoiser as Denoiser
    from bench.diffusion.model import Model as Model
    from bench.diffusion.noise import Noise as Noise
    from bench.diffusion.noise import draw_seed as draw_seed
    from bench.diffusion.prediction import Prediction as Prediction
    from bench.diffusion.randomness import draws_noise as draws_noise
    from bench.diffusion.roles import Corrector as Corrector
    from bench.diffusion.roles import Field as Field
    from bench.diffusion.roles import FlowSolver as FlowSolver
    from bench.diffusion.roles import LangevinLike as LangevinLike
    from bench.diffusion.roles import LinearPredictor as LinearPredictor
    from bench.diffusion.roles import Predictor as Predictor
    from bench.diffusion.roles import Solver as Solver
    from bench.diffusion.roles import Update as Update
    from bench.diffusion.sampler import Sampler as Sampler
    from bench.diffusion.sde import SDE as SDE
    from bench.diffusion.sums import batch_sum as batch_sum
    from bench.download import fetch_once as fetch_once
    from bench.engine.batch import FolderWork as FolderWork
    from bench.engine.batch import run_batch as run_batch
    from bench.engine.executor import Batch as Batch
    from bench.engine.executor import BatchFailure as BatchFailure
    from bench.engine.executor import BatchResult as BatchResult
    from bench.engine.executor import Executor as Executor
    from bench.engine.executor import Outcome as Outcome
    from bench.engine.executor import Work as Work
    from bench.engine.fitting import Fit as Fit
    from bench.engine.foreign import ImageMeasurement as ImageMeasurement
    from bench.errors import BenchError as BenchError
    from bench.errors import NoValueError as NoValueError
    from bench.errors import did_you_mean as did_you_mean
    from bench.errors import printable as printable
    from bench.events import Advance as Advance
    from bench.events import Emit as Emit
    from bench.events import Notice as Notice
    from bench.events import StepDone as StepDone
    from bench.events import silent as silent
    from bench.files import registry_path as registry_path
    from bench.files import user_path as user_path
    from bench.metrics.blocks import Blocks as Blocks
    from bench.metrics.blocks import jackknife_groups as jackknife_groups
    from bench.metrics.context import MetricContext as MetricContext
    from bench.metrics.features import Extract as Extract
    from bench.metrics.features import Extractor as Extractor
    from bench.metrics.features import FeatureMetric as FeatureMetric
    from bench.metrics.features import Features as Features
    from bench.metrics.features import FeatureState as FeatureState
    from bench.metrics.features import Rounding as Rounding
    from bench.metrics.frechet import fd_diagonal as fd_diagonal
    from bench.metrics.frechet import frechet_distance as frechet_distance
    from bench.metrics.moments import Moments as Moments
    from bench.metrics.reference import Reference as Reference
    from bench.metrics.reference import Reservoir as Reservoir
    from bench.metrics.reference import build_command as build_command
    from bench.metrics.role import CompanionRun as CompanionRun
    from bench.metrics.role import Metric as Metric
    from bench.metrics.role import MetricResult as MetricResult
    from bench.metrics.role import MetricState as MetricState
    from bench.metrics.role import ValueKind as ValueKind
    from bench.metrics.shares import share_error as share_error
    from bench.metrics.shares import wilson_interval as wilson_interval
    from bench.params import Plugin as Plugin
    from bench.params import param as param
    from bench.plugins.hookspecs import Register as Register
    from bench.plugins.hookspecs import hookimpl as hookimpl
    from bench.reporting.compare.comparison import Comparison as Comparison
    from bench.reporting.published_figures import PublishedFigure as PublishedFigure
    from bench.reporting.published_figures import published as published
    from bench.reporting.results_view import Results as Results
    from bench.reporting.table import Table as Table
    from bench.results.export import Export as Export
    from bench.results.loggers import Logger as Logger
    from bench.results.loggers import RecordedRun as RecordedRun
    from bench.results.record import MetricRecord as MetricRecord
    from bench.results.record import Record as Record
    from bench.results.run_spec import RunSpec as RunSpec
    from bench.tasks.role import BatchContext as BatchContext
    from bench.tasks.role import Task as Task
    from bench.testing.kit import assert_conforms as assert_conforms
    from bench.testing.report import Finding as Finding
    from bench.testing.report import Point as Point
    from bench.testing.report import Report as Report
    from bench.types import Array as Array
    from bench.types import Tensor as Tensor

__version__ = "0.1.0"

_EXPORTS = {
    "bench.api.measuring": ("measure", "remeasure"),
    "bench.api.reporting": ("compare", "export", "merge", "publish", "report", "table"),
    "bench.api.running": ("check", "fit", "run"),
    "bench.cache": ("cache_folder", "cached_sha256", "is_web_page"),
    "bench.checkpoints.cards": ("Card", "WeightsCard"),
    "bench.checkpoints.classes": ("class_count", "classifier_sha256"),
    "bench.checkpoints.exact": ("dct_data", "exact_data", "exact_fd_dct", "limit_fd_dct"),
    "bench.checkpoints.label": ("Index", "IndexDown", "IndexLabel", "Label", "TimeIndex"),
    "bench.checkpoints.memory": ("MemoryCheckpoint", "network"),
    "bench.checkpoints.networks.edm2": ("EDM2Config", "EDM2UNet", "MPBlock"),
    "bench.checkpoints.networks.layers": (
        "Attention",
        "ConvDown",
        "ConvUp",
        "FourierFeatures",
        "ResidualBlock",
    ),
    "bench.checkpoints.networks.mlp": ("ResidualMLP",),
    "bench.checkpoints.networks.tiny": ("TinyUNet",),
    "bench.checkpoints.networks.unet": ("UNet", "UNetConfig"),
    "bench.checkpoints.parametrisation": ("Parametrisation",),
    "bench.checkpoints.readers": ("Reader",),
    "bench.closed_form.dct": ("from_dct", "to_dct"),
    "bench.closed_form.mixture": ("Mixture", "MixtureModel"),
    "bench.data.dataset": ("Dataset", "Toy"),
    "bench.data.folder": ("ImageFiles",),
    "bench.data.images": ("Images",),
    "bench.devices": ("device_kind",),
    "bench.diffusion.condition": ("Condition",),
    "bench.diffusion.fitting": ("Artifact", "FitFacts", "FitWork", "Fittable"),
    "bench.diffusion.grid": ("Grid", "UniformGrid"),
    "bench.diffusion.levels": ("NoiseLevel", "Step", "per_sample"),
    "bench.diffusion.model": ("Denoiser", "Model"),
    "bench.diffusion.noise": ("Noise", "draw_seed"),
    "bench.diffusion.prediction": ("Prediction",),
    "bench.diffusion.randomness": ("draws_noise",),
    "bench.diffusion.roles": (
        "Corrector",
        "Field",
        "FlowSolver",
        "LangevinLike",
        "LinearPredictor",
        "Predictor",
        "Solver",
        "Update",
    ),
    "bench.diffusion.sampler": ("Sampler",),
    "bench.diffusion.sde": ("SDE",),
    "bench.diffusion.sums": ("batch_sum",),
    "bench.download": ("fetch_once",),
    "bench.engine.batch": ("FolderWork", "run_batch"),
    "bench.engine.executor": ("Batch", "BatchFailure", "BatchResult", "Executor", "Outcome", "Work"),
    "bench.engine.fitting": ("Fit",),
    "bench.engine.foreign": ("ImageMeasurement",),
    "bench.errors": ("BenchError", "NoValueError", "did_you_mean", "printable"),
    "bench.events": ("Advance", "Emit", "Notice", "StepDone", "silent"),
    "bench.files": ("registry_path", "user_path"),
    "bench.metrics.blocks": ("Blocks", "jackknife_groups"),
    "bench.metrics.context": ("MetricContext",),
    "bench.metrics.features": (
        "Extract",
        "Extractor",
        "FeatureMetric",
        "FeatureState",
        "Features",
        "Rounding",
    ),
    "bench.metrics.frechet": ("fd_diagonal", "frechet_distance"),
    "bench.metrics.moments": ("Moments",),
    "bench.metrics.reference": ("Reference", "Reservoir", "build_command"),
    "bench.metrics.role": ("CompanionRun", "Metric", "MetricResult", "MetricState", "ValueKind"),
    "bench.metrics.shares": ("share_error", "wilson_interval"),
    "bench.params": ("Plugin", "param"),
    "bench.plugins.hookspecs": ("Register", "hookimpl"),
    "bench.reporting.compare.comparison": ("Comparison",),
    "bench.reporting.published_figures": ("PublishedFigure", "published"),
    "bench.reporting.results_view": ("Results",),
    "bench.reporting.table": ("Table",),
    "bench.results.export": ("Export",),
    "bench.results.loggers": ("Logger", "RecordedRun"),
    "bench.results.record": ("MetricRecord", "Record"),
    "bench.results.run_spec": ("RunSpec",),
    "bench.tasks.role": ("BatchContext", "Task"),
    "bench.testing.kit": ("assert_conforms",),
    "bench.testing.report": ("Finding", "Point", "Report"),
    "bench.types": ("Array", "Tensor"),
}
"""Public names by the module that defines them."""

_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "SDE",
    "Advance",
    "Array",
    "Artifact",
    "Attention",
    "Batch",
    "BatchContext",
    "BatchFailure",
    "BatchResult",
    "BenchError",
    "Blocks",
    "Card",
    "CompanionRun",
    "Comparison",
    "Condition",
    "ConvDown",
    "ConvUp",
    "Corrector",
    "Dataset",
    "Denoiser",
    "EDM2Config",
    "EDM2UNet",
    "Emit",
    "Executor",
    "Export",
    "Extract",
    "Extractor",
    "FeatureMetric",
    "FeatureState",
    "Features",
    "Field",
    "Finding",
    "Fit",
    "FitFacts",
    "FitWork",
    "Fittable",
    "FlowSolver",
    "FolderWork",
    "FourierFeatures",
    "Grid",
    "ImageFiles",
    "ImageMeasurement",
    "Images",
    "Index",
    "IndexDown",
    "IndexLabel",
    "Label",
    "LangevinLike",
    "LinearPredictor",
    "Logger",
    "MPBlock",
    "MemoryCheckpoint",
    "Metric",
    "MetricContext",
    "MetricRecord",
    "MetricResult",
    "MetricState",
    "Mixture",
    "MixtureModel",
    "Model",
    "Moments",
    "NoValueError",
    "Noise",
    "NoiseLevel",
    "Notice",
    "Outcome",
    "Parametrisation",
    "Plugin",
    "Point",
    "Prediction",
    "Predictor",
    "PublishedFigure",
    "Reader",
    "Record",
    "RecordedRun",
    "Reference",
    "Register",
    "Report",
    "Reservoir",
    "ResidualBlock",
    "ResidualMLP",
    "Results",
    "Rounding",
    "RunSpec",
    "Sampler",
    "Solver",
    "Step",
    "StepDone",
    "Table",
    "Task",
    "Tensor",
    "TimeIndex",
    "TinyUNet",
    "Toy",
    "UNet",
    "UNetConfig",
    "UniformGrid",
    "Update",
    "ValueKind",
    "WeightsCard",
    "Work",
    "assert_conforms",
    "batch_sum",
    "build_command",
    "cache_folder",
    "cached_sha256",
    "check",
    "class_count",
    "classifier_sha256",
    "compare",
    "dct_data",
    "device_kind",
    "did_you_mean",
    "draw_seed",
    "draws_noise",
    "exact_data",
    "exact_fd_dct",
    "export",
    "fd_diagonal",
    "fetch_once",
    "fit",
    "frechet_distance",
    "from_dct",
    "hookimpl",
    "is_web_page",
    "jackknife_groups",
    "limit_fd_dct",
    "measure",
    "merge",
    "network",
    "param",
    "per_sample",
    "printable",
    "publish",
    "published",
    "registry_path",
    "remeasure",
    "report",
    "run",
    "run_batch",
    "share_error",
    "silent",
    "table",
    "to_dct",
    "user_path",
    "wilson_interval",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
