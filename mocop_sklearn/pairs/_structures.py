"""Structures of wells: what they are called in a store, and which are the solvent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from rdkit import Chem, rdBase

from ..molecules._parse import InvalidMolecule, Standardize, connectivity_key, parse_molecule

_DMSO = ("CS(C)=O", "C[S+](C)[O-]")
_LONGEST_DMSO = 80  # letters: longer texts need no parsing to be another substance


@cache
def identify(text: str, standardize: Standardize) -> tuple[str, str] | None:
    """Canonical SMILES and connectivity key of a molecule; None where the text is not a molecule."""
    with rdBase.BlockLogs():
        try:
            mol = parse_molecule(text, standardize)
        except InvalidMolecule:
            return None
        return Chem.MolToSmiles(mol), connectivity_key(mol)


@cache
def is_dmso(text: str) -> bool:
    """Whether a stated structure is dimethyl sulfoxide alone; a solvate that holds it is another substance."""
    if not text or len(text) > _LONGEST_DMSO:
        return False
    with rdBase.BlockLogs():
        try:
            return Chem.MolToSmiles(parse_molecule(text, None)) in _DMSO
        except InvalidMolecule:
            return False


def keys_to_hold_out(molecules: str | Sequence[str], standardize: Standardize) -> dict[str, str]:
    """Texts of molecules, and the connectivity key of each.

    Raises
    ------
    ValueError
        When a text is not a molecule.
    """
    molecules = [molecules] if isinstance(molecules, str) else molecules
    found = {text: identify(text, standardize) for text in molecules}
    bad = [text for text, item in found.items() if item is None]
    if bad:
        raise ValueError(
            f"{len(bad)} of the {len(found)} texts in hold_out are not valid molecules, such as {bad[0]!r}: mend or "
            "remove them."
        )
    return {text: item[1] for text, item in found.items() if item is not None}
