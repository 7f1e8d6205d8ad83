"""Faults at random moments, each repeated: ``python -m tests.faults --repeat 20``."""
