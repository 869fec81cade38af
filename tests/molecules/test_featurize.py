"""What a network sees of a molecule: the vocabularies, the graphs and how they are read off."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, RDConfig
from rdkit.Chem import rdDepictor, rdmolops

from mocop_sklearn.molecules import _featurize as featurize_module
from mocop_sklearn.molecules._featurize import GraphBuilder, featurize
from mocop_sklearn.molecules._fields import FEATURIZERS
from mocop_sklearn.molecules._graphs import concatenate
from mocop_sklearn.molecules._parse import parse_molecule
from mocop_sklearn.molecules._readers import label_stereo

JUMP = Path(__file__).parents[3] / "shared" / "data" / "jump_compounds.parquet"

ELEMENTS = [
    "C", "N", "O", "S", "F", "Si", "P", "Cl", "Br", "Mg", "Na", "Ca", "Fe", "As", "Al", "I", "B", "V", "K", "Tl", "Yb",
    "Sb", "Sn", "Ag", "Pd", "Co", "Se", "Ti", "Zn", "H", "Li", "Ge", "Cu", "Au", "Ni", "Cd", "In", "Mn", "Zr", "Cr",
    "Pt", "Hg", "Pb",
]  # fmt: skip

MOLECULES = [
    "CCO",
    "c1ccccc1",
    "c1cc[nH]c1",
    "C[N+](C)(C)C",
    "O=S(=O)(F)c1ccc(Cl)cc1",
    "C[C@H](N)C(=O)O",
    "C/C=C\\C",
    "F/C(Cl)=C(\\Br)I",
    "C[C@H]1CC[C@@H](C)CC1",
    "C1CC[C@H]2CCCC[C@@H]2C1",
    "O[C@H]1[C@H](O)[C@@H](O)[C@H](O)[C@H](O)[C@@H]1O",
    "CC[S@](C)=O",
    "CCOP(=O)OCC",
    "CS(=O)=O",
    "N#Cc1ccc2[nH]c(C3CC3)nc2c1",
    "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
    "C1CCCCCCCCC1",
    "C",
    "*CCO",
    "FS(F)(F)(F)(F)F",
]


def one_molecule(smiles, featurizer="paper", standardize="parent"):
    return featurize([smiles], featurizer, standardize).graphs


def dense_adjacency(batch):
    """The normalised adjacency matrix of a batch."""
    n = len(batch.x)
    dense = torch.zeros(n, n)
    receivers = torch.repeat_interleave(torch.arange(n), batch.edge_ptr.diff())
    dense[receivers, batch.senders] = batch.weights
    return dense


def signature(graphs):
    """What a network sees of one molecule, whatever the order of its atoms: rows of features and of what they reach."""
    batch = graphs.collate()
    adjacency = dense_adjacency(batch)
    rows = [batch.x] if batch.bonds is None else [batch.x, batch.bonds]
    x = torch.cat(rows, dim=1)
    rows = torch.cat([x, adjacency @ x, adjacency @ adjacency @ x], dim=1)
    return sorted(map(tuple, (rows.double().numpy().round(4) + 0.0).tolist()))


@pytest.fixture(params=["legacy", "new"])
def stereo_perception(request):
    """RDKit has two ways of finding stereocentres, chosen for the whole process."""
    before = Chem.GetUseLegacyStereoPerception()
    Chem.SetUseLegacyStereoPerception(request.param == "legacy")
    yield request.param
    Chem.SetUseLegacyStereoPerception(before)


@pytest.fixture(scope="module")
def library():
    """Two hundred molecules of the NCI collection."""
    with open(f"{RDConfig.RDDataDir}/NCI/first_5K.smi") as file:
        smiles = [line.split()[0] for line in file]
    return [s for s in smiles[::24] if Chem.MolFromSmiles(s) is not None]


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


def one_hot(place, size):
    row = np.zeros(size)
    row[place] = 1
    return row


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


@pytest.mark.skipif(not JUMP.exists(), reason="needs the structures of JUMP")
@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_features_of_three_thousand_structures_of_jump(featurizer):
    structures = pd.read_parquet(JUMP, columns=["Metadata_SMILES"])["Metadata_SMILES"].dropna()
    sample = structures.sample(3000, random_state=1).unique()
    check_features([s for s in sample if Chem.MolFromSmiles(s) is not None], featurizer)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_adjacency_is_normalised_symmetrically(smiles):
    a = Chem.GetAdjacencyMatrix(parse_molecule(smiles)) + np.eye(parse_molecule(smiles).GetNumAtoms())
    d = np.diag(a.sum(axis=1) ** -0.5)
    adjacency = dense_adjacency(one_molecule(smiles).collate())
    np.testing.assert_allclose(adjacency.numpy(), d @ a @ d, atol=1e-6)


def test_adjacency_of_ethanol():
    third, root = 1 / 3, 6**-0.5
    expected = [[0.5, root, 0], [root, third, root], [0, root, 0.5]]
    torch.testing.assert_close(dense_adjacency(one_molecule("CCO").collate()), torch.tensor(expected))


def test_a_batch_is_block_diagonal(library):
    graphs = featurize(library[:20], "rich").graphs
    parts = [graphs.take(torch.tensor([i])).collate() for i in range(20)]
    batch = graphs.collate()
    torch.testing.assert_close(dense_adjacency(batch), torch.block_diag(*map(dense_adjacency, parts)), rtol=0, atol=0)
    for name in ("x", "bonds", "atoms_per_molecule"):
        whole, pieces = getattr(batch, name), [getattr(part, name) for part in parts]
        torch.testing.assert_close(whole, torch.cat(pieces), rtol=0, atol=0)


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


STEREOISOMERS = [
    ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"),
    ("C/C=C/C", "C/C=C\\C"),
    ("F/C(Cl)=C(\\Br)I", "F/C(Cl)=C(/Br)I"),
    ("CC[S@](C)=O", "CC[S@@](C)=O"),
    ("OC(=O)[C@H](O)[C@@H](O)C(=O)O", "OC(=O)[C@H](O)[C@H](O)C(=O)O"),
    ("C[C@H]1CCCC[C@@H]1C", "C[C@H]1CCCC[C@H]1C"),
    ("C[C@H]1CC[C@@H](C)CC1", "C[C@H]1CC[C@H](C)CC1"),
    ("C1CC[C@H]2CCCC[C@@H]2C1", "C1CC[C@H]2CCCC[C@H]2C1"),
    ("C[C@H](O)[C@H](O)[C@@H](C)O", "C[C@H](O)[C@@H](O)[C@@H](C)O"),
    ("O[C@H]1C[C@@H](O)C[C@@H](O)C1", "O[C@H]1C[C@H](O)C[C@@H](O)C1"),
]


@pytest.mark.parametrize(("one", "other"), STEREOISOMERS)
def test_only_rich_tells_stereoisomers_apart(one, other, stereo_perception):
    assert signature(one_molecule(one)) == signature(one_molecule(other))
    assert signature(one_molecule(one, "rich")) != signature(one_molecule(other, "rich"))


def test_rich_labels_are_those_of_cahn_ingold_and_prelog(stereo_perception):
    """L-alanine is S, 2-butene with both methyls on one side is Z."""
    assert one_molecule("C[C@H](N)C(=O)O", "rich").collate().x[1, 68:71].tolist() == [0, 0, 1]
    assert one_molecule("C[C@@H](N)C(=O)O", "rich").collate().x[1, 68:71].tolist() == [0, 1, 0]
    assert one_molecule("CC(N)C(=O)O", "rich").collate().x[:, 68].eq(1).all()
    z, e = (one_molecule(s, "rich").collate().bonds[1] for s in ("C/C=C\\C", "C/C=C/C"))
    assert z[7] > 0
    assert z[8] == 0
    assert e[7] == 0
    assert e[8] > 0


@pytest.mark.parametrize("featurizer", FEATURIZERS)
@given(smiles=st.sampled_from(MOLECULES + [s for pair in STEREOISOMERS for s in pair]), random=st.randoms())
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_the_order_of_atoms_does_not_matter(featurizer, smiles, random):
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)
    shuffled = Chem.RenumberAtoms(mol, order)
    assert signature(one_molecule(shuffled, featurizer)) == signature(one_molecule(smiles, featurizer))


def test_the_order_of_atoms_does_not_matter_to_either_stereo_perception(stereo_perception):
    for smiles in [s for pair in STEREOISOMERS for s in pair]:
        mol = Chem.MolFromSmiles(smiles)
        random_orders = Chem.MolToRandomSmilesVect(mol, 8, randomSeed=1)
        assert len({str(signature(one_molecule(s, "rich"))) for s in random_orders}) == 1, smiles


def test_a_symmetric_cage_is_left_unlabelled_in_bounded_time():
    cubane = "[C@H]12[C@H]3[C@@H]4[C@H]1[C@H]5[C@@H]2[C@@H]3[C@H]45"
    before = Chem.GetUseLegacyStereoPerception()
    Chem.SetUseLegacyStereoPerception(False)  # it takes all eight atoms of cubane for stereocentres
    try:
        x = one_molecule(cubane, "rich").collate().x
    finally:
        Chem.SetUseLegacyStereoPerception(before)
    assert x[:, 68].eq(1).all()


@pytest.mark.parametrize("featurizer", FEATURIZERS)
@pytest.mark.parametrize("smiles", MOLECULES)
def test_every_way_to_write_a_molecule_gives_one_graph(smiles, featurizer):
    mol = Chem.MolFromSmiles(smiles)
    kekule = Chem.Mol(mol)
    Chem.Kekulize(kekule, clearAromaticFlags=True)
    forms = {
        "Mol": mol,
        "Mol with hydrogens": Chem.AddHs(mol),
        "canonical SMILES": Chem.MolToSmiles(mol),
        "Kekulé SMILES": Chem.MolToSmiles(kekule, kekuleSmiles=True),
        "bracketed SMILES": Chem.MolToSmiles(mol, allHsExplicit=True),
        "with blanks and a name": f"  {Chem.MolToSmiles(mol)} some name",
        "unsanitised Mol": Chem.MolFromSmiles(smiles, sanitize=False),
        "molecule of a mol block": Chem.MolFromMolBlock(Chem.MolToMolBlock(with_coordinates(mol))),
    }
    forms |= {f"random SMILES {i}": s for i, s in enumerate(Chem.MolToRandomSmilesVect(mol, 4, randomSeed=7))}
    expected = signature(one_molecule(smiles, featurizer))
    for name, form in forms.items():
        assert signature(one_molecule(form, featurizer)) == expected, name


def with_coordinates(mol):
    """Give a molecule flat coordinates, without which a mol block holds no stereochemistry."""
    mol = Chem.Mol(mol)
    rdDepictor.Compute2DCoords(mol)
    rdmolops.WedgeMolBonds(mol, mol.GetConformer())
    return mol


def test_salts_and_charges_give_the_graph_of_the_parent():
    parent = signature(one_molecule("CC(N)C(=O)O", "rich"))
    for form in ("CC([NH3+])C(=O)[O-]", "CC([NH3+])C(=O)O.[Cl-]", "[Na+].CC(N)C(=O)[O-]", "O.CC(N)C(=O)O"):
        assert signature(one_molecule(form, "rich")) == parent


def test_standardize_none_keeps_everything():
    graphs = one_molecule("[Na+].CC(=O)[O-]", standardize=None)
    assert len(graphs.atoms) == 5
    assert sorted(graphs.collate().x[:, 62].tolist()) == [-1, 0, 0, 0, 1]


@pytest.mark.parametrize("smiles", ["[Na+]", "[Cl-]", "[Fe+3]", "[H][H]", "[Pt]", "C", "*", "[2H]", "[Xe]"])
@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_single_atoms_ions_and_metals(smiles, featurizer):
    batch = one_molecule(smiles, featurizer, None).collate()
    n = len(batch.x)
    assert batch.atoms_per_molecule.tolist() == [n]
    torch.testing.assert_close(dense_adjacency(batch), torch.full((n, n), 1 / n))
    if n == 1 and featurizer == "rich":
        assert batch.bonds.eq(0).all()


@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_a_molecule_of_300_atoms(featurizer):
    chain = dense_adjacency(one_molecule("C" * 300, featurizer).collate())
    expected = torch.zeros(300, 300)
    expected.diagonal().fill_(1 / 3)
    expected.diagonal(1).fill_(1 / 3)
    expected.diagonal(-1).fill_(1 / 3)
    for end, inner in ((0, 1), (299, 298)):
        expected[end, end] = 1 / 2
        expected[end, inner] = expected[inner, end] = 6**-0.5
    torch.testing.assert_close(chain, expected)


def same_graphs(one, other):
    return one.featurizer == other.featurizer and all(
        torch.equal(a, getattr(other, name)) and a.dtype == getattr(other, name).dtype
        for name, a in one._arrays().items()
    )


@pytest.mark.parametrize("featurizer", FEATURIZERS)
def test_take_concatenate_and_featurize_agree(library, featurizer):
    whole = featurize(library, featurizer).graphs
    order = torch.tensor([5, 0, 5, 199, 17, 3])
    found = featurize([library[i] for i in order], featurizer)
    assert same_graphs(whole.take(order), found.graphs.take(torch.from_numpy(found.graph_of_value)))
    assert same_graphs(whole.take(torch.arange(len(whole))), whole)
    parts = [featurize(library[a:b], featurizer).graphs for a, b in ((0, 1), (1, 1), (1, 50), (50, None))]
    assert same_graphs(concatenate(parts), whole)
    assert len(whole.take(torch.tensor([], dtype=torch.int64))) == 0
    assert len(whole) == len(library)


@pytest.mark.parametrize(("featurizer", "per_atom", "per_edge"), [("paper", 9, 2), ("rich", 10, 3)])
def test_bytes(library, featurizer, per_atom, per_edge):
    graphs = featurize(library, featurizer).graphs
    n_atoms = sum(parse_molecule(s).GetNumAtoms() for s in library)
    n_edges = n_atoms + 2 * sum(parse_molecule(s).GetNumBonds() for s in library)
    assert graphs.nbytes == per_atom * n_atoms + per_edge * n_edges + 2 * 8 * (len(library) + 1)


@pytest.mark.slow
def test_serial_and_parallel_agree(library, monkeypatch):
    monkeypatch.setattr(featurize_module, "_CHUNK", 30)
    values = [*library[:50], "not a molecule", *library[50:100], None]
    serial = featurize(values, "rich", identify=True)
    parallel = featurize(values, "rich", identify=True, n_jobs=2)
    assert same_graphs(serial.graphs, parallel.graphs)
    assert serial.reasons == parallel.reasons == {50: "not a valid SMILES", 101: "missing value"}
    assert serial.smiles == parallel.smiles
    assert serial.keys == parallel.keys
    monkeypatch.setattr(featurize_module, "_CHUNK", 1024)
    assert same_graphs(serial.graphs, featurize(values, "rich").graphs)


def test_bad_values_leave_no_graph():
    found = featurize(["CCO", "junk", "c1ccccc1", None, "C(C)(C)(C)(C)C"], "rich", identify=True)
    assert len(found.graphs) == 2
    assert found.graph_of_value.tolist() == [0, -1, 1, -1, -1]
    assert found.smiles == ["CCO", "c1ccccc1"]
    assert found.keys == ["LFQSCWFLJHTTHZ", "UHOVQNZJYSORNB"]
    assert sorted(found.reasons) == [1, 3, 4]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_text_is_featurised_once(monkeypatch, n_jobs):
    monkeypatch.setattr(featurize_module, "_CHUNK", 2)
    values = ["CCO", "junk", "CCN", "CCO", Chem.MolFromSmiles("OCC"), "junk", "CCC", "CCN"]
    found = featurize(values, "rich", identify=True, n_jobs=n_jobs)
    assert found.smiles == ["CCO", "CCN", "CCC"]
    assert found.graph_of_value.tolist() == [0, -1, 1, 0, 0, -1, 2, 1]
    assert found.reasons == {1: "not a valid SMILES", 5: "not a valid SMILES"}
    assert same_graphs(found.graphs, featurize(["CCO", "CCN", "CCC"], "rich").graphs)


def test_nothing_but_bad_values():
    found = featurize(["junk", ""], "rich")
    assert len(found.graphs) == 0
    assert found.graph_of_value.tolist() == [-1, -1]
    assert found.graphs.collate().x.shape == (0, 71)


def test_featurize_leaves_molecules_as_they_are():
    mol = Chem.AddHs(Chem.MolFromSmiles("C[C@H]1CC[C@@H](C)CC1"))
    mol.SetProp("name", "1,4-dimethylcyclohexane")
    before = everything_in(mol)
    featurize([mol], "rich", identify=True)
    assert everything_in(mol) == before


def everything_in(mol):
    """A molecule's bytes with all its properties but what RDKit itself notes down in passing."""
    kinds = Chem.PropertyPickleOptions
    return mol.ToBinary(int(kinds.MolProps | kinds.AtomProps | kinds.BondProps))


def test_the_vocabulary_is_plain_data():
    vocabulary = FEATURIZERS["rich"].vocabulary()
    numbers = [Chem.GetPeriodicTable().GetAtomicNumber(element) for element in ELEMENTS]
    assert vocabulary["atom_fields"][0] == ["element", 44, numbers]
    assert json.loads(json.dumps(vocabulary)) == vocabulary
    assert [sum(field[1] for field in vocabulary[f]) for f in ("atom_fields", "bond_fields")] == [71, 9]
    assert FEATURIZERS["paper"].n_atom_features == 75
    assert FEATURIZERS["paper"].n_bond_features == 0
