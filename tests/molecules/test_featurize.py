"""What a network sees of a molecule: the graph, whatever the text, the order of atoms and the batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, RDConfig
from rdkit.Chem import rdDepictor, rdmolops

from mocop_sklearn.molecules import _featurize as featurize_module
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.molecules._fields import FEATURIZERS
from mocop_sklearn.molecules._graphs import concatenate
from mocop_sklearn.molecules._parse import parse_molecule
from tests.helpers.graphs import MOLECULES, dense_adjacency, one_molecule, signature


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
