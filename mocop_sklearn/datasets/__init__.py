"""Data sets: measured ones that come with the package, public ones that are downloaded, and simulated ones."""

from ._bundled import load_biogen_adme, load_comas
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
    "load_biogen_adme",
    "load_comas",
    "make_paired_profiles",
]
