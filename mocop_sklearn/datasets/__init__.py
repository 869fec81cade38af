"""Simulated data sets, whose best possible result is known."""

from ._simulated import make_paired_profiles, planted_retrieval

__all__ = ["make_paired_profiles", "planted_retrieval"]
