"""EDM's network pickles are read as data: layout, names, values, and files of other kinds."""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import BenchError
from bench_readers.pickles import persistent_tensors

NETWORK = {"img_resolution": 32, "label_dim": 0, "model_type": "SongUNet", "sigma_max": float("inf")}
MODEL = {"img_resolution": 32, "channel_mult": [2, 2, 2], "resample_filter": (1, 3, 3, 1), "dropout": 0.13}


@contextmanager
def persistence(source: str = "") -> Iterator[types.ModuleType]:
    """``torch_utils.persistence`` and ``dnnlib.util``, so far as pickling goes; gone afterwards."""

    def _reconstruct_persistent_obj(_: dict[str, Any]) -> Any:
        raise AssertionError("the original runs meta['module_src']")

    module, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")
    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    vars(module).update(_reconstruct_persistent_obj=_reconstruct_persistent_obj, source=source)
    vars(util).update(EasyDict=easy)
    names = {m: types.ModuleType(m) for m in ("torch_utils", "dnnlib")}
    names |= {"torch_utils.persistence": module, "dnnlib.util": util}
    with pytest.MonkeyPatch.context() as patch:
        for name, instance in names.items():
            patch.setitem(sys.modules, name, instance)
        yield util
    assert not names.keys() & sys.modules.keys()


class Persistent:
    """Pickles as EDM's persistent classes do: source and state in a call of one function."""

    def record(self, *args: Any, **kwargs: Any) -> None:
        self._init_args, self._init_kwargs = args, kwargs

    def __reduce__(self) -> tuple[Any, ...]:
        module: Any = sys.modules["torch_utils.persistence"]
        meta = {"type": "class", "version": 6, "module_src": module.source}
        meta |= {"class_name": type(self).__name__, "state": self.__dict__}
        return module._reconstruct_persistent_obj, (meta,)


class Conv2d(Persistent, nn.Module):
    def __init__(self, width: int, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, 2, 3, 3))
        self.bias = nn.Parameter(torch.randn(width)) if down else None
        self.register_buffer("resample_filter", torch.full((1, 1, 2, 2), 0.25) if down else None)
        self.skip_scale = np.sqrt(0.5)
        self.record(width, down=down)


class SongUNet(Persistent, nn.Module):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(4))
        self.register_buffer("passing", torch.randn(4), persistent=False)
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.map_label = None
        self.enc = nn.ModuleDict({"32x32_conv": Conv2d(4), "16x16_down": Conv2d(3, down=True)})
        self.dec = nn.ModuleList([nn.Sequential(Conv2d(2), nn.SiLU(), nn.Linear(3, 2))])
        self.record(**kwargs)


class EDMPrecond(Persistent, nn.Module):
    def __init__(self, model: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__()
        self.model = model or SongUNet(**MODEL)
        self.sigma_data = 0.5
        self.record(**(kwargs or NETWORK))


class VPPrecond(EDMPrecond):
    pass


class EDMLoss(Persistent):
    def __init__(self) -> None:
        self.sigma_data = 0.5
        self.record()


def written(content: Any, source: str = "", protocol: int | None = None) -> bytes:
    """``content`` as EDM's training loop pickles it."""
    with persistence(source):
        return pickle.dumps(content, protocol)


def network(**kwargs: Any) -> EDMPrecond:
    """A small network, its weights no longer trained, as the training loop saves one."""
    torch.manual_seed(0)
    return EDMPrecond(**kwargs).eval().requires_grad_(False)


def refusal(path: Path, data: bytes, key: str = "ema") -> str:
    """What is said of a file that isn't read: one line that begins with its path."""
    path.write_bytes(data)
    with pytest.raises(BenchError) as caught:
        persistent_tensors(path, key)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert line.isprintable()
    assert len(line) < 400
    return line.removeprefix(f"{path}: ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.pkl"


def same(result: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(result) == list(expected)
    for name, tensor in expected.items():
        assert result[name].dtype == tensor.dtype
        assert result[name].is_contiguous()
        assert torch.equal(result[name], tensor), name


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_network_comes_back_and_its_source_is_not_run(path: Path, protocol: int) -> None:
    marker = path.with_name("marker")
    instance = network()
    with persistence(f"open({str(marker)!r}, 'w')") as util:
        options = util.EasyDict(path="cifar10.zip", resolution=32)
        content = {"ema": instance, "loss_fn": EDMLoss(), "augment_pipe": None, "dataset_kwargs": options}
        path.write_bytes(pickle.dumps(content, protocol))
    result, about = persistent_tensors(path)
    same(result, instance.state_dict())
    assert list(result)[:3] == ["model.scale", "model.freqs", "model.enc.32x32_conv.weight"]
    assert about == {
        "class_name": "EDMPrecond",
        "kwargs": NETWORK,
        "model": {"class_name": "SongUNet", "kwargs": MODEL | {"resample_filter": [1, 3, 3, 1]}},
    }
    assert b"marker" in path.read_bytes()
    assert not marker.exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_dtypes_and_strides(path: Path, dtype: torch.dtype) -> None:
    instance = network()
    whole = torch.randn(6, 5).mul(10).to(dtype)
    buffers = {"whole": whole, "part": whole[2:4, 1:], "turned": whole.t(), "none": whole[:0]}
    for name, tensor in buffers.items():
        instance.register_buffer(name, tensor)
    path.write_bytes(written({"ema": instance}))
    same(persistent_tensors(path)[0], instance.state_dict())


def test_shared_tensors(path: Path) -> None:
    instance = network()
    instance.model.get_submodule("enc.32x32_conv").bias = instance.model.scale
    instance.tied = instance.model.scale
    path.write_bytes(written({"ema": instance}))
    result = persistent_tensors(path)[0]
    same(result, instance.state_dict())
    assert result["tied"].data_ptr() != result["model.scale"].data_ptr()


def test_another_key(path: Path) -> None:
    path.write_bytes(written({"ema": None, "net": network()}))
    assert "model.scale" in persistent_tensors(path, "net")[0]


def torch_saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def test_files_of_another_kind(path: Path) -> None:
    bare = {"a.weight": torch.ones(2)}
    assert "zip archive" in refusal(path, torch_saved(bare))
    assert "torch.save" in refusal(path, torch_saved(bare, _use_new_zipfile_serialization=False))
    for content in (bare, {"ema": bare}, {"ema": OrderedDict(bare)}):
        assert "bare tensors" in refusal(path, pickle.dumps(content))
    assert "not a dict" in refusal(path, pickle.dumps([1, 2]))
    assert "no network 'ema' (it has: 'G', 'D')" in refusal(path, pickle.dumps({"G": 1, "D": 2}))
    assert "no network 'ema' (it has: nothing)" in refusal(path, pickle.dumps({}))
    assert "'ema' is not a network" in refusal(path, pickle.dumps({"ema": 3}))
    for data in (b"", b"<html>", b"\x89PNG\r\n\x1a\n", bytes(100)):
        assert "not a" in refusal(path, data)
    path.unlink()
    for place in (path, path.parent):
        with pytest.raises(BenchError, match=r"No such file|directory"):
            persistent_tensors(place)


def test_networks_that_are_not_known(path: Path) -> None:
    assert "of class 'VPPrecond'; known: EDMPrecond, Precond." in refusal(path, written({"ema": VPPrecond()}))
    assert "of class 'Conv2d'; known: SongUNet" in refusal(path, written({"ema": network(model=Conv2d(2))}))
    strange = network()
    strange.__dict__["_modules"]["model"] = nn.Linear(2, 2)
    assert "of class 'torch.nn.modules.linear.Linear'" in refusal(path, written({"ema": strange}))
    del strange.__dict__["_modules"]
    assert "not a module" in refusal(path, written({"ema": strange}))


def test_what_networks_were_made_with(path: Path) -> None:
    for kwargs in ({"x": {"y": 1}}, {"x": 2**70}, {"x": "y" * 999}, {"x": [[1]]}, {"x": [1] * 99}):
        assert "arguments" in refusal(path, written({"ema": network(**kwargs)}))
    positional = network()
    positional.record(32)
    assert "keyword arguments" in refusal(path, written({"ema": positional}))
