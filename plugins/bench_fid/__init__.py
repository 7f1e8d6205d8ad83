"""Metrics of samples (on features of Inception through clean-fid, on others that need no download, on items
of any shape, against the exact flow) and extractors."""

from bench import Register, hookimpl


@hookimpl
def register_metrics(register: Register) -> None:
    from bench_fid.dct import FdDct
    from bench_fid.energy import MMD
    from bench_fid.flow_error import FlowError
    from bench_fid.frechet import FD, FID, FdCifar10
    from bench_fid.kid import KID
    from bench_fid.manifolds import Precision, Recall
    from bench_fid.scores import ClassScore, InceptionScore
    from bench_fid.sliced import SlicedWasserstein

    for metric in (FdCifar10, FdDct, FID, FD, KID, InceptionScore, ClassScore, Precision, Recall, FlowError):
        register(metric)
    for item_metric in (SlicedWasserstein, MMD):
        register(item_metric)


@hookimpl
def register_extractors(register: Register) -> None:
    from bench_fid.dinov2 import DINOv2
    from bench_fid.extractors import Cifar10FeaturesExtractor, Pixels
    from bench_fid.inception import Inception

    for extractor in (Cifar10FeaturesExtractor, Pixels, Inception, DINOv2):
        register(extractor)
