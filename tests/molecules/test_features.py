"""What is read of atoms and bonds: the fields of both featurisers, against RDKit's own methods of atoms and bonds."""

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem, RDConfig

from mocop_sklearn.molecules._featurize import GraphBuilder, featurize
from mocop_sklearn.molecules._fields import FEATURIZERS
from mocop_sklearn.molecules._parse import parse_molecule
from mocop_sklearn.molecules._readers import label_stereo
from tests.helpers.graphs import MOLECULES, one_molecule

JUMP = Path(__file__).parents[3] / "shared" / "data" / "jump_compounds.parquet"

ELEMENTS = [
    "C", "N", "O", "S", "F", "Si", "P", "Cl", "Br", "Mg", "Na", "Ca", "Fe", "As", "Al", "I", "B", "V", "K", "Tl", "Yb",
    "Sb", "Sn", "Ag", "Pd", "Co", "Se", "Ti", "Zn", "H", "Li", "Ge", "Cu", "Au", "Ni", "Cd", "In", "Mn", "Zr", "Cr",
    "Pt", "Hg", "Pb",
]  # fmt: skip


# Columns: 0-43 element, 44-54 degree, 55-61 implicit H, 62 charge, 63-68 hybridisation, 69 aromatic, 70-74 explicit H.
METHYL = {0, 45, 58, 65, 70}
AROMATIC_CH = {0, 46, 56, 64, 69, 70}


AROMATIC_C = {0, 47, 55, 64, 69, 70}
CARBONYL_O = {2, 45, 55, 64, 70}


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCO", [METHYL, {0, 46, 57, 65, 70}, {2, 45, 56, 65, 70}]),
        ("c1ccccc1", [AROMATIC_CH] * 6),
        ("c1cc[nH]c1", [AROMATIC_CH] * 3 + [{1, 46, 55, 64, 69, 71}, AROMATIC_CH]),
        ("C[N+](C)(C)C", [METHYL, {1, 48, 55, 62, 65, 70}, METHYL, METHYL, METHYL]),
        (
            "O=S(=O)(F)c1ccc(Cl)cc1",
            [
                CARBONYL_O,
                {3, 48, 55, 65, 70},
                CARBONYL_O,
                {4, 45, 55, 65, 70},
                AROMATIC_C,
                AROMATIC_CH,
                AROMATIC_CH,
                AROMATIC_C,
                {7, 45, 55, 65, 70},
                AROMATIC_CH,
                AROMATIC_CH,
            ],
        ),
        (  # the hydrogen of a marked stereocentre is an explicit one; acid and amine are conjugated or not
            "C[C@H](N)C(=O)O",
            [METHYL, {0, 47, 55, 65, 71}, {1, 45, 57, 65, 70}, {0, 47, 55, 64, 70}, CARBONYL_O, {2, 45, 56, 64, 70}],
        ),
        ("C#N", [{0, 45, 56, 63, 70}, {1, 45, 55, 63, 70}]),
        ("FS(F)(F)(F)(F)F", [{4, 45, 55, 65, 70}, {3, 50, 55, 67, 70}] + [{4, 45, 55, 65, 70}] * 5),
        ("C", [{0, 44, 59, 65, 70}]),
    ],
)
def test_the_75_features_of_the_paper(smiles, expected):
    mol = Chem.MolFromSmiles(smiles)
    builder = GraphBuilder("paper")
    builder.add(mol, Chem.MolToSmiles(mol))
    x = builder.build().collate().x
    assert x.shape == (len(expected), 75)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert [set(row.nonzero().ravel().tolist()) for row in x] == expected
    # parsing and standardising such a molecule leaves it as it is
    torch.testing.assert_close(one_molecule(smiles).collate().x, x, rtol=0, atol=0)


@pytest.mark.parametrize(("smiles", "charge"), [("[O-]C", -1), ("[Fe+3]", 3), ("C[N+](C)(C)C", 1), ("[O-2]", -2)])
def test_charge_is_one_number(smiles, charge):
    x = one_molecule(smiles, standardize=None).collate().x
    assert x[:, 62].sum() == charge


def test_each_element_has_its_place():
    atoms = [f"[{symbol}]" for symbol in [*ELEMENTS, "U", "He", "Xe"]] + ["*"]
    x = featurize(atoms, "paper", None).graphs.collate().x
    assert x[:, :44].argmax(dim=1).tolist() == [*range(43), 43, 43, 43, 43]
    assert x[:, :44].sum(dim=1).eq(1).all()


@functools.cache
def one_hot(place, size):
    return tuple(float(i == place) for i in range(size))


def features_of_an_atom(atom, featurizer):
    """The features of one atom, read with RDKit's methods of atoms."""
    symbol, hybridization = atom.GetSymbol(), str(atom.GetHybridization())
    element = one_hot(ELEMENTS.index(symbol) if symbol in ELEMENTS else 43, 44)
    if featurizer == "paper":
        hybridizations = ["SP", "SP2", "SP3", "SP3D", "SP3D2"]
        return [
            *element,
            *one_hot(min(atom.GetDegree(), 10), 11),
            *one_hot(min(atom.GetNumImplicitHs(), 6), 7),
            atom.GetFormalCharge(),
            *one_hot(hybridizations.index(hybridization) if hybridization in hybridizations else 5, 6),
            atom.GetIsAromatic(),
            *one_hot(min(atom.GetNumExplicitHs(), 4), 5),
        ]
    ring = atom.GetOwningMol().GetRingInfo().MinAtomRingSize(atom.GetIdx())
    common = Chem.GetPeriodicTable().GetMostCommonIsotope(atom.GetAtomicNum()) if atom.GetAtomicNum() else None
    label = atom.GetProp("_CIPCode") if atom.HasProp("_CIPCode") else ""
    return [
        *element,
        *one_hot(min(atom.GetDegree(), 7), 8),
        *one_hot(min(atom.GetTotalNumHs(), 5), 6),
        atom.GetFormalCharge(),
        atom.GetIsotope() - common if atom.GetIsotope() and common else 0,
        atom.GetIsAromatic(),
        *one_hot(min(ring, 8) - 2 if ring else 0, 7),
        *one_hot({"": 0, "R": 1, "S": 2, "r": 1, "s": 2}[label], 3),
    ]


def features_of_a_bond(bond):
    """The features of one bond of "rich", read with RDKit's methods of bonds."""
    order = {1.0: 0, 2.0: 1, 3.0: 2, 1.5: 3}.get(bond.GetBondTypeAsDouble(), 4)
    stereo = {"STEREOZ": 1, "STEREOE": 2}.get(str(bond.GetStereo()), 0)
    return [*one_hot(order, 5), bond.IsInRing(), *one_hot(stereo, 3)]


def check_features(smiles, featurizer, standardize="parent"):
    """Compare every atom and bond of some molecules with RDKit's methods of atoms and bonds."""
    found = featurize(smiles, featurizer, standardize)
    assert found.reasons == {}
    graph = found.graphs.collate()
    atoms, bonds, first = [], {}, 0
    for i in np.sort(np.unique(found.graph_of_value, return_index=True)[1]):
        mol = parse_molecule(smiles[i], standardize)
        label_stereo(mol)
        atoms += [features_of_an_atom(atom, featurizer) for atom in mol.GetAtoms()]
        for bond in mol.GetBonds():
            ends = first + bond.GetBeginAtomIdx(), first + bond.GetEndAtomIdx()
            bonds[ends] = bonds[ends[::-1]] = features_of_a_bond(bond)
        first += mol.GetNumAtoms()
    np.testing.assert_array_equal(graph.x.numpy(), np.array(atoms, dtype=np.float32))
    edges = [tuple(ends) for ends in graph.edge_index.T.tolist()]
    assert sorted(edges) == sorted(bonds)
    if featurizer == "rich":
        np.testing.assert_array_equal(graph.edge_attr.numpy(), np.array([bonds[ends] for ends in edges]))


@pytest.mark.slow
@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_features_agree_with_a_loop_over_atoms_and_bonds(featurizer):
    """All of RDKit's 5,000 NCI structures: salts, metals, dative bonds, radicals."""
    with open(f"{RDConfig.RDDataDir}/NCI/first_5K.smi") as file:
        smiles = [line.split()[0] for line in file]
    check_features([s for s in smiles if Chem.MolFromSmiles(s) is not None], featurizer)


@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_features_of_what_a_library_seldom_holds(featurizer):
    odd = [
        "[13CH4]", "[12CH4]", "[2H]C([2H])O", "[3H]c1ccccc1", "[35Cl]C", "[37Cl]C", "[100CH4]", "[1*]CC", "*CC*",
        "[U]", "[NH3]->[Cu]", "C[Pt](Cl)(Cl)<-[NH3]", "C$C", "[CH3]", "[C]", "C[N+](C)(C)C", "[O-][O-]",
        "C1CC2CC1C2", "C12C3C4C1C5C2C3C45", "C1=CC=CC=CC=C1", "C[C@H](N)C(=O)O", "C[C@H]1CC[C@@H](C)CC1",
        "F/C=C/F", "F/C=C\\F", "C/C=C/C=C\\C", "C1CCCCCCC/C=C/1", "C" * 128, "C" * 129, "*" + "(C)" * 9,
        "c1ccc2c(c1)c1ccccc1c1ccccc21", "[nH]1cccc1", "C[S@](=O)CC", "[18OH2]", "[Fe+2]", "[H][H]", "[H+]",
        "[B-](F)(F)(F)F",
    ]  # fmt: skip
    check_features(odd, featurizer, None)


@pytest.mark.slow
@pytest.mark.skipif(not JUMP.exists(), reason="needs the structures of JUMP")
@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_features_of_three_thousand_structures_of_jump(featurizer):
    structures = pd.read_parquet(JUMP, columns=["Metadata_SMILES"])["Metadata_SMILES"].dropna()
    sample = structures.sample(3000, random_state=1).unique()
    check_features([s for s in sample if Chem.MolFromSmiles(s) is not None], featurizer)


@pytest.mark.parametrize("smiles", [*MOLECULES, "C=CC=CC#N", "[NH3]->[Cu]", "C/C=C/C=C\\C"])
def test_bond_features_agree_with_a_loop_over_rdkit_bonds(smiles):
    # columns: 0-4 single, double, triple, aromatic, other; 5 ring; 6-8 no stereo, Z, E
    mol = parse_molecule(smiles)
    degree = [atom.GetDegree() + 1 for atom in mol.GetAtoms()]
    order = {"SINGLE": 0, "DOUBLE": 1, "TRIPLE": 2, "AROMATIC": 3, "DATIVE": 0}
    stereo = {"STEREONONE": 0, "STEREOZ": 1, "STEREOE": 2}
    expected = np.zeros((mol.GetNumAtoms(), 9))
    for bond in mol.GetBonds():
        features = np.zeros(9)
        features[order[str(bond.GetBondType())]] = 1
        features[5] = bond.IsInRing()
        features[6 + stereo[str(bond.GetStereo())]] = 1
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        for atom in (i, j):
            expected[atom] += features / np.sqrt(degree[i] * degree[j])
    batch = one_molecule(smiles, "rich").collate()
    np.testing.assert_allclose(batch.bonds.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("smiles", "code"),
    [("CCC", 0), ("C1CC1", 1), ("C1CCC1", 2), ("C1CCCC1", 3), ("C1CCCCC1", 4), ("C1CCCCCC1", 5), ("C1CCCCCCC1", 6)],
)
def test_rich_ring_sizes(smiles, code):
    x = one_molecule(smiles, "rich").collate().x
    assert x[:, 61:68].argmax(dim=1).tolist() == [code] * len(x)


def test_rich_counts_the_smallest_ring_and_large_ones_alike():
    spiro = one_molecule("C1CCC2(CC1)CC2", "rich").collate().x[:, 61:68].argmax(dim=1)
    assert sorted(spiro.tolist()) == [1, 1, 1, 4, 4, 4, 4, 4]
    assert one_molecule("C1" + "C" * 11 + "1", "rich").collate().x[:, 67].eq(1).all()


def test_the_vocabulary_is_plain_data():
    vocabulary = FEATURIZERS["rich"].vocabulary()
    numbers = [Chem.GetPeriodicTable().GetAtomicNumber(element) for element in ELEMENTS]
    assert vocabulary["atom_fields"][0] == ["element", 44, numbers]
    assert json.loads(json.dumps(vocabulary)) == vocabulary
    assert [sum(field[1] for field in vocabulary[f]) for f in ("atom_fields", "bond_fields")] == [71, 9]
    assert FEATURIZERS["paper"].n_atom_features == 75
    assert FEATURIZERS["paper"].n_bond_features == 0
