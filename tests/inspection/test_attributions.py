"""Attributions of atoms: against a model whose atoms add up, what is conserved, and a planted substructure."""

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor, SkipInvalid
from mocop_sklearn.datasets import load_biogen_adme
from mocop_sklearn.inspection import atom_attributions
from mocop_sklearn.molecules import to_pyg

SMALL = {"hidden_dim": 16, "embedding_dim": 16, "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def embedder(smiles, profiles, tiny):
    return MoCoPEmbedder(**tiny, structure_weight=0, local_scaling=False).fit(smiles, profiles)


@pytest.fixture(scope="module")
def classifier(smiles, labels):
    return MoCoPClassifier(**SMALL, n_estimators=2).fit(smiles, labels)


# ---------------------------------------------------------------------------------------------
# values
# ---------------------------------------------------------------------------------------------


class SumOfAtoms(torch.nn.Module):
    """A representation to which each atom adds a linear function of its features."""

    out_features = 4

    def __init__(self, n_atom_features, n_bond_features):
        super().__init__()
        self.atoms = torch.nn.Linear(n_atom_features, 4, bias=False)

    def forward(self, graph):
        z = self.atoms(graph.x)
        return z.new_zeros(graph.n_molecules, 4).index_add(0, graph.batch, z)


@pytest.fixture(scope="module")
def additive(smiles, profiles):
    embedder = MoCoPEmbedder(encoder=SumOfAtoms, side_features=None, structure_weight=0, max_epochs=0, random_state=0)
    return embedder.fit(smiles, profiles)


def test_the_atoms_of_an_additive_model_have_their_own_terms(additive, smiles):
    regression = LinearRegression().fit(additive.transform(smiles), np.arange(40))
    pipeline = make_pipeline(FrozenEstimator(additive), regression)
    value = "CC(=O)Oc1ccccc1C(=O)O"
    weight = additive.model_.weights["molecule_encoder.atoms.weight"]
    terms = to_pyg([value]).x.numpy() @ weight.T @ regression.coef_
    (found,), score, reference = atom_attributions(pipeline, [value], return_scores=True)
    np.testing.assert_allclose(found, terms, atol=1e-3)
    np.testing.assert_allclose(score, pipeline.predict([value]), rtol=1e-5)
    np.testing.assert_allclose(reference, regression.intercept_, rtol=1e-5)


def estimators(embedder, smiles, profiles, labels):
    """Estimators with the scores that are explained, and how to ask for them."""
    Y = np.column_stack([labels, np.arange(40) % 2])
    groups = np.arange(40) % 3
    z = embedder.transform(smiles)
    frozen = FrozenEstimator(embedder)
    logistic = make_pipeline(frozen, StandardScaler(), LogisticRegression()).fit(smiles, labels)
    several = make_pipeline(frozen, RandomForestClassifier(10, random_state=0)).fit(smiles, Y)
    named = make_pipeline(frozen, LogisticRegression()).fit(smiles, np.array(["a", "b", "c"])[groups])
    forest = SkipInvalid(RandomForestClassifier(10, random_state=0)).fit(z, labels)
    regressor = MoCoPRegressor(**SMALL).fit(smiles, np.column_stack([labels * 9.0 + 50, np.arange(40)]))
    three = MoCoPClassifier(**SMALL, n_estimators=2).fit(smiles, groups)
    both = MoCoPClassifier(**SMALL).fit(smiles, Y)
    projected = MoCoPEmbedder(pretrained=embedder.model_, output="projection").fit(["C"])
    cosines = projected.transform(smiles) @ embedder.transform_profiles(profiles).T
    search = GridSearchCV(make_pipeline(frozen, Ridge()), {"ridge__alpha": [1.0]}, cv=2).fit(smiles, labels)
    columns = pd.DataFrame(z, columns=embedder.get_feature_names_out())
    named_columns = make_pipeline(StandardScaler(), LogisticRegression()).fit(columns, labels)
    return {
        "an embedder and a profile": (embedder, {"profiles": profiles[:1]}, cosines[:, 0]),
        "an embedder and a profile each": (embedder, {"profiles": profiles}, cosines.diagonal()),
        "classes": (three, {"task": 2}, three.decision_function(smiles)[:, 2]),
        "tasks": (both, {"task": 1}, both.decision_function(smiles)[:, 1]),
        "numbers": (regressor, {"task": 0}, regressor.predict(smiles)[:, 0]),
        "a decision": (logistic, {}, logistic.decision_function(smiles)),
        "a named class": (named, {"task": "b"}, named.decision_function(smiles)[:, 1]),
        "a list of probabilities": (several, {"task": 1}, several.predict_proba(smiles)[1][:, 1]),
        "a wrapped forest": (make_pipeline(frozen, forest), {}, forest.predict_proba(z)[:, 1]),
        "a search": (search, {}, search.predict(smiles)),
        "columns with names": (
            make_pipeline(frozen, *(step for _, step in named_columns.steps)),
            {},
            named_columns.decision_function(columns),
        ),
        "a frozen pipeline": (FrozenEstimator(logistic), {}, logistic.decision_function(smiles)),
        "a projection": (make_pipeline(projected, Ridge()).fit(smiles, labels), {}, None),
    }


def test_scores_are_those_of_the_estimator_and_what_is_masked_is_conserved(embedder, smiles, profiles, labels):
    for name, (estimator, asked, expected) in estimators(embedder, smiles, profiles, labels).items():
        asked = {key: value[20:28] if np.shape(value) == profiles.shape else value for key, value in asked.items()}
        found, scores, references = atom_attributions(estimator, smiles[20:28], n_orders=2, return_scores=True, **asked)
        expected = estimator.predict(smiles) if expected is None else expected
        np.testing.assert_allclose(scores, expected[20:28], rtol=1e-4, atol=1e-5, err_msg=name)
        sums = [atoms.sum() for atoms in found]
        np.testing.assert_allclose(sums, scores - references, atol=1e-9, err_msg=name)
        assert np.ptp(sums) > 0, name


def test_an_ensemble_is_explained_as_it_decides(classifier, smiles):
    scores = atom_attributions(classifier, smiles[:9], n_orders=1, return_scores=True)[1]
    np.testing.assert_allclose(scores, classifier.decision_function(smiles[:9]), atol=1e-5)


@pytest.mark.parametrize("method", ["masking", "gradient"])
def test_an_embedder_of_several_networks_is_explained_by_the_mean_of_their_cosines(method, smiles, profiles, tiny):
    """What else belongs to the shared space has no part in it."""
    settings = tiny | {"n_estimators": 2, "structure_weight": 0, "output": "projection"}
    plain = MoCoPEmbedder(**settings, local_scaling=False).fit(smiles, profiles)
    beside = MoCoPEmbedder(**settings | {"side_features": "ecfp"}).fit(smiles, profiles)
    cosines = (plain.transform(smiles[:5]) * plain.transform_profiles(profiles[:5])).sum(axis=1)
    for embedder in (plain, beside):
        asked = {"profiles": profiles[:5], "method": method, "n_orders": 1, "n_steps": 2, "return_scores": True}
        scores = atom_attributions(embedder, smiles[:5], **asked)[1]
        np.testing.assert_allclose(scores, cosines, atol=1e-5)


def test_the_gradient_conserves_in_the_limit(classifier, embedder, profiles):
    asymmetric = ["CCO", "CC(=O)N", "CCOC(C)=O", "OCCNC=O"]
    for estimator, asked in ((classifier, {}), (embedder, {"profiles": profiles[:1]})):
        found, scores, references = atom_attributions(
            estimator, asymmetric, method="gradient", n_steps=300, return_scores=True, **asked
        )
        size = np.abs(scores - references).max()
        np.testing.assert_allclose([a.sum() for a in found], scores - references, atol=0.02 * size)


def test_more_orders_come_closer_to_shapley_values(classifier):
    values = [atom_attributions(classifier, ["CC(C)CO"], n_orders=n)[0] for n in (2, 400, 4000)]
    assert np.abs(values[1] - values[2]).max() < 0.1 * np.abs(values[0] - values[2]).max() + 1e-3


@pytest.mark.slow
def test_a_planted_substructure_is_found():
    molecules = [Chem.MolFromSmiles(s) for s in dict.fromkeys(load_biogen_adme().smiles)]
    motif = Chem.MolFromSmarts("S(=O)(=O)")
    has = np.array([mol.HasSubstructMatch(motif) for mol in molecules])
    rows = np.concatenate([np.flatnonzero(has)[:120], np.flatnonzero(~has)[:120]])
    classifier = MoCoPClassifier(
        encoder="gine", n_layers=3, hidden_dim=32, embedding_dim=32, max_epochs=8, learning_rate=3e-3, random_state=0
    )
    classifier.fit([molecules[row] for row in rows], has[rows].astype(int))
    new = [molecules[row] for row in np.flatnonzero(has)[120:140]]
    aurocs = []
    for mol, atoms in zip(new, atom_attributions(classifier, new), strict=True):
        planted = np.isin(np.arange(len(atoms)), np.ravel(mol.GetSubstructMatches(motif)))
        aurocs.append(roc_auc_score(planted, atoms))
    assert np.mean(aurocs) > 0.9


# ---------------------------------------------------------------------------------------------
# which atom
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["masking", "gradient"])
def test_the_order_of_atoms_and_rows_does_not_matter(classifier, method):
    value = "CC(=O)Nc1ccc(O)c(F)c1"
    (expected,) = atom_attributions(classifier, [value], method=method)
    mol = Chem.MolFromSmiles(value)
    order = np.random.default_rng(0).permutation(mol.GetNumAtoms())
    shuffled = Chem.RenumberAtoms(mol, order.tolist())
    found = atom_attributions(classifier, ["CCO", shuffled, value], method=method)
    np.testing.assert_allclose(found[1], expected[order], atol=1e-5)
    np.testing.assert_allclose(found[2], expected, atol=1e-5)


@pytest.mark.parametrize("method", ["masking", "gradient"])
def test_atoms_alike_have_equal_attributions(classifier, method):
    (atoms,) = atom_attributions(classifier, ["CC(C)(C)c1ccccc1"], method=method)
    assert atoms[0] == atoms[2] == atoms[3]
    assert atoms[5] == atoms[9]
    assert atoms[6] == atoms[8] != atoms[7]


@pytest.mark.parametrize(
    ("value", "parent", "places"),
    [
        ("[Na+].[O-]C(=O)CCN", "NCCC(=O)O", [-1, 5, 3, 4, 2, 1, 0]),
        ("NCCC(=O)O.Cl", "NCCC(=O)O", [0, 1, 2, 3, 4, 5, -1]),
        ("[NH3+]CCC(=O)[O-]", "NCCC(=O)O", [0, 1, 2, 3, 4, 5]),
        ("[CH3:7][CH2:2][OH:1] ethanol", "CCO", [0, 1, 2]),
        ("[H]OC([H])C", "OCC", [0, 1, 2]),
        (Chem.AddHs(Chem.MolFromSmiles("OCC")), "OCC", [0, 1, 2, *[-1] * 6]),
        (Chem.MolFromSmiles("C1=CC=CC=C1O", sanitize=False), "c1ccccc1O", [0, 1, 2, 3, 4, 5, 6]),
        ("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", "CCO", [0, 1, 2]),
        ("N[C@@H](C)[C@H](C)C(=O)[O-].[K+]", "N[C@@H](C)[C@H](C)C(=O)O", [0, 1, 2, 3, 4, 5, 6, 7, -1]),
    ],
)
def test_atoms_are_those_that_were_given(classifier, value, parent, places):
    found, expected = atom_attributions(classifier, [value, parent], n_orders=2)
    np.testing.assert_allclose(found, np.append(expected, np.nan)[places], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "standardize"),
    [
        ("OC(=O)c1ccccc1", "parent"),
        ("NC=N", "parent"),
        ("[13CH3]CC", None),
        ("[NH3+]CCN", None),
        ("C[C@H](F)[C@H](F)[2H]", None),
    ],
)
def test_atoms_that_only_their_bonds_or_charges_tell_apart_keep_their_places(text, standardize):
    # the canonical SMILES, which a Mol passes through, has the same elements and bonds in another order
    classifier = MoCoPClassifier(standardize=standardize, max_epochs=0, random_state=0).fit(["CCO", "CCN"], [0, 1])
    mol = Chem.MolFromSmiles(text)
    forwards, backwards = mol, Chem.RenumberAtoms(mol, list(range(mol.GetNumAtoms()))[::-1])
    one, other = atom_attributions(classifier, [forwards, backwards])
    np.testing.assert_allclose(one, other[::-1], atol=1e-6)
    assert abs(one[0] - one[2]) > 1e-4


def test_a_standardiser_may_move_bonds_but_not_atoms():
    def enol(mol):
        return Chem.MolFromSmiles(Chem.MolToSmiles(mol).replace("CC(C)=O", "C=C(C)O"))

    def other(mol):
        return Chem.MolFromSmiles("CSC" + "C" * (mol.GetNumAtoms() % 3))

    model = MoCoPClassifier(**SMALL, standardize=enol).fit(["CC(C)=O", "CCO"], [0, 1])
    assert np.isfinite(atom_attributions(model, ["CC(C)=O"])[0]).all()
    model = MoCoPClassifier(**SMALL, standardize=other).fit(["CC(C)=O", "CCO"], [0, 1])
    with pytest.raises(ValueError, match=r"row 1: standardize makes 'CSC.*' of 'CCO', which has no such part"):
        atom_attributions(model, ["CSCCC", "CCO"])


# ---------------------------------------------------------------------------------------------
# what is refused
# ---------------------------------------------------------------------------------------------


def test_invalid_rows(classifier):
    with pytest.raises(ValueError, match=r"row 1: '\?'"):
        atom_attributions(classifier, ["CCO", "?"])
    classifier.invalid = "nan"
    try:
        with pytest.warns(UserWarning, match="1 of 2 rows"):
            found, scores, references = atom_attributions(classifier, ["?", "CCO"], return_scores=True)
    finally:
        classifier.invalid = "raise"
    assert found[0] is None
    assert np.isnan([scores[0], references[0]]).all()
    assert found[1].shape == (3,)


@pytest.mark.parametrize("encoder", ["gin", "gatv2", "pna", "attentivefp", "gps"])
@pytest.mark.parametrize("method", ["masking", "gradient"])
def test_encoders_of_torch_geometric(encoder, method, smiles, profiles, tiny):
    sizes = tiny | {"encoder": encoder, "max_epochs": 0, "side_features": None, "structure_weight": 0}
    embedder = MoCoPEmbedder(**sizes).fit(smiles[:10], profiles[:10])
    found = atom_attributions(embedder, ["C", "CCO", "c1ccccc1"], method=method, profiles=profiles[:1])
    assert [len(atoms) for atoms in found] == [1, 3, 6]
    assert np.isfinite(np.concatenate(found)).all()


def test_what_is_refused(embedder, classifier, smiles, profiles, labels, tiny):
    def attribute(estimator, **parameters):
        return atom_attributions(estimator, ["CCO", "C"], **parameters)

    with pytest.raises(ValueError, match="needs profiles="):
        attribute(embedder)
    with pytest.raises(ValueError, match="one row, or one for each of the 2 of X, got 3"):
        attribute(embedder, profiles=profiles[:3])
    with pytest.raises(ValueError, match="profiles belong to the retrieval score"):
        attribute(classifier, profiles=profiles[:1])
    with pytest.raises(ValueError, match=r"task must be one of the 1 task names \['task0'\], got 3"):
        attribute(classifier, task=3)
    with pytest.raises(ValueError, match="method must be one of 'masking', 'gradient', got 'lime'"):
        attribute(classifier, method="lime")
    with pytest.raises(ValueError, match="n_orders == 0"):
        attribute(classifier, n_orders=0)
    pipeline = make_pipeline(FrozenEstimator(embedder), LogisticRegression()).fit(smiles, np.arange(40) % 3)
    with pytest.raises(ValueError, match="no gradient with respect to atoms"):
        attribute(pipeline, method="gradient")
    with pytest.raises(ValueError, match=r"task must be one of the 3 class names \[0, 1, 2\]\."):
        attribute(pipeline)
    one_by_one = make_pipeline(FrozenEstimator(embedder), SVC(decision_function_shape="ovo"))
    for n_classes, n_pairs in ((3, 3), (4, 6)):
        with pytest.raises(ValueError, match=rf"{n_pairs} columns, which are not the {n_classes} classes but pairs"):
            attribute(one_by_one.fit(smiles, np.arange(40) % n_classes), task=1)
    scaled = MoCoPEmbedder(**tiny, output="projection").fit(smiles, profiles)
    projected = make_pipeline(FrozenEstimator(scaled), Ridge()).fit(smiles, labels)
    with pytest.raises(ValueError, match=r"local_scaling\), which atoms of the graph do not explain"):
        attribute(projected)
    with pytest.raises(TypeError, match="A LogisticRegression cannot be explained by atoms"):
        attribute(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    with pytest.warns(UserWarning, match="fewer than two classes"):
        constant = MoCoPClassifier(**SMALL).fit(smiles, np.column_stack([labels, 0 * labels]))
    with pytest.raises(ValueError, match="Task 1 had fewer than two different labels"):
        attribute(constant, task=1)
