"""Texts that name a molecule: SMILES, CXSMILES and InChI, with a name behind or not."""

from __future__ import annotations

import re

# The SMILES, an extension between bars, the name.
_PARTS = re.compile(
    r"(?P<smiles>[^ \t\r\n]*)(?:[ \t\r\n]+(?P<extension>\|[^|]*\|))?(?:[ \t\r\n]+(?P<name>.*))?", re.DOTALL
)


def split_name(text: str) -> tuple[str, str]:
    """Split a text as it stands in a .smi file into a molecule and its name.

    Parameters
    ----------
    text : str
        A SMILES, perhaps with an extension between bars (CXSMILES), perhaps followed by a name; or an InChI.

    Returns
    -------
    molecule : str
        The SMILES, with a space and its extension where it has one; or the InChI.
    name : str
        The rest, "" without a name.

    Examples
    --------
    >>> from mocop_sklearn.molecules._text import split_name
    >>> split_name("CCO grain alcohol")
    ('CCO', 'grain alcohol')
    >>> split_name("CC=CC |t:1| 2-butene")
    ('CC=CC |t:1|', '2-butene')
    """
    parts = _PARTS.fullmatch(text.strip())
    assert parts is not None  # every part may be missing
    molecule = parts["smiles"] if parts["extension"] is None else f"{parts['smiles']} {parts['extension']}"
    return molecule, parts["name"] or ""


def why_not_text(molecule: str) -> str | None:
    """Why a text cannot be a SMILES; None where it may be. RDKit would drop what follows such a character."""
    smiles = molecule.partition(" ")[0]
    if smiles.isascii() and smiles.isprintable():
        return None
    odd = next(character for character in smiles if not (character.isascii() and character.isprintable()))
    return f"not a valid SMILES: the character {odd!r} at position {smiles.index(odd)} cannot be in one"
