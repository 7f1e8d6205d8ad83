"""Metrics on features (Inception's through clean-fid, and others that need no download) and extractors."""

from bench import Register, hookimpl


@hookimpl
def register_metrics(register: Register) -> None:
    from bench_fid.dct import FdDct
    from bench_fid.frechet import FD, FID, FdCifar10
    from bench_fid.kid import KID
    from bench_fid.manifolds import Precision, Recall
    from bench_fid.scores import ClassScore, InceptionScore

    for metric in (FdCifar10, FdDct, FID, FD, KID, InceptionScore, ClassScore, Precision, Recall):
        register(metric)


@hookimpl
def register_extractors(register: Register) -> None:
    from bench_fid.dinov2 import DINOv2
    from bench_fid.extractors import Cifar10FeaturesExtractor, Pixels
    from bench_fid.inception import Inception

    for extractor in (Cifar10FeaturesExtractor, Pixels, Inception, DINOv2):
        register(extractor)
