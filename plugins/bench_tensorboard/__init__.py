"""The logger ``tensorboard``: records as TensorBoard's event files."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import BenchError, Logger, Record, RecordedRun, Register, hookimpl, param, user_path


class TensorBoard(Logger):
    """Event files for TensorBoard: a folder per run, with metrics at x = NFE, settings and a preview.

    TensorBoard's HParams tab then compares runs by setting and metric; its Scalars tab draws a metric against
    network calls. ``tensorboard --logdir RESULTS/tensorboard`` shows them.
    """

    name = "tensorboard"

    folder: str = param(
        default="", help="folder of the event files; empty: tensorboard in the results folder"
    )

    def check(self) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise BenchError(
                "the logger tensorboard needs the library tensorboard: "
                "pip install 'sampler-bench[tensorboard]', or leave out --logger tensorboard"
            )

    def log(self, run: RecordedRun) -> None:
        self.check()
        with tempfile.TemporaryDirectory() as aside:
            _write(run, Path(aside))
            _replace_folder(self.folder_of(run), sorted(Path(aside).iterdir()))

    def folder_of(self, run: RecordedRun) -> Path:
        """The folder of a run's event files: CHECKPOINT/SAMPLER-seedN-FINGERPRINT.

        Args:
            run: The run.
        """
        record = run.record
        own = user_path(self.folder) if self.folder else run.folder / "tensorboard"
        name = f"{sampler_of(record)}-seed{record.seed}-{record.fingerprint[:8]}"
        return own / record.identity.checkpoint.name / name


def sampler_of(record: Record) -> str:
    """The sampler's plugins, such as ``reverse_diffusion+langevin``.

    Args:
        record: The record.
    """
    plugins = record.identity.plugins()
    names = [plugins[role].name for role in ("predictor", "corrector", "solver") if role in plugins]
    return "+".join(name for name in names if name != "none")


def settings_of(record: Record) -> dict[str, bool | int | float | str]:
    """The settings of a run by name, as columns of the HParams tab; parameters are ``ROLE.NAME``.

    Args:
        record: The record.
    """
    identity = record.identity
    settings: dict[str, object] = {
        "status": record.status,
        "checkpoint": identity.checkpoint.name,
        "samples": record.samples,
        **{name: getattr(identity, name) for name in ("steps", "order", "denoise", "seed", "afs")},
    }
    for role, plugin in identity.plugins().items():
        settings[role] = plugin.name
        settings |= {f"{role}.{name}": value for name, value in plugin.parameters.items()}
    plain: dict[str, bool | int | float | str] = {}
    for name, value in settings.items():
        if value is not None:
            plain[name] = value if isinstance(value, bool | int | float | str) else f"{value}"
    return plain


def scalars_of(record: Record) -> dict[str, float]:
    """The numbers of a run by tag: ``metrics/LABEL``, ``exact/LABEL`` by theory, and ``cost/NAME``.

    Args:
        record: The record.
    """
    scalars = {f"metrics/{label}": metric.value for label, metric in record.metrics.items()}
    scalars |= {f"exact/{label}": value for label, value in record.exact.items()}
    if record.cost is not None:
        names = ("nfe", "seconds", "samples_per_second", "network_share")
        scalars |= {f"cost/{name}": getattr(record.cost, name) for name in names}
    return scalars


def _write(run: RecordedRun, folder: Path) -> None:
    import numpy as np
    from PIL import Image
    from torch.utils.tensorboard import SummaryWriter

    record = run.record
    nfe = 0 if record.cost is None else round(record.cost.nfe)
    with SummaryWriter(str(folder)) as writer:
        # a run name of "." keeps settings and scalars in the run's own folder
        writer.add_hparams(settings_of(record), scalars_of(record), run_name=".", global_step=nfe)
        lines = [
            f"**{record.label}**",
            f"fingerprint `{record.fingerprint}`, {record.created}",
            record.reason,
        ]
        writer.add_text("run", "\n\n".join(filter(None, lines)), nfe)
        if run.preview is not None:
            with Image.open(run.preview) as picture:
                writer.add_image("samples", np.asarray(picture.convert("RGB")), nfe, dataformats="HWC")


def _replace_folder(target: Path, files: Sequence[Path]) -> None:
    """Put the files in place of those of a folder.

    TensorBoard reads every file below its folder, hidden ones too, whose name has "tfevents": a copy has
    another name until it is whole, and what a stopped command leaves is no run.
    """
    target.mkdir(parents=True, exist_ok=True)
    earlier = list(target.iterdir())
    parts = [target / f"{number}.part" for number in range(len(files))]
    for file, part in zip(files, parts, strict=True):
        shutil.copyfile(file, part)
    for path in earlier:
        if path not in parts:
            path.unlink()
    for file, part in zip(files, parts, strict=True):
        part.rename(target / file.name)


@hookimpl
def register_loggers(register: Register) -> None:
    register(TensorBoard)
