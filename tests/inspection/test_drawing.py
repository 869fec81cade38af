"""Drawings of attributions: one circle an atom, its colour by sign and size by the number."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from rdkit import Chem

from mocop_sklearn.inspection import draw_attributions


def circles(svg):
    """Radius and colour channels of the circle of each atom."""
    found = {}
    for node in ET.fromstring(svg.encode("iso-8859-1")).iter():
        if node.tag.endswith("ellipse"):
            color = node.attrib["style"].partition("fill:#")[2][:6]
            atom = int(node.attrib["class"].removeprefix("atom-"))
            found[atom] = (float(node.attrib["rx"]), *(int(color[i : i + 2], 16) for i in (0, 2, 4)))
    return found


def test_colour_is_the_sign_and_size_the_number():
    drawn = circles(draw_attributions("CCON", [1.0, 0.5, -1.0, np.nan]))
    assert sorted(drawn) == [0, 1, 2]
    radius, red, _, blue = map(np.array, zip(*(drawn[i] for i in range(3)), strict=True))
    assert (red > blue).tolist() == [True, True, False]
    assert radius[0] == radius[2] > radius[1]
    assert blue[0] < blue[1]


def test_one_scale_makes_drawings_comparable():
    half = circles(draw_attributions("CCO", [0.5, 0.0, 0.0], scale=1.0))[0]
    full = circles(draw_attributions("CCO", [0.5, 0.0, 0.0]))[0]
    beyond = circles(draw_attributions("CCO", [0.5, 0.0, 0.0], scale=0.1))[0]
    assert full == beyond
    assert half[0] < full[0]
    assert circles(draw_attributions("CCO", [0.0, 0.0, 0.0]))[0][1:] == (255, 255, 255)


@pytest.mark.parametrize(
    "value",
    [
        "[Na+].[O-]C(=O)C",
        Chem.AddHs(Chem.MolFromSmiles("C[C@H](N)O")),
        Chem.MolFromSmiles("C1=CC=CC=C1", sanitize=False),
        "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3",
    ],
)
def test_every_atom_that_was_given_is_drawn_and_the_molecule_stays(value):
    mol = value if isinstance(value, Chem.Mol) else None
    before = mol.ToBinary() if mol else None
    n_atoms = mol.GetNumAtoms() if mol else {"[": 5, "I": 3}[value[0]]
    assert len(circles(draw_attributions(value, np.arange(n_atoms), notes=True))) == n_atoms
    assert mol is None or mol.ToBinary() == before


def test_a_legend_is_text():
    svg = draw_attributions("CCO", [0, 0, 1], legend="<script>&", size=(200, 100))
    assert "<script" not in svg
    assert ET.fromstring(svg.encode("iso-8859-1")).attrib["width"] == "200px"


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"each of the 3 atoms, got the shape \(2,\)"):
        draw_attributions("CCO", [0.0, 1.0])
    with pytest.raises(ValueError, match="scale=-1 must be a number from 0 up"):
        draw_attributions("CCO", [0, 0, 1], scale=-1)
    with pytest.raises(ValueError, match=r"molecule '\?' cannot be drawn: not a valid SMILES"):
        draw_attributions("?", [0.0])
