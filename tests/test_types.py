"""Types shared by all rooms."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from bench import BenchError
from bench.plan.settings import settings
from bench.types import Array, Precision


def test_they_import_no_torch() -> None:
    code = "import sys, bench.types; assert 'numpy' in sys.modules; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_arrays_are_of_float64() -> None:
    _, dtype = get_args(Array)
    assert get_args(dtype) == (np.float64,)


@pytest.mark.parametrize("precision", get_args(Precision))
def test_settings_take_each_precision(precision: str) -> None:
    assert settings({"precision": precision})[0].precision == precision


def test_settings_take_no_other_precision() -> None:
    with pytest.raises(BenchError, match="precision"):
        settings({"precision": "fp16"})
