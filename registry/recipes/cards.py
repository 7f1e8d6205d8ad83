"""Write the file and the card of a checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

CARDS = Path(__file__).resolve().parent.parent / "cards"


def write_card(folder: Path, tensors: dict[str, Tensor], card: dict[str, Any], file: str = "") -> None:
    """Write ``FILE.safetensors`` (by default NAME) and ``NAME.toml``; size and hash are filled in."""
    folder.mkdir(parents=True, exist_ok=True)
    blob = save({name: t.contiguous() for name, t in tensors.items()})
    name = card["name"]
    path = folder / f"{file or name}.safetensors"
    path.write_bytes(blob)
    facts = {"name": path.name, "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    plain = {k: v for k, v in card.items() if not isinstance(v, dict)}
    tables = {"[files]": facts} | {k: v for k, v in card.items() if isinstance(v, dict)}
    lines = [f"{k} = {_toml(v)}" for k, v in plain.items()]
    for table, values in tables.items():
        lines += ["", f"[{table}]", *(f"{k} = {_toml(v)}" for k, v in values.items())]
    (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")
    print(f"{path}: {len(blob)} bytes")


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
