"""Structures of wells: what they are called in a store, and which are the solvent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from rdkit import Chem, rdBase

from ..molecules._parse import InvalidMolecule, Standardize, connectivity_key, parse_molecule

_DMSO = ("CS(C)=O", "C[S+](C)[O-]")
_LONGEST_DMSO = 80  # letters of a SMILES; longer texts are another substance
_INCHI_OF_DMSO = "InChI=1S/C2H6OS/"


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
    if not _may_be_dmso(text):
        return False
    with rdBase.BlockLogs():
        try:
            return Chem.MolToSmiles(parse_molecule(text, None)) in _DMSO
        except InvalidMolecule:
            return False


def _may_be_dmso(text: str) -> bool:
    """Tell most other substances without parsing, which takes a third of a millisecond for an InChI."""
    if text.startswith("InChI="):
        return text.startswith(_INCHI_OF_DMSO)
    return len(text) <= _LONGEST_DMSO and "S" in text


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
