"""The right plants, each with the SDE that it is checked on."""

from __future__ import annotations

import dataclasses

from bench import Plugin
from tests.testing.plants import right_correctors as correctors
from tests.testing.plants import right_noise as noise
from tests.testing.plants import right_solvers as solvers
from tests.testing.plants import right_steps as steps


@dataclasses.dataclass(frozen=True)
class Right:
    """A right plant.

    Args:
        plant: Its class.
        kind: What is unusual about it.
        law: The SDE that it is checked on.
    """

    plant: type[Plugin]
    kind: str
    law: str = "vp"


RIGHT = (
    Right(steps.Ddim, "first order, exponential"),
    Right(steps.PixelClipped, "clipped as the model has pixels"),
    Right(steps.RangeClipped, "clipped to the SDE's data range"),
    Right(steps.DynamicThreshold, "dynamic thresholding"),
    Right(steps.Thousandths, "step counts that divide 1000 alone"),
    Right(steps.Pairs, "even step counts from 6 on"),
    Right(steps.FurtherMoves, "further moves in a step"),
    Right(steps.Microbatches, "the batch in parts"),
    Right(steps.FlowEuler, "flow matching", "flow"),
    Right(steps.RungeKutta, "four calls a step"),
    Right(steps.Singlestep, "three calls a step"),
    Right(steps.TwoStep, "two-step, first step of another method"),
    Right(steps.DataTwoStep, "two-step in ln(alpha / sigma)"),
    Right(steps.ThreeStep, "three-step, of order 3 on uneven grids"),
    Right(steps.FixedPoint, "implicit"),
    Right(steps.Rosenbrock, "derivative by a difference"),
    Right(steps.Splitting, "splitting"),
    Right(steps.Richardson, "extrapolated"),
    Right(noise.EulerMaruyama, "reverse SDE"),
    Right(noise.Rademacher, "Rademacher noise, declared not linear"),
    Right(noise.Uniform, "uniform noise of variance 1"),
    Right(noise.HalfDraws, "two draws a step"),
    Right(noise.ChannelScale, "a noise scale per channel"),
    Right(noise.Tempered, "a parameter that changes the law, as declared"),
    Right(noise.ShareOfNoise, "a parameter that sets the noise"),
    Right(noise.ClippedAncestral, "ancestral, clipped"),
    Right(noise.ExponentialSde, "exponential, with noise"),
    Right(noise.StochasticHeun, "two calls a step and one draw"),
    Right(noise.Churn, "noise that falls with the number of steps"),
    Right(solvers.HeunOnItsGrid, "a grid of its own"),
    Right(solvers.HeunToZero, "ends at zero, not at eps"),
    Right(solvers.Thousand, "step counts that divide 1000 alone"),
    Right(solvers.Substeps, "two knobs, and never one step"),
    Right(solvers.Points, "a knob of another name"),
    Right(solvers.BothWays, "integrates in both directions"),
    Right(solvers.Adaptive, "adaptive by a PI controller"),
    Right(solvers.BoundedAdaptive, "a tolerance and a longest step"),
    Right(solvers.Restart, "restarting"),
    Right(solvers.Exploding, "an SDE without a published chain"),
    Right(correctors.Langevin, "one move"),
    Right(correctors.TwoMoves, "two moves"),
    Right(correctors.AnnealedMoves, "several moves, a parameter"),
    Right(correctors.OwnNorms, "a step that depends on the sample"),
    Right(correctors.Preconditioned, "a step for each channel"),
)
