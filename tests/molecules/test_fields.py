"""Fields and featurisers as objects that a user writes, hands in, hashes and pickles."""

import pickle

import joblib
import pytest
import torch
from sklearn.base import clone

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.molecules import FEATURIZERS, Featurizer, Field
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.molecules._fields import resolve_featurizer
from tests.helpers.processes import elsewhere


def radicals(mol):
    return [atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()]


def atomic_numbers(mol):
    return [atom.GetAtomicNum() for atom in mol.GetAtoms()]


def heavier_end(mol):
    """The larger atomic number of each bond's two ends."""
    return [max(bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum()) for bond in mol.GetBonds()]


def chiral_tags(mol):
    return [int(atom.HasProp("_CIPCode")) + 1 for atom in mol.GetAtoms()]


OWN = Featurizer(
    "own",
    (Field("element", 3, atomic_numbers, code=(8, 6)), Field("radicals", 1, radicals)),
    (Field("heavier", 3, heavier_end, code=(7, 8)), Field("flag", 1, heavier_end)),
)


@pytest.mark.parametrize("name", FEATURIZERS)
def test_a_name_stands_for_a_featurizer(name):
    assert resolve_featurizer(name) is FEATURIZERS[name]
    assert resolve_featurizer(FEATURIZERS[name]) is FEATURIZERS[name]
    graphs = featurize(["CCO"], name).graphs
    assert graphs.featurizer is FEATURIZERS[name]
    assert torch.equal(graphs.atoms, featurize(["CCO"], FEATURIZERS[name]).graphs.atoms)


@pytest.mark.parametrize(("value", "error"), [("ecfp", ValueError), (None, TypeError), (FEATURIZERS, TypeError)])
def test_what_is_not_a_featurizer(value, error):
    with pytest.raises(error, match="featurizer must be"):
        resolve_featurizer(value)


@pytest.mark.parametrize("featurizer", [*FEATURIZERS.values(), OWN], ids=lambda f: f.name)
def test_copies_are_equal_and_hash_alike(featurizer):
    copy = pickle.loads(pickle.dumps(featurizer))
    assert copy == featurizer
    assert hash(copy) == hash(featurizer)
    assert joblib.hash(copy) == joblib.hash(featurizer)
    embedder = MoCoPEmbedder(featurizer=featurizer)
    assert joblib.hash(clone(embedder)) == joblib.hash(embedder)


def test_the_hash_is_the_same_in_another_process():
    assert elsewhere(hash_of, "rich") == hash_of("rich")


def hash_of(name):
    return joblib.hash(FEATURIZERS[name])


def test_fields_of_a_user():
    assert (OWN.n_atom_features, OWN.n_bond_features) == (4, 4)
    graph = featurize(["[N]CCO"], OWN, None).graphs.collate()  # the nitrogen has two unpaired electrons
    assert graph.x.tolist() == [[0, 0, 1, 2], [0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert list(zip(map(tuple, graph.edge_index.T.tolist()), graph.edge_attr.tolist(), strict=True)) == [
        ((1, 0), [1, 0, 0, 1]),
        ((0, 1), [1, 0, 0, 1]),
        ((2, 1), [0, 0, 1, 1]),
        ((1, 2), [0, 0, 1, 1]),
        ((3, 2), [0, 1, 0, 1]),
        ((2, 3), [0, 1, 0, 1]),
    ]


def test_fields_of_a_user_in_two_processes(monkeypatch):
    monkeypatch.setattr("mocop_sklearn.molecules._featurize._CHUNK", 16)
    values = ["OCC[N]", "CCN", "C"] * 20
    values = [f"{'C' * (i // 3 + 1)}{s}" for i, s in enumerate(values)]
    one, two = featurize(values, OWN), featurize(values, OWN, n_jobs=2)
    assert torch.equal(one.graphs.atoms, two.graphs.atoms)
    assert torch.equal(one.graphs.edges, two.graphs.edges)


def test_a_field_is_read_only_where_the_text_may_hold_it():
    field = Field("chiral", 3, chiral_tags, only_with="@")
    featurizer = Featurizer("chiral only", (field,))
    with_mark = featurize(["C[C@H](N)O"], featurizer).graphs.atoms
    without = featurize(["CC(N)O"], featurizer).graphs.atoms
    assert sorted(with_mark.ravel().tolist()) == [1, 1, 1, 2]
    assert without.ravel().tolist() == [0, 0, 0, 0]


def test_many_combinations_of_bond_fields():
    fields = tuple(Field(f"heavier {i}", 9, heavier_end, code=(6, 7, 8, 9, 15, 16, 17, 35)) for i in range(3))
    featurizer = Featurizer("wide", (Field("radicals", 2, radicals),), fields)
    graphs = featurize(["CC", "CO", "CI"], featurizer).graphs
    assert graphs.edges.dtype == torch.int16
    edge_attr = graphs.collate().edge_attr
    assert [row.nonzero().ravel().tolist() for row in edge_attr[::2]] == [[0, 9, 18], [2, 11, 20], [8, 17, 26]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Field("x", 0, radicals), ValueError, "size 0"),
        (lambda: Field("x", 3, radicals, code=(1, 2, 3)), ValueError, "size 3 but a code of 3 integers"),
        (lambda: Field("x", 3, "radicals"), TypeError, "needs a function read"),
        (lambda: Featurizer("f", ()), ValueError, "no atom fields"),
        (lambda: Featurizer("f", (Field("x", 1, radicals),) * 2), ValueError, "different names"),
        (
            lambda: Featurizer("f", (Field("x", 1, radicals),), tuple(Field(str(i), 9, heavier_end) for i in range(5))),
            ValueError,
            "59,049 combinations",
        ),
    ],
)
def test_fields_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()
