"""Simulated data sets, whose biology is known, and public ones, which are downloaded."""

from ._chembl20 import fetch_chembl20
from ._jump_cp import (
    JUMP_EMPTY,
    JUMP_NEGCON,
    JUMP_POSITIVE_CONTROLS,
    RemotePlate,
    fetch_jump_cp,
    jump_cp_plates,
)
from ._simulated import make_paired_profiles

__all__ = [
    "JUMP_EMPTY",
    "JUMP_NEGCON",
    "JUMP_POSITIVE_CONTROLS",
    "RemotePlate",
    "fetch_chembl20",
    "fetch_jump_cp",
    "jump_cp_plates",
    "make_paired_profiles",
]
