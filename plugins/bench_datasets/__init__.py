"""Data sets: toy distributions in two dimensions, and the digits that the project carries."""

from bench import Register, hookimpl


@hookimpl
def register_datasets(register: Register) -> None:
    from bench_datasets.digits import Digits
    from bench_datasets.toys import Checkerboard, EightGaussians, Spiral, SwissRoll, TwoMoons

    for dataset in (EightGaussians, TwoMoons, Checkerboard, Spiral, SwissRoll, Digits):
        register(dataset)
