"""Peak memory of a batch: of this process on the host, and of torch on its GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Measures the peak since it was made; whatever the process used before does not count.

    Args:
        device: The device that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._counts_host = _reset_host()
        if device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(device)

    def host(self) -> int | None:
        """Greatest resident memory of this process, in bytes: its code, libraries and weights too.

        None where the system does not tell, as outside of Linux.
        """
        return _host_peak() if self._counts_host else None

    def gpu(self) -> int | None:
        """Greatest memory of torch's tensors on the GPU, in bytes; None for a CPU."""
        if self.device.type != "cuda":
            return None
        import torch

        return torch.cuda.max_memory_allocated(self.device)


def _reset_host() -> bool:
    """Set the peak of the resident memory to its present value; whether that worked.

    ``ru_maxrss`` is the peak of the whole life of a process: of all runs before, too.
    """
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def _host_peak() -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return 1024 * int(sizes[0]) if sizes else None
