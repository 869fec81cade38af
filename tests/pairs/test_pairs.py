import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from rdkit import Chem
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.model_selection import GroupShuffleSplit

from mocop_sklearn import MoCoPEmbedder, PairedProfiles, build_pairs
from mocop_sklearn.model_selection import molecule_groups, overlap, scaffold_groups
from mocop_sklearn.molecules._parse import connectivity_key
from mocop_sklearn.pairs._pairs import average_by_group, open_pairs, read_pairs, split_molecules

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


# ---------------------------------------------------------------------------------------------
# Labels, doses, weights
# ---------------------------------------------------------------------------------------------


def labelled(n=12, seed=0):
    """Wells of two sources with all that pairs can hold."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 4)).astype(np.float32), columns=[f"Cells_{c}" for c in "abcd"])
    frame["Metadata_Source"] = np.where(np.arange(n) % 3 == 0, "s2", "s1")
    frame["Metadata_Batch"] = "b1"
    frame["Metadata_Plate"] = [f"P{i % 4}" for i in range(n)]
    frame["Metadata_Well"] = [f"A{i:02d}" for i in range(n)]
    molecules = ["CCO", "CCN", "Cc1ccccc1", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "OCCc1ccccc1"]
    return [molecules[i % 6] for i in range(n)], frame, np.arange(1, n + 1.0), np.arange(n) % 5


@pytest.fixture(params=["memory", "store"])
def many(request, tmp_path):
    """The same twelve rows in memory and stored."""
    molecules, frame, doses, weights = labelled()
    if request.param == "memory":
        return PairedProfiles(molecules, frame, doses=doses, sample_weight=weights)
    table = frame.assign(Metadata_SMILES=molecules, Metadata_Dose=doses, Metadata_Share=weights)
    table.to_parquet(tmp_path / "wells.parquet")
    columns = {"dose_column": "Metadata_Dose", "weight_column": "Metadata_Share", "plate_columns": "Metadata_Plate"}
    options = {"normalizer": "passthrough", "dtype": "float32"}
    return build_pairs(tmp_path / "pairs", [tmp_path / "wells.parquet"], **columns, **options)


def test_labels_doses_and_weights(many):
    molecules, frame, doses, weights = labelled()
    assert many.molecules == molecules
    np.testing.assert_array_equal(many.profiles, frame.filter(like="Cells_"))
    for name, column in [("sources", "Source"), ("batches", "Batch"), ("plates", "Plate"), ("wells", "Well")]:
        assert getattr(many, name).tolist() == frame[f"Metadata_{column}"].tolist()
    assert many.source_codes.tolist() == (frame["Metadata_Source"] == "s2").astype(int).tolist()
    np.testing.assert_array_equal(many.doses, doses)
    np.testing.assert_array_equal(many.sample_weight, weights)
    assert many.doses.dtype == many.sample_weight.dtype == np.float32
    assert many.has_values().all()


def test_what_is_unknown_is_none(pairs):
    names = ("sources", "batches", "plates", "wells", "doses", "sample_weight", "source_codes")
    assert [getattr(pairs, name) for name in names] == [None] * 7
    assert [getattr(pairs[1:], name) for name in names] == [None] * 7
    assert pairs.report_ == pairs.recipe_ == {}


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_labels_come_from_any_kind_of_frame(frame):
    pairs = PairedProfiles(
        ["CCO", "CCN"], frame({"Metadata_Plate": [2, 1], "Metadata_Other": ["a", "b"], "x": [0.5, 1]})
    )
    assert pairs.plates.tolist() == ["2", "1"]
    assert pairs.feature_names == ["x"]
    assert pairs.sources is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample_weight": [1.0, -1.0, 1.0]}, "sample_weight must be finite, not negative, and not all 0"),
        ({"sample_weight": [1.0, np.nan, 1.0]}, "sample_weight must be finite"),
        ({"sample_weight": [1.0, np.inf, 1.0]}, "sample_weight must be finite"),
        ({"sample_weight": [0, 0, 0]}, "not all 0"),
        ({"feature_names": ["a"]}, "There are 1 feature_names for 3 features"),
        ({"feature_names": ["a", "a", "b"]}, r"feature_names holds \['a'\] more than once"),
        ({"sample_weight": [1.0, 1.0]}, r"sample_weight has shape \(2,\) but there are 3 rows: pass one value per row"),
        ({"doses": [1.0]}, r"doses has shape \(1,\) but there are 3 rows"),
        ({"doses": np.eye(3)}, r"doses has shape \(3, 3\) but there are 3 rows"),
        ({"doses": ["high", "low", "low"]}, "could not convert string to float"),
    ],
)
def test_numbers_that_cannot_be(values, message):
    with pytest.raises(ValueError, match=message):
        PairedProfiles(["CCO", "CCN", "CCC"], np.eye(3), **values)


# ---------------------------------------------------------------------------------------------
# Views
# ---------------------------------------------------------------------------------------------

ROWS = [
    slice(None),
    slice(2, 9, 3),
    [0, 5, 5, 11],
    [-1, 0],
    np.arange(12) % 2 == 0,
    np.array([7]),
    slice(None, None, -1),
]


def same(pairs, other):
    assert len(pairs) == len(other)
    assert pairs.molecules == other.molecules
    assert pairs.feature_names == other.feature_names
    assert pairs.n_features == other.n_features
    for name in ("profiles", "sources", "batches", "plates", "wells", "doses", "sample_weight", "source_codes"):
        np.testing.assert_array_equal(getattr(pairs, name), getattr(other, name))


@pytest.mark.parametrize("rows", ROWS, ids=repr)
def test_a_view_has_some_rows_of_all(many, rows):
    view = many[rows]
    assert view.molecules == np.array(many.molecules)[rows].tolist()
    for name in ("profiles", "sources", "plates", "wells", "doses", "sample_weight", "source_codes"):
        np.testing.assert_array_equal(getattr(view, name), getattr(many, name)[rows])
    unique, place = view.distinct_molecules()
    assert [unique[i] for i in place] == view.molecules
    assert sorted(set(unique)) == sorted(unique) == sorted(set(view.molecules))
    assert repr(view) == f"PairedProfiles({len(view)} rows, 4 features)"
    assert view.has_values().tolist() == [True] * len(view)


def test_views_of_views(many):
    rows = np.array([9, 2, 4, 4, 0])
    same(many[rows][[3, 0]], many[rows[[3, 0]]])
    same(many[rows][1:].select_features([2, 0]), many.select_features([2, 0])[rows][1:])
    same(many.select_features([3, 1, 0]).select_features([2, 0]), many.select_features([0, 3]))
    same(many[rows].with_dose()[::-1], many[rows[::-1]].with_dose())
    same(many[rows].with_dose().with_dose(), many.with_dose()[rows])
    assert many[rows][[3, 0]].digest == many[rows[[3, 0]]].digest
    assert many.select_features([3, 1, 0]).select_features([2, 0]).digest == many.select_features([0, 3]).digest


def test_a_frame_of_booleans_or_a_series_chooses_rows(many):
    same(many[pd.Series(many.doses) < 5], many[:4])
    same(many[(many.doses < 5).tolist()], many[:4])


def test_a_float32_matrix_is_not_copied():
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    pairs = PairedProfiles(["C", "CC", "CCC", "CO"], matrix)
    assert np.shares_memory(pairs.profiles, matrix)
    assert np.shares_memory(pairs.read(slice(1, 3)), matrix)


def test_some_rows_are_read(many):
    for view in (many, many[[5, 1, 8, 8]], many.select_features([2, 0]), many[3:].with_dose()):
        for rows in ([0, 2], slice(1, 3), np.arange(len(view)) == 1):
            np.testing.assert_array_equal(view.read(rows), view.profiles[rows])


@pytest.mark.parametrize("rows", [[], slice(0, 0), np.zeros(12, dtype=bool), 3, np.array([[0, 1]])], ids=repr)
def test_a_view_has_at_least_one_row(many, rows):
    with pytest.raises((ValueError, IndexError), match=r"Choose at least one row|arrays used as indices"):
        many[rows]


@pytest.mark.parametrize("rows", [[12], np.ones(11, dtype=bool), [-13]], ids=repr)
def test_rows_that_are_not_there(many, rows):
    with pytest.raises(IndexError, match=r"out of bounds|did not match"):
        many[rows]


def test_the_dose_is_the_last_feature(many):
    view = many.with_dose()
    assert view.feature_names == [*many.feature_names, "Log10Dose"]
    assert view.n_features == 5
    np.testing.assert_allclose(view.profiles[:, -1], np.log10(np.arange(1, 13)), rtol=1e-6)
    np.testing.assert_array_equal(view.profiles[:, :-1], many.profiles)
    with pytest.raises(ValueError, match="Choose features before the dose is added to them"):
        view.select_features([0])
    assert len({view.digest, many.digest, many[1:].digest, view[1:].digest}) == 4


def test_doses_that_have_no_logarithm():
    molecules, frame, doses, _ = labelled()
    with pytest.raises(ValueError, match="These pairs have no doses: give doses="):
        PairedProfiles(molecules, frame).with_dose()
    doses[[3, 7]] = 0, np.nan
    pairs = PairedProfiles(molecules, frame, doses=doses)
    with pytest.raises(ValueError, match=r"Row 3 has the dose 0.0; a logarithm needs doses above 0: leave it out"):
        pairs.with_dose()
    view = pairs[pairs.doses != 0].with_dose()
    assert np.isnan(view.profiles[:, -1]).tolist() == [False] * 6 + [True] + [False] * 4


def test_digests_of_views_tell_them_apart(many):
    views = [many, many[:6], many[6:], many[::-1], many[[0, 1]], many[[1, 0]], many[[0, 0]], many.select_features([0]),
             many.select_features([1]), many.select_features([0, 1]), many[[0]].select_features([0]), many.with_dose(),
             many.select_features([1, 0, 2, 3]), many[:6].with_dose()]  # fmt: skip
    assert len({view.digest for view in views}) == len(views)
    assert many[2:5].digest == many[[2, 3, 4]].digest == many[1:][1:4].digest
    for view in views:
        again = pickle.loads(pickle.dumps(view))
        assert again.digest == view.digest
        same(again, view)


def test_a_digest_hangs_on_sources_and_weights_alone_among_labels():
    molecules, frame, doses, weights = labelled()
    pairs = PairedProfiles(molecules, frame, sample_weight=weights, doses=doses)
    other_source = frame.assign(Metadata_Source="s1")
    assert PairedProfiles(molecules, other_source, sample_weight=weights).digest != pairs.digest
    assert PairedProfiles(molecules, frame, sample_weight=weights + 1).digest != pairs.digest
    assert PairedProfiles(molecules, frame).digest != pairs.digest
    # what no fit reads
    assert PairedProfiles(molecules, frame.assign(Metadata_Well="x"), sample_weight=weights).digest == pairs.digest


# ---------------------------------------------------------------------------------------------
# Hold-outs
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "groups",
    [
        lambda pairs: pairs.plates,
        lambda pairs: pairs.sources,
        lambda pairs: molecule_groups(pairs.molecules),
        lambda pairs: scaffold_groups(pairs.molecules),
    ],
    ids=["plates", "sources", "molecules", "scaffolds"],
)
def test_hold_outs_by_group(many, groups):
    group = groups(many)
    splitter = GroupShuffleSplit(n_splits=3, test_size=0.5, random_state=0)
    for training, test in splitter.split(many.molecules, groups=group):
        ours, theirs = many[training], many[test]
        assert len(ours) + len(theirs) == len(many)
        assert set(group[training]).isdisjoint(group[test])
        np.testing.assert_array_equal(ours.profiles, many.profiles[training])
        np.testing.assert_array_equal(theirs.wells, many.wells[test])


def test_a_hold_out_by_molecule_keeps_isomers_together(many):
    group = molecule_groups(many.molecules)
    training, test = next(GroupShuffleSplit(random_state=1).split(many.molecules, groups=group))
    keys = [{connectivity_key(Chem.MolFromSmiles(s)) for s in many[rows].molecules} for rows in (training, test)]
    assert keys[0].isdisjoint(keys[1])


def test_only_the_training_part_is_learned(many, tiny):
    training, test = next(
        GroupShuffleSplit(random_state=0).split(many.molecules, groups=molecule_groups(many.molecules))
    )
    embedder = MoCoPEmbedder(**tiny | {"max_epochs": 1}, pairs=many[training]).fit(many.molecules)
    assert not overlap(embedder, many[test].molecules).any()
    assert overlap(embedder, np.array(many.molecules)[training][many[training].sample_weight > 0]).all()


# ---------------------------------------------------------------------------------------------
# open_pairs
# ---------------------------------------------------------------------------------------------


def test_open_pairs_takes_tables_and_stores(tmp_path):
    molecules, frame, _, _ = labelled()
    path = tmp_path / "wells.parquet"
    frame.assign(Metadata_SMILES=molecules).to_parquet(path)
    stored = build_pairs(tmp_path / "pairs", [path], normalizer="passthrough", dtype="float32")
    for name in (tmp_path / "pairs", str(tmp_path / "pairs")):
        assert open_pairs(name).digest == stored.digest == PairedProfiles.open(name).digest
    table = open_pairs(path)
    assert table.digest == PairedProfiles.from_file(path).digest
    assert table.sources.tolist() == frame["Metadata_Source"].tolist()
    assert table.molecules == molecules
    np.testing.assert_array_equal(table.profiles, stored.profiles)
    with pytest.raises(FileNotFoundError, match="No table at"):
        open_pairs(tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="holds no stored pairs"):
        open_pairs(tmp_path)


def test_read_pairs_keeps_the_labels_that_all_files_have(tmp_path):
    paths = []
    for i in range(2):
        molecules, frame, _, _ = labelled(seed=i)
        frame = frame.assign(Metadata_SMILES=molecules, Metadata_Plate=f"P{i}")
        paths.append(tmp_path / f"{i}.parquet")
        (frame if i else frame.drop(columns="Metadata_Batch")).to_parquet(paths[-1])
    pairs = read_pairs(paths)
    assert pairs.plates.tolist() == ["P0"] * 12 + ["P1"] * 12
    assert pairs.sources[12:].tolist() == frame["Metadata_Source"].tolist()
    assert pairs.batches is None
