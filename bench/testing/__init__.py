"""The conformance kit, and the packages that ``bench new`` writes.

`bench.testing.kit` has the entry points; a module imports torch when a check needs it.
"""

from __future__ import annotations

SDES = ("ve", "vp", "subvp")
"""The SDEs that samplers are checked on by default; grids are on all."""
