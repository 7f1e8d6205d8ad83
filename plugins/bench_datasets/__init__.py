"""Data sets: torchvision's and CelebA; digits that the project carries; toy distributions in the plane."""

from bench import Register, hookimpl


@hookimpl
def register_datasets(register: Register) -> None:
    from bench_datasets.celeba import CelebA
    from bench_datasets.digits import Digits
    from bench_datasets.torchvision_sets import Cifar10, Cifar100, FashionMnist, Kmnist, Mnist, Stl10, Svhn
    from bench_datasets.toys import Checkerboard, EightGaussians, Spiral, SwissRoll, TwoMoons

    for toy in (EightGaussians, TwoMoons, Checkerboard, Spiral, SwissRoll):
        register(toy)
    for dataset in (Digits, CelebA, Cifar10, Cifar100, Svhn, Stl10, Mnist, FashionMnist, Kmnist):
        register(dataset)
