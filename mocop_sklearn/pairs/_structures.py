"""Structures of wells: what they are called in a store, and which are the solvent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from rdkit import Chem, rdBase
from rdkit.Chem import rdMolDescriptors, rdMolHash

from ..molecules._parse import InvalidMolecule, Standardize, described, identity, parse_molecule

_DMSO = ("CS(C)=O", "C[S+](C)[O-]")
_LONGEST_DMSO = 80  # letters of a SMILES; longer texts are another substance
_NO_ELEMENT = re.compile(r"H\d*|[^A-Za-z]")
_INCHI_OF_DMSO = "InChI=1S/C2H6OS/"


@cache
def identify(text: str, standardize: Standardize) -> tuple[str, str] | None:
    """Canonical SMILES and connectivity key of a molecule; None where the text is not a molecule."""
    with rdBase.BlockLogs():
        try:
            return described(identity, parse_molecule(text, standardize))
        except InvalidMolecule:
            return None


@cache
def is_dmso(text: str) -> bool:
    """Whether a stated structure is dimethyl sulfoxide alone; a solvate that holds it is another substance."""
    if not _may_be_dmso(text):
        return False
    with rdBase.BlockLogs():
        try:
            return described(Chem.MolToSmiles, parse_molecule(text, None)) in _DMSO
        except InvalidMolecule:
            return False


def _may_be_dmso(text: str) -> bool:
    """Tell most other substances without parsing, which takes a third of a millisecond for an InChI."""
    if text.startswith("InChI="):
        return text.startswith(_INCHI_OF_DMSO)
    return len(text) <= _LONGEST_DMSO and "S" in text


def same_skeleton(texts: Sequence[str], smiles: Iterable[str], standardize: Standardize) -> dict[str, list[str]]:
    """Molecules that have the atoms and the connections of a text's molecule: its tautomers.

    The key of connectivity takes some tautomers for one molecule, but not ketones and their enols.

    Parameters
    ----------
    texts : sequence of str
        Valid molecules.
    smiles : iterable of str
        Canonical SMILES, among which is looked.
    standardize : {"parent", None} or callable

    Returns
    -------
    dict of str to list of str
        For each text those of ``smiles`` that differ from its molecule in the place of hydrogens and double bonds only.
    """
    own = {text: found[0] for text in texts if (found := identify(text, standardize))}
    letters = {_letters(text) for text in own.values()}
    alike: dict[tuple[str, str], list[str]] = {}
    for text in smiles:
        if _letters(text) in letters:  # to parse all molecules would take a minute for a large corpus
            alike.setdefault(_skeleton(text), []).append(text)
    return {text: alike.get(_skeleton(canonical), []) for text, canonical in own.items()}


def _letters(smiles: str) -> str:
    """Letters of the elements but hydrogen, in order."""
    return "".join(sorted(_NO_ELEMENT.sub("", smiles).upper()))


def _skeleton(smiles: str) -> tuple[str, str]:
    """Connections and formula."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return smiles, ""
    return rdMolHash.MolHash(mol, rdMolHash.HashFunction.ElementGraph), rdMolDescriptors.CalcMolFormula(mol)


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
