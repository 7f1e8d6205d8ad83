"""Fuzzers: mutated files of a small corpus, read by the product's commands.

``python -m tests.fuzz.settings``, ``.images`` and ``.records``, each with ``--minutes 10 --seed 1``.
"""
