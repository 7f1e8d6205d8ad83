"""The wrong plants: what each gets wrong, which check is to say so, and a number that shows the mistake."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from bench.testing.probe import Part
from tests.testing.plants import evidence as by
from tests.testing.plants import right_correctors as fine_moves
from tests.testing.plants import right_noise as fine_noise
from tests.testing.plants import right_solvers as fine_solvers
from tests.testing.plants import right_steps as fine_steps
from tests.testing.plants import wrong_correctors as moves
from tests.testing.plants import wrong_declared as declared
from tests.testing.plants import wrong_hidden as hidden
from tests.testing.plants import wrong_noise as noise
from tests.testing.plants import wrong_promises as promises
from tests.testing.plants import wrong_solvers as solvers
from tests.testing.plants import wrong_steps as steps

Kind = Literal[
    "answer", "order", "calls", "level", "linear", "randomness", "batch", "state", "end", "input", "chain",
    "law",
]  # fmt: skip
"""What is wrong: the answer itself, its order, ..., the moments or the law of noisy samples."""


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A wrong plant.

    Args:
        plant: Its class.
        mistake: The mistake, in a line.
        kinds: Kinds of checks of which one is to fail.
        twin: The right plant that it is, but for the mistake.
        least: What the evidence exceeds.
        evidence: The number that shows the mistake: by default the distance from the twin's samples.
        scene: Where it shows: ``steps``, ``batch``, ``law`` and so on of `stage.samples`.
        values: Parameter values at which it shows; the kit gets none.
        law: The SDE that it is checked on.
    """

    plant: type[Part]
    mistake: str
    kinds: tuple[Kind, ...]
    twin: type[Part]
    least: float
    evidence: Callable[..., float] = by.distance
    scene: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    law: str = "vp"


ANSWER: tuple[Kind, ...] = ("answer", "order")
LAW: tuple[Kind, ...] = ("answer", "order", "law")

OF_STEPS = (
    Wrong(steps.TwiceTheData, "twice the data at the end", ("answer", "end"), fine_steps.Ddim, 0.5),
    Wrong(steps.NoLastStep, "the last step left out", ("answer", "end"), fine_steps.Ddim, 0.002),
    Wrong(steps.OtherSignAtLast, "the score's sign at the end", ("answer", "end"), fine_steps.Ddim, 0.004),
    Wrong(steps.AlphaForgotten, "/ alpha forgotten in the clean data", ANSWER, fine_steps.Ddim, 0.1),
    Wrong(steps.AlphaFromSigma, "VP's alpha on any SDE", ANSWER, fine_steps.Ddim, 0.1, scene={"law": "subvp"},
          law="subvp"),
    Wrong(steps.SigmaSwapped, "sigma and sigma' swapped in one place", ANSWER, fine_steps.Ddim, 0.1),
    Wrong(steps.AlphaOfThisLevel, "alpha of this level for the next", ANSWER, fine_steps.Ddim, 0.05),
    Wrong(steps.DriftByTen, "drift off by 10 %", ANSWER, fine_steps.Ddim, 0.01),
    Wrong(steps.DriftByThree, "drift off by 3 %", ANSWER, fine_steps.Ddim, 0.003),
    Wrong(steps.DriftByOne, "drift off by 1 %", ANSWER, fine_steps.Ddim, 0.001),
    Wrong(steps.TimeByTen, "time off by 10 %", ("level",), fine_steps.Ddim, 0.09, by.wrong_time),
    Wrong(steps.TimeByThree, "time off by 3 %", ("level",), fine_steps.Ddim, 0.029, by.wrong_time),
    Wrong(steps.TimeByOne, "time off by 1 %", ("level",), fine_steps.Ddim, 0.009, by.wrong_time),
    Wrong(steps.TimeOfNext, "time of the next level", ("level",), fine_steps.Ddim, 0.1, by.wrong_time),
    Wrong(steps.RatioInverted, "the step ratio inverted", ANSWER, fine_steps.DataTwoStep, 2,
          by.after_a_tiny_step),
    Wrong(steps.RatioForgotten, "the step ratio forgotten", ANSWER, fine_steps.DataTwoStep, 2,
          by.after_a_tiny_step),
    Wrong(steps.SecondOrderSign, "the second-order term's sign", ANSWER, fine_steps.Ddim, 0.3,
          by.larger_error, {"steps": 80}),
    Wrong(steps.OrderTwoDeclared, "order 2 declared for 1", ("order",), fine_steps.Ddim, 0.8,
          by.error_at_rate),
    Wrong(steps.FirstStepTooLong, "the first step too long", ANSWER, fine_steps.TwoStep, 0.001),
    Wrong(steps.OddStepCounts, "wrong at odd step counts", ("answer", "end"), fine_steps.Ddim, 0.002,
          scene={"steps": 13}),
    Wrong(steps.ManySteps, "wrong beyond 50 steps", ANSWER, fine_steps.Ddim, 0.003, scene={"steps": 60}),
    Wrong(steps.Float32Inside, "float32 inside", ("answer", "order", "linear"), fine_steps.Ddim, 1e-9),
    Wrong(steps.ClipsUndeclared, "clips, declared linear", ("linear",), fine_steps.Ddim, 0.01, by.bend),
    Wrong(steps.OtherRange, "clips to another range", ANSWER, fine_steps.RangeClipped, 0.1),
    Wrong(steps.ClipsStates, "clips states, not clean data", ANSWER, fine_steps.RangeClipped, 0.01),
    Wrong(steps.GaussianMemory, "takes data for Gaussian", ANSWER, fine_steps.Ddim, 0.1),
    Wrong(steps.TimeReversedOnFlow, "time reversed on flow matching", ANSWER, fine_steps.FlowEuler, 0.1,
          scene={"law": "flow"}, law="flow"),
    Wrong(steps.PriorScaledTwice, "the prior scaled twice", ANSWER, fine_steps.Ddim, 0.1,
          scene={"law": "ve"}, law="ve"),
    Wrong(steps.HeunOfOneSlope, "both slopes at one state", ANSWER, fine_steps.Ddim, 0.5, by.error_at_rate),
)  # fmt: skip

OF_NOISE = (
    Wrong(noise.NoiseByTen, "noise off by 10 %", LAW, fine_noise.EulerMaruyama, 0.02),
    Wrong(noise.NoiseByThree, "noise off by 3 %", LAW, fine_noise.EulerMaruyama, 0.006),
    Wrong(noise.NoiseByOne, "noise off by 1 %", LAW, fine_noise.EulerMaruyama, 0.002),
    Wrong(noise.NoiseByMinusThree, "noise off by -3 %, not linear", LAW, fine_noise.Rademacher, 0.006),
    Wrong(noise.VarianceForDeviation, "variance for deviation", LAW, fine_noise.ShareOfNoise, 0.1),
    Wrong(noise.RootForgotten, "dt for sqrt(dt)", LAW, fine_noise.EulerMaruyama, 0.1),
    Wrong(noise.PublishedSpacing, "1 / N for the spacing", LAW, fine_noise.EulerMaruyama, 0.1),
    Wrong(noise.EtaSquared, "eta^2 in the noise", LAW, fine_noise.ShareOfNoise, 0.1, values={"eta": 0.5}),
    Wrong(noise.ChurnUnsquared, "churn for churn^2", LAW, fine_noise.EulerMaruyama, 0.1,
          values={"churn": 0.5}),
    Wrong(noise.RaisedByDifference, "difference of deviations", LAW, fine_noise.Churn, 0.1),
    Wrong(noise.DrawTwice, "one draw for two steps", LAW, fine_noise.EulerMaruyama, 0.1),
    Wrong(noise.OneDrawForAll, "one draw for all samples", (*LAW, "batch"), fine_noise.EulerMaruyama, 0.1,
          by.covariance),
    Wrong(noise.OneDrawForChannels, "one draw for all channels", LAW, fine_noise.EulerMaruyama, 0.1,
          by.covariance),
    Wrong(noise.SmoothNoise, "neighbors' noise correlated", LAW, fine_noise.EulerMaruyama, 0.1,
          by.covariance),
    Wrong(noise.HalfPrecisionNoise, "noise in float16", ("linear",), fine_noise.EulerMaruyama, 1e-5),
    Wrong(noise.SignsUndeclared, "signs, declared linear", ("linear",), fine_noise.EulerMaruyama, 0.1,
          by.bend),
    Wrong(noise.NarrowUniform, "uniform noise of variance 1/3", LAW, fine_noise.Uniform, 0.1),
    Wrong(noise.HalfDrawsUnscaled, "half of the variance", LAW, fine_noise.HalfDraws, 0.1),
    Wrong(noise.NoisyEnd, "ends with noise", ("end",), fine_noise.EulerMaruyama, 0.01, by.noise_in_mean),
    Wrong(noise.Smoothed, "right on affine scores alone", LAW, fine_noise.EulerMaruyama, 0.1, by.drift),
    Wrong(noise.ManyNoisySteps, "noise off by 3 % beyond 50 steps", LAW, fine_noise.EulerMaruyama, 0.006,
          scene={"steps": 60}),
    Wrong(noise.DiffusionFromDrift, "VP's g on any SDE", LAW, fine_noise.EulerMaruyama, 0.1,
          scene={"law": "subvp"}, law="subvp"),
)  # fmt: skip

OF_PROMISES = (
    Wrong(promises.AroundTheCounter, "no call declared", ("calls",), fine_steps.Ddim, 10, by.calls),
    Wrong(promises.HalfAroundTheCounter, "half of the calls uncounted", ("calls",), fine_steps.Ddim, 10,
          by.calls),
    Wrong(promises.PastThePrediction, "calls the model itself", ("calls",), fine_steps.Ddim, 10,
          by.past_the_prediction),
    Wrong(promises.TwoCallsForOne, "two calls, one declared", ("calls",), fine_steps.Ddim, 10, by.calls),
    Wrong(promises.OneMoreCallAtOdd, "one call more at odd numbers", ("calls",), fine_steps.Ddim, 0.5,
          by.calls, {"steps": 13}),
    Wrong(promises.HistoryInTheModule, "history in the module", ("state", "randomness", "batch"),
          fine_steps.TwoStep, 0.01, by.leak),
    Wrong(promises.HistoryInItself, "history on the object", ("state", "randomness", "batch"),
          fine_steps.TwoStep, 0.01, by.leak),
    Wrong(promises.CountsItsSteps, "counts steps on the object", ("state", "randomness", "answer"),
          fine_steps.Ddim, 0.01, by.leak),
    Wrong(promises.GlobalTorchNoise, "torch's global generator", ("randomness",), fine_noise.EulerMaruyama,
          0.1, by.chance),
    Wrong(promises.GlobalPythonSeed, "Python's global generator", ("randomness",), fine_noise.EulerMaruyama,
          0.1, by.chance),
    Wrong(promises.FixedSeed, "a seed of its own", ("randomness", "batch", "law"), fine_noise.EulerMaruyama,
          0.5, by.deaf),
    Wrong(promises.SeedOfState, "a seed from the state", ("randomness", "batch"), fine_noise.EulerMaruyama,
          0.5, by.deaf),
    Wrong(promises.BatchNorm, "the batch's mean taken off", ("batch",), fine_steps.Ddim, 0.01, by.coupling),
    Wrong(promises.BatchThreshold, "threshold of the batch", ("batch",), fine_steps.Ddim, 0.01, by.coupling),
    Wrong(promises.ChunksOfThree, "wrong above three samples", ("batch", "answer"), fine_steps.Ddim, 0.01,
          by.coupling),
    Wrong(promises.LargeBatches, "wrong above 16 samples", ("batch", "answer"), fine_steps.Ddim, 0.01,
          scene={"batch": 20}),
    Wrong(promises.Inlined, "writes over its input", ("input",), fine_steps.Ddim, 0.01, by.overwriting),
    Wrong(promises.HiddenChain, "reads the chain", ("chain", "answer"), fine_noise.EulerMaruyama, 1e-6,
          by.chain_reading, {"steps": 25}),
    Wrong(promises.KnowsTheKit, "right for the kit's models", ANSWER, fine_steps.Ddim, 0.01),
    Wrong(promises.KnowsTheShape, "right for the kit's shape", ANSWER, fine_steps.Ddim, 0.01),
    Wrong(promises.KnowsThePrecision, "wrong in float32", ANSWER, fine_steps.Ddim, 0.01,
          scene={"precision": torch.float32}),
    Wrong(promises.KnowsTheGrid, "wrong on even times", ANSWER, fine_steps.Ddim, 0.01,
          scene={"grid": "uniform"}),
)  # fmt: skip

OF_SOLVERS = (
    Wrong(solvers.EndsEarly, "ends at 1.5 eps", ANSWER, fine_solvers.HeunOnItsGrid, 1e-4),
    Wrong(solvers.StartsLate, "starts at 0.98 T", ANSWER, fine_solvers.HeunOnItsGrid, 5e-4),
    Wrong(solvers.OrderTwoSolver, "order 2 declared for 1", ANSWER, fine_solvers.HeunOnItsGrid, 0.7,
          by.error_at_rate),
    Wrong(solvers.FlowWithNoise, "the flow with noise", ("randomness", "answer"), fine_solvers.HeunOnItsGrid,
          0.1, by.draws),
    Wrong(solvers.ToleranceIgnored, "tolerance ignored", ANSWER, fine_solvers.Adaptive, 1e-4,
          values={"tol": 1e-6}),
    Wrong(solvers.CleanDeclared, "clean data declared at eps", ("answer", "end"), fine_solvers.HeunToZero,
          1e-3),
    Wrong(solvers.CleanUndeclared, "clean data not declared", ("answer", "end"), fine_solvers.HeunToZero,
          1e-3),
    Wrong(solvers.SecondSubstepForgotten, "substeps cover less", ANSWER, fine_solvers.Substeps, 0.01,
          values={"substeps": 2}),
    Wrong(solvers.PointsForSteps, "points for steps in nfe", ("calls",), fine_solvers.Points, 0.5, by.calls),
    Wrong(solvers.RestartByDifference, "difference of deviations", LAW, fine_solvers.Restart, 0.05),
    Wrong(solvers.RestartBelow, "half of the restart's noise", LAW, fine_solvers.Restart, 0.1),
    Wrong(solvers.Float32Inside, "float32 inside", ("answer", "order", "linear"), fine_solvers.HeunOnItsGrid,
          1e-9),
    Wrong(solvers.RefinesNothing, "refined, it stays as it is", ANSWER, fine_solvers.Points, 0.001),
)  # fmt: skip

OF_CORRECTORS = (
    Wrong(moves.MeanMoves, "pulls to zero", LAW, fine_moves.Langevin, 0.01),
    Wrong(moves.HalfTheNoise, "noise of sqrt(e)", LAW, fine_moves.Langevin, 0.01),
    Wrong(moves.TwiceTheStep, "step of 2 e", LAW, fine_moves.Langevin, 0.001),
    Wrong(moves.DownTheScore, "down the score", LAW, fine_moves.Langevin, 0.001),
    Wrong(moves.TwoMovesForOne, "two moves for one", ("calls",), fine_moves.Langevin, 10, by.calls),
    Wrong(moves.NoisyMean, "the mean includes the noise", ("end", "law"), fine_moves.Langevin, 0.001,
          by.noise_in_mean),
    Wrong(moves.SmoothedScore, "right on affine scores alone", LAW, fine_moves.Langevin, 0.1, by.drift),
    Wrong(moves.SizeSquared, "size^2 in the noise", LAW, fine_moves.Langevin, 0.01, values={"size": 2.0}),
    Wrong(moves.SharedChannelNoise, "one draw for all channels", LAW, fine_moves.Langevin, 0.5,
          by.channel_correlation),
    Wrong(moves.AtTheLastLevel, "noise at the last level", LAW, fine_moves.Langevin, 0.2, by.at_last_level),
    Wrong(moves.MoveNoiseByTen, "a move's noise off by 10 %", LAW, fine_moves.Langevin, 0.001),
    Wrong(moves.MoveNoiseByThree, "a move's noise off by 3 %", LAW, fine_moves.Langevin, 0.0003),
    Wrong(moves.MovesForgotten, "noise falls with the moves", LAW, fine_moves.AnnealedMoves, 0.01,
          values={"moves": 4}),
)  # fmt: skip

HIDDEN = (
    Wrong(hidden.DiagonalJacobian, "right on independent numbers", ANSWER, fine_steps.Rosenbrock, 0.5,
          by.error_on_the_mixture),
    Wrong(hidden.GroupsOfFive, "wrong off multiples of five", ANSWER, fine_steps.Ddim, 0.01),
    Wrong(hidden.ThousandSteps, "wrong above 600 steps", ANSWER, fine_steps.Ddim, 0.01, scene={"steps": 601}),
    Wrong(hidden.TruncatedPrior, "the prior's tails cut", ANSWER, fine_steps.Ddim, 0.001,
          scene={"batch": 64}),
    Wrong(hidden.BatchOfOne, "wrong for one sample", ("batch", "answer"), fine_steps.Ddim, 0.01,
          scene={"batch": 1}),
    Wrong(hidden.OtherChannels, "noise off by 3 % in other channels", LAW, fine_noise.EulerMaruyama,
          0.004),
    Wrong(hidden.LagOfTwo, "noise mixed with the neighbor's but one", LAW, fine_noise.EulerMaruyama, 0.1,
          by.covariance),
    Wrong(hidden.ChainAtLast, "reads the chain at the end", ("chain",), fine_noise.EulerMaruyama, 1e-6,
          by.chain_reading, {"steps": 25}),
    Wrong(hidden.Unrefinable, "3 % off, and no step count", ANSWER, fine_solvers.HeunOnItsGrid, 0.02),
    Wrong(hidden.RefinedIsAnother, "right when it is refined", ANSWER, fine_solvers.HeunOnItsGrid, 0.02),
    Wrong(hidden.NoiseWhereItShows, "noise off by 3 % late", LAW, fine_noise.EulerMaruyama, 0.006),
)  # fmt: skip

DECLARED = (
    Wrong(declared.ThirdChoice, "wrong at the third choice", LAW, fine_noise.EulerMaruyama, 0.1,
          values={"place": "both"}),
    Wrong(declared.OptionalValue, "wrong where a value is given", LAW, fine_noise.EulerMaruyama, 0.1,
          values={"scale": 1.0}),
    Wrong(declared.OptionalStep, "a move's noise where its step is given", LAW, fine_moves.Langevin, 0.01,
          values={"length": 0.03, "size": 3.0}),
    Wrong(declared.LinearAtDefault, "linear at its default alone", ("linear",), fine_steps.Ddim, 0.01,
          by.bend, values={"clip": True}),
    Wrong(declared.StartsInNoise, "no limit at alpha = 0", ANSWER, fine_steps.FlowEuler, 1e3, by.not_finite,
          {"law": "flow"}),
    Wrong(declared.OneWay, "wrong from eps to T", ANSWER, fine_solvers.BothWays, 0.1, by.way_up),
    Wrong(declared.RefinedToOne, "off by default alone", ANSWER, fine_steps.Ddim, 0.003),
    Wrong(declared.RefinedToAnother, "refined, it is another method", ANSWER, fine_steps.Ddim, 0.01),
    Wrong(declared.RefinedUnseen, "refined by no parameter", ANSWER, fine_steps.Ddim, 0.01),
    Wrong(declared.OnePartShort, "off with one move of a step", ANSWER, fine_steps.FurtherMoves, 0.01),
    Wrong(declared.KeepsItsState, "drops a corrector's moves", ("state",), fine_steps.Ddim, 0.01,
          by.beside_moves),
    Wrong(declared.VarianceDeclared, "a variance declared, not asked for", LAW, fine_noise.EulerMaruyama, 0.1,
          values={"place": "end"}),
)  # fmt: skip

WRONG = (*OF_STEPS, *OF_NOISE, *OF_PROMISES, *OF_SOLVERS, *OF_CORRECTORS, *HIDDEN, *DECLARED)
