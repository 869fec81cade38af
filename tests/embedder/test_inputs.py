"""What molecules and profiles the embedder takes, and from where."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from rdkit import Chem
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from mocop_sklearn import MoCoPEmbedder, PairedProfiles


def object_array(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def inchi(smiles):
    """The InChI, but the SMILES of an amide: InChI names no tautomer, and RDKit reads an imidic acid."""
    return smiles if "C(=O)N" in smiles else Chem.MolToInchi(Chem.MolFromSmiles(smiles))


CONTAINERS = {
    "tuple": tuple,
    "generator": iter,
    "array of str": np.array,
    "array of objects": object_array,
    "column of an array": lambda s: np.array(s)[:, None],
    "rows of one": lambda s: [[value] for value in s],
    "Series of objects": lambda s: pd.Series(s, dtype=object),
    "Series of str": lambda s: pd.Series(s, dtype="str", index=range(40, 0, -1)),
    "Series of string[python]": lambda s: pd.Series(s, dtype="string[python]"),
    "Series of string[pyarrow]": lambda s: pd.Series(s, dtype="string[pyarrow]"),
    "Series of categories": lambda s: pd.Series(s, dtype="category"),
    "Index": pd.Index,
    "DataFrame": lambda s: pd.DataFrame({"smiles": s}),
    "DataFrame of string[pyarrow]": lambda s: pd.DataFrame({"smiles": s}, dtype="string[pyarrow]"),
    "polars Series": pl.Series,
    "polars Series of categories": lambda s: pl.Series(s, dtype=pl.Categorical),
    "polars DataFrame": lambda s: pl.DataFrame({"smiles": s}),
    "Mol": lambda s: [Chem.MolFromSmiles(value) for value in s],
    "Mol and SMILES": lambda s: [Chem.MolFromSmiles(value) if i % 2 else value for i, value in enumerate(s)],
    "array of Mol": lambda s: object_array([Chem.MolFromSmiles(value) for value in s]),
    "Series of Mol": lambda s: pd.Series([Chem.MolFromSmiles(value) for value in s]),
    "CXSMILES": lambda s: [f"{value} |c:0|" if i % 2 else f"{value} |junk" for i, value in enumerate(s)],
    "InChI": lambda s: [inchi(value) for value in s],
    "surrounding blanks": lambda s: [f" {value}\n" for value in s],
    "another order of atoms": lambda s: [Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(v), 1, 7)[0] for v in s],
    "Kekulé": lambda s: [Chem.MolToSmiles(Chem.MolFromSmiles(value), kekuleSmiles=True) for value in s],
    "salts": lambda s: [f"{value}.Cl" if len(value) > 3 else value for value in s],
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_embedding(fitted, smiles, container):
    Z = fitted.transform(CONTAINERS[container](smiles))
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z, fitted.transform(smiles), atol=1e-5)


def test_fit_takes_every_container(fitted, smiles, profiles, tiny):
    for X, P in (
        (pd.Series(smiles), pd.DataFrame(profiles)),
        (pl.DataFrame({"smiles": smiles}), pl.DataFrame(profiles)),
        (np.array(smiles)[:, None], profiles.tolist()),
        (iter(smiles), profiles.astype(np.float32)),
        (tuple(smiles), pd.DataFrame(profiles).astype("Float64")),
    ):
        embedder = MoCoPEmbedder(**tiny).fit(X, P)
        np.testing.assert_array_equal(embedder.transform(smiles), fitted.transform(smiles))
    canonical = MoCoPEmbedder(**tiny).fit([Chem.CanonSmiles(s) for s in smiles], profiles)
    assert MoCoPEmbedder(**tiny).fit([Chem.MolFromSmiles(s) for s in smiles], profiles).digest_ == canonical.digest_


def test_a_table_of_wells(smiles, profiles, tiny):
    frame = pd.DataFrame(profiles, columns=[f"Cells_{i}" for i in range(24)])
    frame.insert(0, "Metadata_Plate", "P1")
    embedder = MoCoPEmbedder(**tiny).fit(smiles, frame)
    assert embedder.model_.profile_features == [f"Cells_{i}" for i in range(24)]
    expected = embedder.transform_profiles(profiles)
    np.testing.assert_array_equal(embedder.transform_profiles(frame[frame.columns[::-1]]), expected)
    np.testing.assert_array_equal(embedder.transform_profiles(pl.from_pandas(frame)), expected)


def test_extreme_profiles(smiles, profiles, tiny):
    P = profiles.copy()
    P[0, :5] = 1e300, -1e300, np.inf, -np.inf, np.nan
    P[1, 5:7] = 3e38, -3e38
    embedder = MoCoPEmbedder(**tiny).fit(smiles, P)
    assert np.isfinite(embedder.transform_profiles(P)).all()
    assert np.isfinite(embedder.score(smiles, P))


def test_the_sources_of_profiles_agree(fitted, smiles, profiles, tiny):
    assert MoCoPEmbedder(**tiny).fit(smiles, profiles).digest_ == fitted.digest_
    assert MoCoPEmbedder(**tiny, pairs=(smiles, profiles)).fit(["CCO"]).digest_ == fitted.digest_
    assert MoCoPEmbedder(**tiny, pairs=PairedProfiles(smiles, profiles)).fit(["CCO"], [0]).digest_ == fitted.digest_
    assert MoCoPEmbedder(pretrained=fitted).fit(["CCO"], [0]).digest_ == fitted.digest_


def test_the_first_source_wins(fitted, smiles, profiles, labels, tiny):
    P, other, third = profiles, profiles[::-1], profiles[:, ::-1]
    embedder = MoCoPEmbedder(**tiny, pairs=(smiles, other))
    assert embedder.fit(smiles, third, profiles=P).digest_ == fitted.digest_
    from_pairs = MoCoPEmbedder(**tiny).fit(smiles, other).digest_
    assert embedder.fit(smiles, third).digest_ == embedder.fit(smiles, labels).digest_ == from_pairs
    assert MoCoPEmbedder(**tiny).fit(smiles, labels, profiles=P).digest_ == fitted.digest_


def test_pretrained_takes_files_and_estimators(fitted, model_file, smiles):
    for pretrained in (model_file, str(model_file), fitted, fitted.model_, FrozenEstimator(fitted)):
        embedder = MoCoPEmbedder(pretrained=pretrained).fit(smiles)
        assert embedder.digest_ == fitted.digest_
        assert embedder.history_ == fitted.history_
        np.testing.assert_array_equal(embedder.transform(smiles), fitted.transform(smiles))


def test_training_goes_on_from_pretrained_weights(smiles, profiles, tiny):
    fitted = MoCoPEmbedder(**tiny, local_scaling=False).fit(smiles, profiles)
    subset = {"X": smiles[:20], "y": profiles[:20] + 0.5}
    still = MoCoPEmbedder(pretrained=fitted.model_, max_epochs=0, side_features=None, local_scaling=False)
    still.fit(**subset)
    assert still.score(smiles, profiles) == pytest.approx(fitted.score(smiles, profiles), abs=1e-6)
    np.testing.assert_allclose(still.transform(smiles), fitted.transform(smiles), atol=1e-6)
    # scaled as the model was, although these profiles have another centre
    np.testing.assert_array_equal(still.profile_transformer_.center_, fitted.profile_transformer_.center_)
    moved = clone(still).set_params(max_epochs=1, learning_rate=1e-2).fit(**subset)
    assert not np.allclose(moved.transform(smiles), fitted.transform(smiles))
    fresh = MoCoPEmbedder(**_shape_of(fitted), max_epochs=0, random_state=0).fit(**subset)
    assert not np.allclose(fresh.transform(smiles), fitted.transform(smiles))


def test_training_goes_on_at_its_own_temperature(fitted, smiles, profiles, tiny):
    on = MoCoPEmbedder(pretrained=fitted, **tiny | {"temperature": 0.5}).fit(smiles, profiles=profiles)
    assert on.history_[0]["temperature"] == pytest.approx(0.5)


def _shape_of(embedder):
    shape = embedder.model_.architecture.as_dict()
    del shape["n_profile_features"], shape["n_structure_targets"]
    return shape


def test_molecules_seen_add_up(fitted, smiles, profiles):
    more = MoCoPEmbedder(pretrained=fitted, max_epochs=1, random_state=0).fit(["CCCCCCO", "CCCCCCN"], profiles[:2])
    new = {Chem.MolToInchiKey(Chem.MolFromSmiles(s))[:14] for s in ("CCCCCCO", "CCCCCCN")}
    assert set(more.molecule_keys_) == set(fitted.molecule_keys_) | new
    assert len(fitted.molecule_keys_) == 40
    assert fitted.molecule_keys_.tolist() == sorted(fitted.molecule_keys_)


def test_max_atoms(smiles, profiles, tiny, fitted):
    large = [i for i, s in enumerate(smiles) if Chem.MolFromSmiles(s).GetNumHeavyAtoms() > 8]
    assert 0 < len(large) < len(smiles)
    bounded = MoCoPEmbedder(**tiny, max_atoms=8, invalid="nan")
    with pytest.warns(UserWarning, match=f"{len(large)} of {len(smiles)} rows(.|\\n)*atoms, more than max_atoms=8"):
        bounded.fit(smiles, profiles=profiles)
    kept = np.setdiff1d(np.arange(len(smiles)), large)
    twin = MoCoPEmbedder(**tiny).fit([smiles[i] for i in kept], profiles=profiles[kept])
    for name, weights in twin.model_.weights.items():
        np.testing.assert_array_equal(bounded.model_.weights[name], weights)
    with pytest.warns(UserWarning, match="more than max_atoms=8"):
        z = bounded.transform(smiles)
    assert np.flatnonzero(np.isnan(z).any(axis=1)).tolist() == large
    with pytest.raises(ValueError, match=f"row {large[0]}: (.|\\n)*more than max_atoms=8"):
        MoCoPEmbedder(**tiny, max_atoms=8).fit(smiles, profiles=profiles)
    with pytest.raises(ValueError, match="40 of 40 rows"):
        MoCoPEmbedder(**tiny, max_atoms=1, invalid="nan").fit(smiles, profiles=profiles)
    np.testing.assert_array_equal(
        MoCoPEmbedder(pretrained=fitted, max_atoms=1000).fit(smiles).transform(smiles), fitted.transform(smiles)
    )
