"""Simulated data sets, whose best possible result is known, and public ones, which are downloaded."""

from ._chembl20 import fetch_chembl20
from ._jump_cp import (
    JUMP_EMPTY,
    JUMP_NEGCON,
    JUMP_POSITIVE_CONTROLS,
    RemotePlate,
    fetch_jump_cp,
    jump_cp_plates,
)
from ._jump_like import jump_like_retrieval, make_jump_like, planted_effects, planted_states
from ._simulated import make_paired_profiles, planted_retrieval

__all__ = [
    "JUMP_EMPTY",
    "JUMP_NEGCON",
    "JUMP_POSITIVE_CONTROLS",
    "RemotePlate",
    "fetch_chembl20",
    "fetch_jump_cp",
    "jump_cp_plates",
    "jump_like_retrieval",
    "make_jump_like",
    "make_paired_profiles",
    "planted_effects",
    "planted_retrieval",
    "planted_states",
]
