import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from scipy.stats import chisquare
from sklearn.base import clone

from mocop_sklearn import MoCoPEmbedder, PairedProfiles
from mocop_sklearn.corpus import Corpus
from mocop_sklearn.featurize import featurize
from mocop_sklearn.pairs import average_by_group, read_pairs, split_molecules

# ---------------------------------------------------------------------------------------------
# Splitting
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def keys():
    """Three hundred molecules with 120 different keys, one to five of each."""
    return [f"key{i:03d}" for i in np.random.default_rng(0).permutation(np.arange(300) % 120)]


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.25, 0.5])
def test_split_keeps_keys_together(keys, fraction):
    training, validation = split_molecules(keys, fraction, seed=0)
    assert sorted([*training, *validation]) == list(range(300))
    held_out = {keys[i] for i in validation}
    assert len(held_out) == round(fraction * 120)
    assert held_out.isdisjoint(keys[i] for i in training)


def test_split_is_deterministic_and_hangs_on_the_seed(keys):
    one, again, other = (split_molecules(keys, 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert set(one) != set(other)


def test_split_does_not_hang_on_the_order_of_molecules(keys):
    order = np.random.default_rng(1).permutation(300)
    held_out = {keys[i] for i in split_molecules(keys, 0.2, 0)[1]}
    shuffled = [keys[i] for i in order]
    assert {shuffled[i] for i in split_molecules(shuffled, 0.2, 0)[1]} == held_out


def test_each_key_is_as_likely_to_be_held_out():
    keys = [f"{i:02d}" for i in range(20)]
    counts = np.zeros(20)
    for seed in range(600):
        counts[split_molecules(keys, 0.25, seed)[1]] += 1
    assert counts.sum() == 600 * 5
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(("n_keys", "fraction"), [(10, 0.0), (10, 0.1), (3, 0.9), (1, 0.5), (2, 0.5)])
def test_split_leaves_all_for_training_when_a_part_would_be_too_small(n_keys, fraction):
    training, validation = split_molecules([f"{i % n_keys}" for i in range(12)], fraction, seed=0)
    assert training.tolist() == list(range(12))
    assert validation.tolist() == []


# ---------------------------------------------------------------------------------------------
# Drawing
# ---------------------------------------------------------------------------------------------

MOLECULES = ["CCO", "c1ccccc1", "CCN", "CC(=O)O"]
N_REPLICATES = [3, 1, 5, 2]


@pytest.fixture
def molecule_of_row():
    """Molecule of each of eleven wells, in no order."""
    return np.random.default_rng(0).permutation(np.arange(4).repeat(N_REPLICATES))


@pytest.fixture
def corpus(molecule_of_row):
    """Profiles that say their row and their molecule."""
    profiles = np.stack([np.arange(11), molecule_of_row], axis=1).astype(np.float32)
    return Corpus.from_rows(featurize(MOLECULES, "paper").graphs, torch.from_numpy(profiles), molecule_of_row)


def test_draw_takes_each_replicate_as_often_and_no_other(corpus, molecule_of_row):
    rng = np.random.default_rng(0)
    counts = np.zeros(11)
    for _ in range(3000):
        molecules = rng.permutation(4)
        _, profiles, identity = corpus.draw(molecules, rng)
        assert identity.tolist() == molecules.tolist()
        assert profiles[:, 1].tolist() == molecules.tolist()
        np.add.at(counts, profiles[:, 0].long().numpy(), 1)
    for molecule, n in enumerate(N_REPLICATES):
        own = counts[molecule_of_row == molecule]
        assert own.sum() == 3000
        assert len(own) == n
        assert n == 1 or chisquare(own).pvalue > 0.001


def test_draw_gives_the_graphs_in_order(corpus):
    order = np.array([2, 0, 3])
    graph, _, _ = corpus.draw(order, np.random.default_rng(0))
    expected = featurize([MOLECULES[i] for i in order], "paper").graphs.collate()
    assert torch.equal(graph.x, expected.x)
    assert graph.atoms_per_molecule.tolist() == [3, 3, 4]


def test_draw_is_deterministic(corpus):
    one, again, other = (corpus.draw(np.arange(4), np.random.default_rng(seed))[1] for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_averaged(corpus, molecule_of_row):
    expected = torch.stack([corpus.profiles[torch.from_numpy(molecule_of_row == i)].mean(dim=0) for i in range(4)])
    averaged = corpus.averaged()
    assert len(averaged) == 4
    torch.testing.assert_close(averaged.profiles, expected)
    _, profiles, _ = averaged.draw(np.array([3, 1]), np.random.default_rng(0))
    torch.testing.assert_close(profiles, expected[[3, 1]])
    torch.testing.assert_close(averaged.averaged().profiles, expected)


def test_average_by_group_agrees_with_a_loop():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.arange(40) % 7)
    rows = rng.normal(size=(40, 5)).astype(np.float32)
    expected = np.array([rows[group == g].mean(axis=0) for g in range(7)])
    averages = average_by_group(rows, group)
    np.testing.assert_allclose(averages, expected, rtol=1e-5)
    assert averages.dtype == np.float32
    np.testing.assert_array_equal(average_by_group(rows[:3], np.array([2, 0, 1])), rows[[1, 2, 0]])


# ---------------------------------------------------------------------------------------------
# PairedProfiles
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def pairs():
    return PairedProfiles(["CCO", "CCN", "CCO"], np.arange(12.0).reshape(3, 4))


def test_pairs_hold_molecules_and_profiles(pairs):
    assert pairs.molecules == ["CCO", "CCN", "CCO"]
    assert pairs.profiles.dtype == np.float32
    assert pairs.profiles.shape == (3, 4)
    assert pairs.feature_names is None
    assert len(pairs) == 3
    assert repr(pairs) == "PairedProfiles(3 rows, 4 features)"


def test_pairs_are_never_copied(pairs):
    assert copy.copy(pairs) is pairs
    assert copy.deepcopy(pairs) is pairs
    assert clone(MoCoPEmbedder(pairs=pairs)).pairs is pairs
    with pytest.raises(ValueError, match="read-only"):
        pairs.profiles[0, 0] = 1


def test_digest_hangs_on_all_the_content(pairs):
    matrix = np.arange(12.0).reshape(3, 4)
    assert PairedProfiles(np.array(["CCO", "CCN", "CCO"]), matrix.astype(np.float32)).digest == pairs.digest
    assert pickle.loads(pickle.dumps(pairs)).digest == pairs.digest
    as_mols = PairedProfiles([Chem.MolFromSmiles(s) for s in pairs.molecules], matrix)
    assert as_mols.digest == pairs.digest

    changed = matrix.copy()
    changed[2, 3] += 1e-3
    others = [
        PairedProfiles(["CCO", "CCN", "CCO"], changed),
        PairedProfiles(["CCO", "CCN", "CCC"], matrix),
        PairedProfiles(["CCN", "CCO", "CCO"], matrix),
        PairedProfiles(["CCO", "CCN"], matrix.ravel()[:8].reshape(2, 4)),
        PairedProfiles(["CCO", "CCN", "CCO"], pd.DataFrame(matrix, columns=list("abcd"))),
        PairedProfiles(["CCO", "CCN", "CCO"], pd.DataFrame(matrix, columns=list("abdc"))),
        PairedProfiles(["CCO", "CCN", "CCO"], matrix[:, ::-1]),
        PairedProfiles(["CCO", "CCN", None], matrix),
    ]
    assert len({other.digest for other in [pairs, *others]}) == 1 + len(others)


def test_names_come_from_a_frame_without_metadata():
    frame = pd.DataFrame({"Metadata_Plate": ["a", "b"], "Cells_Area": [1.0, 2.0], "Nuclei_Area": [3, 4]})
    pairs = PairedProfiles(["CCO", "CCN"], frame)
    assert pairs.feature_names == ["Cells_Area", "Nuclei_Area"]
    assert pairs.profiles.tolist() == [[1, 3], [2, 4]]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"profiles has 3 rows but X has 2"):
        PairedProfiles(["CCO", "CCN"], np.eye(3))


@pytest.fixture
def wells():
    return pd.DataFrame(
        {
            "Metadata_Plate": ["p1", "p1", "p2", "p2"],
            "Metadata_SMILES": ["CCO", None, "CCN", " "],
            "Metadata_Dose": [1.0, 2.0, 3.0, 4.0],
            "Cells_Area": [0.5, 1.5, np.nan, 3.5],
            "Nuclei_Count": [10, 20, 30, 40],
            "comment": ["", "x", "", ""],
        }
    )


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz", "tsv"])
def test_from_file(tmp_path, wells, suffix):
    path = tmp_path / f"wells.{suffix}"
    if suffix == "parquet":
        wells.to_parquet(path)
    else:
        wells.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    with pytest.warns(UserWarning, match=r"2 of 4 wells in .* have no structure and are left out"):
        pairs = PairedProfiles.from_file(path)
    assert pairs.molecules == ["CCO", "CCN"]
    assert pairs.feature_names == ["Cells_Area", "Nuclei_Count"]
    np.testing.assert_array_equal(pairs.profiles, np.array([[0.5, 10], [np.nan, 30]], dtype=np.float32))
    expected = PairedProfiles(["CCO", "CCN"], wells.loc[[0, 2], ["Cells_Area", "Nuclei_Count"]])
    assert pairs.digest == expected.digest


@pytest.mark.parametrize("column", ["smiles", "SMILES", "canonical_smiles", "Metadata_InChI", "InChI"])
def test_from_file_finds_the_structures(tmp_path, wells, column):
    wells.rename(columns={"Metadata_SMILES": column}).iloc[[0, 2]].to_csv(tmp_path / "wells.csv", index=False)
    assert PairedProfiles.from_file(tmp_path / "wells.csv").molecules == ["CCO", "CCN"]


def test_from_file_with_columns_by_name(tmp_path, wells):
    path = tmp_path / "wells.csv"
    wells.rename(columns={"Metadata_SMILES": "structure"}).iloc[[0, 2]].to_csv(path, index=False)
    pairs = PairedProfiles.from_file(path, smiles="structure", features=["Nuclei_Count"])
    assert pairs.molecules == ["CCO", "CCN"]
    assert pairs.profiles.tolist() == [[10], [30]]
    with pytest.raises(ValueError, match=r"lacks the feature columns \['Cells_Volume'\]"):
        PairedProfiles.from_file(path, smiles="structure", features=["Nuclei_Count", "Cells_Volume"])
    with pytest.raises(ValueError, match=r"has no column 'SMILES'.*structure"):
        PairedProfiles.from_file(path, smiles="SMILES")
    with pytest.raises(ValueError, match="Name the column that holds the SMILES"):
        PairedProfiles.from_file(path)


def test_from_file_that_cannot_serve(tmp_path, wells):
    with pytest.raises(FileNotFoundError, match="No table at"):
        PairedProfiles.from_file(tmp_path / "none.csv")
    path = tmp_path / "empty.csv"
    wells.assign(Metadata_SMILES="").to_csv(path, index=False)
    with pytest.raises(ValueError, match="no row with a structure"):
        PairedProfiles.from_file(path)
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        PairedProfiles.from_file(path)
    path = tmp_path / "wells.xlsx"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"no .parquet, .csv or .tsv file"):
        PairedProfiles.from_file(path)
    path = tmp_path / "labels.csv"
    wells[["Metadata_SMILES", "comment"]].to_csv(path, index=False)
    with pytest.raises(ValueError, match="has no numeric ones"):
        PairedProfiles.from_file(path)


def test_columns_can_be_named(pairs):
    named = PairedProfiles(pairs.molecules, pairs.profiles, [f"f{i}" for i in range(pairs.profiles.shape[1])])
    assert named.feature_names[0] == "f0"
    assert named.digest != pairs.digest
    with pytest.raises(ValueError, match="There are 1 feature_names for"):
        PairedProfiles(pairs.molecules, pairs.profiles, ["f0"])


def test_from_file_with_nullable_columns(tmp_path):
    frame = pd.DataFrame({"SMILES": ["C", "CC"], "a": [1.5, None], "b": [2, 3]}).convert_dtypes()
    frame.to_parquet(tmp_path / "wells.parquet")
    pairs = PairedProfiles.from_file(tmp_path / "wells.parquet")
    np.testing.assert_array_equal(pairs.profiles, [[1.5, 2], [np.nan, 3]])


def test_read_pairs_stacks_files(tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.parquet"
    pd.DataFrame({"SMILES": ["C", "CC"], "Cells_a": [1, 2], "Cells_b": [3, 4], "x": [5, 6]}).to_csv(first, index=False)
    pd.DataFrame({"x": [9], "Cells_b": [8], "Cells_a": [7], "y": [0], "smiles": ["N"]}).to_parquet(second)
    pairs = read_pairs([first, second], features=["x", "Cells_*"])
    assert pairs.molecules == ["C", "CC", "N"]
    assert pairs.feature_names == ["Cells_a", "Cells_b", "x"]
    assert pairs.profiles.tolist() == [[1, 3, 5], [2, 4, 6], [7, 8, 9]]
    assert read_pairs([first, second], columns="intersection").digest == pairs.digest
    assert read_pairs([first]).digest == PairedProfiles.from_file(first).digest
    with pytest.raises(ValueError, match=r"first.csv' lacks 1 feature columns that another file has: \['y'\]"):
        read_pairs([first, second])
    with pytest.raises(ValueError, match=r"first.csv' has no numeric column \['y'\]"):
        read_pairs([first, second], features=["x", "y"])
    pd.DataFrame({"smiles": ["N"], "z": [1.0]}).to_parquet(second)
    with pytest.raises(ValueError, match="no feature column in common"):
        read_pairs([first, second], columns="intersection")
