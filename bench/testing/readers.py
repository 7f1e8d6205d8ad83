"""Whether a reader gives the network of a file, and refuses damaged and hostile files in one line."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.checkpoints.readers import Reader
from bench.errors import BenchError, one_line
from bench.reporting.text import count
from bench.testing.duties import parameters
from bench.testing.probe import Tensor
from bench.testing.report import Finding, error_text, guard, verdict

LONGEST = 600
"""Greatest number of characters of a refusal."""

BATCH = 3


def check_reader(reader: Reader) -> Iterator[Finding]:
    """All checks, on the reader's own example."""
    yield from guard("parameters", lambda: parameters(reader))
    with tempfile.TemporaryDirectory(prefix="bench-check-") as place:
        try:
            examples = [_Example(reader, Path(place) / str(seed), seed) for seed in (1, 2)]
        except Exception as error:
            yield Finding("example", "fail", error_text(error), "a small file and its card")
            return
        yield from guard("example", lambda: card(reader, examples[0]))
        yield from guard("network", lambda: network(examples[0]))
        yield from guard("weights", lambda: weights(*examples))
        yield from guard("another network's tensors", lambda: other_tensors(examples[0]))
        yield from guard("damaged files", lambda: damage(examples[0]))
        yield from guard("code in files", lambda: code(examples[0]))


class _Example:
    """What `Reader.example` wrote into a folder, which stays as it is: each reading is of a copy."""

    def __init__(self, reader: Reader, folder: Path, seed: int) -> None:
        folder.mkdir()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.card = reader.example(folder)
        self.reader, self.folder = reader, folder
        self.files = sorted(path for path in folder.rglob("*") if path.is_file())

    def read(self, change: Callable[[Path], object] | None = None, seed: int = 0) -> nn.Module:
        """Read a copy that ``change`` has worked on, as an installation and a run do."""
        with tempfile.TemporaryDirectory(prefix="bench-check-") as place, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            folder = Path(place) / "files"
            shutil.copytree(self.folder, folder)
            if change is not None:
                change(folder)
            self.reader.prepare(self.card, folder)
            return self.reader.read(self.card, folder, None).eval().requires_grad_(False)

    def refusal(self, change: Callable[[Path], object]) -> str:
        """What is wrong with the refusal of a changed copy; empty where it is one line."""
        try:
            self.read(change)
        except BenchError as error:
            text = str(error)
            if text != one_line(error) or not 0 < len(text) <= LONGEST:
                return f"refused in {len(text.splitlines())} lines of {len(text)} characters"
            return ""
        except Exception as error:
            return error_text(error)
        return "read without an error"

    def output(self, module: nn.Module, label: Tensor) -> Tensor:
        """The network's answer to fixed items."""
        draws = torch.Generator().manual_seed(3)
        x = torch.randn(BATCH, *self.card.shape, generator=draws)
        classes = (torch.arange(BATCH) % self.card.classes,) if self.card.classes else ()
        y: Tensor = module(x, label, *classes)
        return y


def card(reader: Reader, example: _Example) -> Iterator[Finding]:
    """The example's card is of this format and names files that are there, and it contradicts nothing."""
    subject, wrong = example.card, []
    if subject.format != reader.name:
        wrong.append(f"its format is {subject.format!r}")
    wrong += [
        f"{file.name} is not there" for file in subject.files if not (example.folder / file.name).exists()
    ]
    wrong += [problem] if (problem := subject.contradiction()) else []
    size = sum(path.stat().st_size for path in example.files)
    measured = wrong[0] if wrong else f"{count(len(example.files), 'file')} of {size:,} bytes in all"
    yield verdict("example", not wrong, measured, "a small file and its card", bytes=size)


def network(example: _Example) -> Iterator[Finding]:
    """The network maps items and labels as the card says, in float32; one label stands for all items."""
    module, subject = example.read(), example.card
    shape = (BATCH, *subject.shape)
    if subject.learned_variance:
        shape = (BATCH, 2 * subject.shape[0], *subject.shape[1:])
    wrong = [
        f"a parameter is {tensor.dtype} on {tensor.device}"
        for tensor in module.parameters()
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu"
    ]
    one, each = (example.output(module, torch.full((count,), 0.5)) for count in (1, BATCH))
    for y in (one, each):
        if tuple(y.shape) != shape or y.dtype != torch.float32:
            wrong.append(f"{y.dtype} of shape {tuple(y.shape)}")
        elif not bool(y.isfinite().all()):
            wrong.append("values that are not finite")
    if not wrong and float((one - each).abs().max()) > 1e-4 * float(each.abs().max()):
        wrong.append("label (1,) gives other values than the same label for each item")
    measured = wrong[0] if wrong else f"float32 of shape {shape}"
    yield verdict("network", not wrong, measured, f"float32 {shape} of labels (1,) and ({BATCH},)")


def weights(one: _Example, other: _Example) -> Iterator[Finding]:
    """All weights are the file's: two readings give the same bits whatever the generators' states, and
    another file gives other values."""
    label = torch.full((BATCH,), 0.5)
    first, again, second = (
        example.output(example.read(seed=seed), label) for example, seed in ((one, 1), (one, 2), (other, 1))
    )
    wrong = (
        "" if torch.equal(first, again) else "other values when read again: some weights are not the file's"
    )
    wrong = wrong or ("two files of other weights give the same values" if torch.equal(first, second) else "")
    yield verdict(
        "weights", not wrong, wrong or "the same bits when read again", "those of the file, all of them"
    )


def other_tensors(example: _Example) -> Iterator[Finding]:
    """A file whose tensors are not the network's is refused: one missing, one more, one misshapen."""
    wrong, files = [], 0
    for path in example.files:
        form = _form(path)
        if form is None:
            continue
        name = path.relative_to(example.folder)
        for what, change in _MUTATIONS.items():
            files += 1
            problem = example.refusal(_rewrite(form, name, change))
            wrong += [f"{name} with {what}: {problem}"] if problem else []
    if not files:
        yield Finding(
            "another network's tensors", "info", "no file of safetensors or torch.save in the example"
        )
        return
    measured = wrong[0] if wrong else f"{files} files refused"
    yield verdict("another network's tensors", not wrong, measured, "refused in one line")


State = dict[str, Tensor]


def _missing(state: State) -> None:
    del state[max(state)]


def _surplus(state: State) -> None:
    state["surplus.weight"] = torch.zeros(3)


def _misshapen(state: State) -> None:
    name = max(state)
    state[name] = torch.zeros((*state[name].shape, 2))


_MUTATIONS: dict[str, Callable[[State], None]] = {
    "a tensor missing": _missing,
    "a tensor more": _surplus,
    "a misshapen tensor": _misshapen,
}


@dataclasses.dataclass
class _Form:
    """A file whose tensors can be changed: how its content is read and written."""

    load: Callable[[], Any]
    save: Callable[[Any, Path], object]

    def write(self, path: Path, change: Callable[[State], None]) -> None:
        """Write the file with the largest of its dicts of tensors changed."""
        content = self.load()
        change(max(_states(content), key=lambda state: sum(tensor.numel() for tensor in state.values())))
        self.save(content, path)


def _rewrite(form: _Form, name: Path, change: Callable[[State], None]) -> Callable[[Path], object]:
    return lambda folder: form.write(folder / name, change)


def _form(path: Path) -> _Form | None:
    """How a file is read and written; None where it holds no tensors by name in a known way."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    forms = (
        _Form(lambda: load_file(path), save_file),
        _Form(lambda: torch.load(path, weights_only=True), torch.save),
    )
    for form in forms:
        try:
            if any(_states(form.load())):
                return form
        except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
            continue
    return None


def _states(content: Any) -> Iterator[State]:
    """The dicts of tensors by name in a content of dicts."""
    if not isinstance(content, dict):
        return
    if content and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        yield content
    for inner in content.values():
        yield from _states(inner)


def damage(example: _Example) -> Iterator[Finding]:
    """Every file of the example is refused where it is missing, cut, empty or of another kind."""
    wrong, files = [], 0
    for path in example.files:
        name, whole = path.relative_to(example.folder), path.read_bytes().rstrip(b"\n")
        contents = {
            "empty": b"",
            "cut in half": whole[: len(whole) // 2],
            "without its last byte": whole[:-1],
            "all zeros": bytes(4096),
            "a web page": b"<!DOCTYPE html><html><body>sign in</body></html>",
            "of bytes that mean nothing": bytes(range(256)) * 8,
        }
        problems = {"missing": example.refusal(_remove(name))}
        for what, content in contents.items():
            problems[what] = example.refusal(_replace(name, content))
        files += len(problems)
        wrong += [f"{name} {what}: {problem}" for what, problem in problems.items() if problem]
    yield verdict(
        "damaged files", not wrong, wrong[0] if wrong else f"{files} files refused", "refused in one line"
    )


def _remove(name: Path) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _replace(name: Path, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


class _Folder:
    """An object whose pickle makes an empty folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def code(example: _Example) -> Iterator[Finding]:
    """Pickles that call a function, bare and as torch saves them, are refused, and nothing is called."""
    wrong, files = [], 0
    with tempfile.TemporaryDirectory(prefix="bench-check-") as place:
        for path in example.files:
            name = path.relative_to(example.folder)
            for i, pack in enumerate((_bare, _saved)):
                files += 1
                mark = Path(place) / f"{name.name}.{i}"
                problem = example.refusal(_replace(name, pack(_Folder(mark))))
                problem = "what it holds was run" if mark.exists() else problem
                wrong += [f"{name} as a pickle with a call: {problem}"] if problem else []
    measured = wrong[0] if wrong else f"{files} files refused, nothing run"
    yield verdict("code in files", not wrong, measured, "refused in one line, nothing run")


def _bare(thing: _Folder) -> bytes:
    return pickle.dumps(thing, protocol=2)


def _saved(thing: _Folder) -> bytes:
    stream = io.BytesIO()
    torch.save({"model": thing}, stream)
    return stream.getvalue()
