"""Samplers that `bench check` is measured by: wrong ones that it must catch, right ones that it must pass."""
