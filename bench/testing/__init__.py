"""The conformance kit, and the packages that ``bench new`` writes.

`bench.testing.kit` has the entry points; a module imports torch when a check needs it.
"""
