"""``draw_attributions``: a molecule whose atoms are coloured by their attributions."""

from __future__ import annotations

from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from ..molecules._parse import InvalidMolecule, parse_molecule
from ._atoms import given_molecule

_Color = tuple[float, float, float]
# orange and blue are told apart with any colour vision, and the orange is the lighter of the two in grey
_POSITIVE: _Color = (0.96, 0.60, 0.10)
_NEGATIVE: _Color = (0.30, 0.52, 0.90)
_RADII = 0.18, 0.42  # of a circle, in units of the drawing: at an attribution near 0, and at the scale


def draw_attributions(
    molecule: Any,
    attributions: Any,
    *,
    scale: float | None = None,
    size: tuple[int, int] = (360, 280),
    legend: str = "",
    notes: bool = False,
) -> str:
    """Draw a molecule with a circle around each atom: orange raises the score, blue lowers it.

    Colour and size of a circle grow with the attribution.

    Parameters
    ----------
    molecule : str or Mol
    attributions : array-like of float, shape (n_atoms,)
        As from :func:`atom_attributions`. Atoms with NaN have no circle.
    scale : float, default=None
        The attribution, positive or negative, with the full colour. Give drawings that are compared one scale. None is
        the largest of this molecule.
    size : tuple of int, default=(360, 280)
        Width and height in pixels.
    legend : str, default=""
        Text under the molecule.
    notes : bool, default=False
        Whether to write the attributions beside the atoms.

    Returns
    -------
    str
        An SVG image, to be written to a file or shown by ``IPython.display.SVG``.

    Raises
    ------
    ValueError
        When the molecule is invalid, or has another number of atoms, or the scale is negative.

    Examples
    --------
    >>> from mocop_sklearn.inspection import draw_attributions
    >>> draw_attributions("CCO", [0.0, 0.1, 0.9])[:5]
    '<?xml'
    """
    try:
        parse_molecule(molecule, None)
    except InvalidMolecule as error:
        raise ValueError(f"molecule {molecule!r:.60} cannot be drawn: {error}.") from error
    mol = given_molecule(molecule)
    values = np.asarray(attributions, dtype=np.float64)
    if values.shape != (mol.GetNumAtoms(),):
        raise ValueError(
            f"attributions must have one number for each of the {mol.GetNumAtoms()} atoms, got the shape "
            f"{values.shape}."
        )
    if scale is not None and not 0 <= scale < np.inf:
        raise ValueError(f"scale={scale!r} must be a number from 0 up, or None.")
    known = np.flatnonzero(np.isfinite(values)).tolist()
    largest = scale if scale is not None else np.abs(values[known]).max(initial=0.0)
    share = np.clip(values / (largest or 1.0), -1, 1)
    drawer = rdMolDraw2D.MolDraw2DSVG(*size)
    drawer.drawOptions().useBWAtomPalette()
    mol = _prepared(mol)
    if notes:
        for i in known:
            mol.GetAtomWithIdx(i).SetProp("atomNote", f"{values[i]:+.2f}")
    drawer.DrawMolecule(
        mol,
        legend=legend,
        highlightAtoms=known,
        highlightAtomColors={i: _color(share[i]) for i in known},
        highlightAtomRadii={i: _RADII[0] + (_RADII[1] - _RADII[0]) * float(abs(share[i])) for i in known},
        highlightBonds=[],
    )
    drawer.FinishDrawing()
    svg: str = drawer.GetDrawingText()
    return svg


def _prepared(mol: Chem.Mol) -> Chem.Mol:
    """Return a copy in the plane, ready to be drawn, with the same atoms."""
    flat = Chem.Mol(mol)
    flat.UpdatePropertyCache(strict=False)
    rdDepictor.Compute2DCoords(flat)
    return rdMolDraw2D.PrepareMolForDrawing(flat, addChiralHs=False, forceCoords=False)


def _color(share: float) -> _Color:
    full = _POSITIVE if share > 0 else _NEGATIVE
    red, green, blue = (1 - abs(share) * (1 - channel) for channel in full)
    return red, green, blue
