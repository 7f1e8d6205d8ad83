from bench import assert_conforms
from dpm_solver_2 import DPMSolver2


def test_it_does_what_its_role_promises() -> None:
    assert_conforms(DPMSolver2)
