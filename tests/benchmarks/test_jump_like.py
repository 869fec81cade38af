"""Plates as JUMP-CP's: layout of files, the documented equations, determinism, and the oracle's retrieval."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from simulation import jump_like_retrieval, make_jump_like, planted_effects, planted_states
from simulation.layout import POSITIVE_CONTROLS, plate_order
from simulation.plates import BLOCKED, make_columns

from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer

pytestmark = pytest.mark.filterwarnings("error")

SHARED = Path(__file__).parents[3] / "shared" / "data"
DMSO, EMPTY = "JCP2022_033924", "JCP2022_999999"
QUIET = {
    "source_effect": 0.0, "batch_effect": 0.0, "plate_effect": 0.0, "position_effect": 0.0, "noise": 0.0,
    "outlier_fraction": 0.0,
}  # fmt: skip
SMALL = {"n_plates": 4, "n_features": 30, "n_useless": 8, "random_state": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_jump_like(tmp_path_factory.mktemp("jump"), n_plates=16, n_features=60, n_useless=16, random_state=0)


def read(data):
    """Profiles of all wells in the order of ``data.wells``."""
    return np.concatenate([pd.read_parquet(path)[data.feature_names].to_numpy() for path in data.plates])


def brackets(data):
    """Profiles in the units of the noise."""
    return (read(data) - data.location) / data.unit


def files(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(Path(root).rglob("*")) if path.is_file()}


@pytest.fixture
def tables(tmp_path):
    """Small tables with the columns of the real ones: 20 structures on each plate, and every plate twice."""
    plain = [f"{a}{b}{c}" for a in ("CC", "CN", "CO", "CS", "c1ccccc1") for b in ("C", "N(C)", "C(=O)", "C(F)")
             for c in ("c1ccncc1", "C1CCCC1", "CC#N", "C(=O)O", "N1CCOCC1", "c1ccsc1")]  # fmt: skip
    ids = [f"JCP2022_{i:06d}" for i in range(len(plain))]
    structures = pd.DataFrame({"Metadata_JCP2022": ids, "Metadata_SMILES": plain, "Metadata_SMILES_from_InChI": plain})
    structures.loc[0, ["Metadata_SMILES", "Metadata_SMILES_from_InChI"]] = [None, "Cannot_do"]
    structures.loc[1, "Metadata_SMILES_from_InChI"] = None
    rows = []
    for plate in range(6):
        content = [DMSO, EMPTY, "JCP2022_UNKNOWN", *ids[(plate % 3) * 20 : (plate % 3 + 1) * 20]]
        for well, compound in enumerate(content):
            rows.append(
                {
                    "Metadata_Source": f"source_{plate // 3}", "Metadata_Plate": f"p{plate}",
                    "Metadata_Well": f"{'AB'[well // 24]}{well % 24 + 1:02d}", "Metadata_JCP2022": compound,
                    "Metadata_Batch": f"b{plate // 3}", "Metadata_PlateType": "COMPOUND",
                }
            )  # fmt: skip
    wells = pd.DataFrame(rows)
    others = wells[wells["Metadata_Plate"] == "p0"]
    wells = pd.concat([
        wells,
        others.assign(Metadata_Plate="orf", Metadata_PlateType="ORF"),
        others.assign(Metadata_Plate="lost", Metadata_PlateType=None, Metadata_Batch=None),
    ])  # fmt: skip
    activity = pd.DataFrame(
        {
            "Metadata_JCP2022": ids[:40],
            "mean_average_precision": np.linspace(0.2, 1, 40),
            "below_corrected_p": [0, 1] * 20,
        }
    )
    paths = {}
    for name, frame in {"structures": structures, "wells": wells, "activity": activity}.items():
        paths[name] = tmp_path / f"{name}.parquet"
        frame.to_parquet(paths[name])
    return paths


def test_files_and_columns(data):
    root = data.plates[0].parents[6]
    plate = pd.read_csv(data.metadata.plate)
    well = pd.read_csv(data.metadata.well)
    compound = pd.read_csv(data.metadata.compound)
    assert plate.columns.tolist() == [
        "Metadata_Source", "Metadata_Batch", "Metadata_Plate", "Metadata_PlateType",
    ]  # fmt: skip
    assert well.columns.tolist() == ["Metadata_Source", "Metadata_Plate", "Metadata_Well", "Metadata_JCP2022"]
    assert compound.columns.tolist() == [
        "Metadata_JCP2022", "Metadata_InChIKey", "Metadata_InChI", "Metadata_SMILES",
    ]  # fmt: skip
    assert set(plate["Metadata_PlateType"]) == {"COMPOUND"}
    assert {path.name for path in data.metadata.values()} == {"plate.csv.gz", "well.csv.gz", "compound.csv.gz"}
    assert {path.parent for path in data.metadata.values()} == {root / "metadata"}
    for row, path in zip(plate.itertuples(), data.plates, strict=True):
        _, source, batch, name, _ = row
        assert path == root / f"cpg0016-jump/{source}/workspace/profiles/{batch}/{name}/{name}.parquet"
    frame = pd.read_parquet(data.plates[3])
    assert frame.columns.tolist() == ["Metadata_Source", "Metadata_Plate", "Metadata_Well", *data.feature_names]
    assert (frame[data.feature_names].dtypes == np.float32).all()
    wells = data.wells[data.wells["plate"] == 3]
    for column in ("Metadata_Source", "Metadata_Plate", "Metadata_Well"):
        assert frame[column].tolist() == wells[column].tolist()
    assert parquet.ParquetFile(data.plates[3]).num_row_groups == 1


def test_tables_join_as_jump_s_do(data):
    compound = pd.read_csv(data.metadata.compound).set_index("Metadata_JCP2022")
    assert compound.loc[DMSO, "Metadata_InChI"] == "InChI=1S/C2H6OS/c1-4(2)3/h1-2H3"
    well = pd.read_csv(data.metadata.well)
    assert set(well["Metadata_JCP2022"]) - set(compound.index) <= {EMPTY}
    assert compound["Metadata_InChIKey"].str.len().eq(27).all()
    assert compound.loc[data.compound_ids, "Metadata_SMILES"].tolist() == data.molecules.tolist()
    assert len(set(data.compound_ids)) == len(data.compound_ids)
    known = data.wells["molecule"].to_numpy() >= 0
    assert (data.compound_ids[data.wells["molecule"][known]] == data.wells["Metadata_JCP2022"][known]).all()


def test_generated_layout(data):
    content = data.wells.groupby("plate")["Metadata_JCP2022"]
    for _, compounds in content:
        counts = compounds.value_counts()
        assert len(compounds) == 384
        assert counts[DMSO] == 32
        assert counts[list(POSITIVE_CONTROLS)].tolist() == [4] * 8
    n_wells = data.wells["molecule"].value_counts()
    treated = ~np.isin(data.compound_ids, list(POSITIVE_CONTROLS))
    assert n_wells[np.flatnonzero(treated)].tolist() == [4] * treated.sum()
    assert data.wells[data.wells["molecule"] == 0]["Metadata_Source"].nunique() == 4
    assert data.active[~treated].all()


@pytest.mark.slow
def test_same_seed_same_bytes(tmp_path):
    make_jump_like(tmp_path / "a", **SMALL, missing_fraction=0.1)
    a = files(tmp_path / "a")
    torn = tmp_path / "b" / next(name for name in a if name.suffix == ".parquet")
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"torn")
    make_jump_like(tmp_path / "b", **SMALL, missing_fraction=0.1, n_jobs=2)
    assert len(a) == 4 + 3
    assert files(tmp_path / "b") == a


def test_another_seed_gives_other_plates(data, tmp_path):
    other = make_jump_like(tmp_path, n_plates=16, n_features=60, n_useless=16, random_state=1)
    bytes_of = {path.name: path.read_bytes() for path in data.plates}
    shared = [path for path in other.plates if path.name in bytes_of]
    assert shared
    assert all(path.read_bytes() != bytes_of[path.name] for path in shared)
    assert not np.allclose(other.loadings, data.loadings)


def test_a_plate_does_not_depend_on_the_others(data, tmp_path):
    few = make_jump_like(tmp_path, n_plates=3, n_features=60, n_useless=16, random_state=0)
    for mine, other in zip(few.plates, data.plates[:3], strict=True):
        assert mine.relative_to(tmp_path) == other.relative_to(data.plates[0].parents[6])
        assert mine.read_bytes() == other.read_bytes()
    place = {compound: i for i, compound in enumerate(data.compound_ids)}
    rows = [place[compound] for compound in few.compound_ids]
    for name in ("latent", "active", "amplitude", "molecules"):
        np.testing.assert_array_equal(few[name], data[name][rows])


@pytest.mark.slow
def test_n_molecules(data, tmp_path):
    some = make_jump_like(tmp_path, n_molecules=400, n_features=5, n_useless=0, random_state=0)
    n_treated = len(some.molecules) - len(POSITIVE_CONTROLS)
    assert n_treated >= 400
    assert len(some.plates) == 5  # four sources hold 320 compounds, the fifth plate brings the rest
    both = make_jump_like(tmp_path, n_molecules=400, n_plates=2, n_features=5, n_useless=0, random_state=0)
    assert both.plates == some.plates[:2]


def test_plates_of_one_map_are_taken_together():
    plate = np.repeat(np.arange(9), 4)
    compound = np.repeat(np.array([0, 1, 2] * 3), 4) * 4 + np.tile(np.arange(4), 9)
    order, n_met = plate_order(plate, compound, np.random.default_rng(0))
    assert [len(set(order[i : i + 3] % 3)) for i in (0, 3, 6)] == [1, 1, 1]
    assert n_met.tolist() == [4, 4, 4, 8, 8, 8, 12, 12, 12]


def test_without_disturbance_a_well_shows_its_molecules_effect(tmp_path):
    data = make_jump_like(tmp_path, **SMALL, **QUIET)
    expected = np.vstack([planted_effects(data), np.zeros(38)])[data.wells["molecule"]]
    np.testing.assert_allclose(brackets(data)[:, data.useful], expected[:, data.useful], atol=1e-4)
    assert not expected[:, ~data.useful].any()
    np.testing.assert_allclose(planted_states(data)[data.wells["molecule"] < 0], 0)
    some = [5, 0]
    np.testing.assert_allclose(planted_effects(data, some), planted_effects(data)[some], rtol=1e-5)
    assert planted_effects(data, data.active).shape == (data.active.sum(), 38)


@pytest.mark.slow
def test_variances_of_sources_batches_and_plates(tmp_path):
    sizes = {"source_effect": 1.0, "batch_effect": 2.0, "plate_effect": 0.5}
    data = make_jump_like(tmp_path, n_plates=40, n_features=10, n_useless=60, random_state=0, **QUIET | sizes)
    blocked = make_columns(10, 60)[1] == BLOCKED  # they show technical offsets alone
    offset = brackets(data)[data.wells["position"] == 0][:, blocked]
    keys = data.wells[data.wells["position"] == 0].reset_index(drop=True)
    frame = pd.DataFrame(offset)
    batch = frame.groupby([keys["Metadata_Source"], keys["Metadata_Batch"]])
    within_batch = frame - batch.transform("mean")
    n_plates = batch.size().to_numpy()
    plate_variance = (within_batch**2).to_numpy().sum() / (offset.shape[1] * (n_plates - 1).sum())
    means = batch.mean()
    source = means.groupby(level=0)
    batch_variance = source.var().to_numpy().mean() - 0.25 * (1 / n_plates).mean()
    source_variance = source.mean().var().to_numpy().mean() - 4.0 / (len(means) / 4)
    assert plate_variance == pytest.approx(0.25, rel=0.1)
    assert batch_variance == pytest.approx(4.0, rel=0.3)
    assert source_variance == pytest.approx(1.0, abs=0.8)


def test_states_are_shifted_by_source_batch_and_plate(data):
    shown, free = planted_states(data, normalized=False), planted_states(data)
    shift = pd.DataFrame(shown - free).groupby(data.wells["plate"])
    assert shift.std().to_numpy().max() < 1e-5
    assert shift.mean().to_numpy().std() == pytest.approx(np.sqrt(0.25 + 0.09 + 0.09), rel=0.35)
    noise = free - np.vstack([data.amplitude[:, None] * data.latent, np.zeros(8)])[data.wells["molecule"]]
    np.testing.assert_allclose(noise.std(axis=0), 1.0, rtol=0.05)


def test_position_effect_is_a_plane_and_an_edge(tmp_path):
    data = make_jump_like(tmp_path, **SMALL, **QUIET | {"position_effect": 1.0}, inactive_fraction=1.0)
    plate = (data.wells["plate"] == 1) & (data.wells["molecule"] < 0)
    row, column = np.divmod(data.wells["position"][plate].to_numpy(), 24)
    edge = (row == 0) | (row == 15) | (column == 0) | (column == 23)
    design = np.stack([row / 7.5 - 1, column / 11.5 - 1, edge], axis=1)
    effect = brackets(data)[plate][:, data.useful]
    coefficients = np.linalg.lstsq(design, effect, rcond=None)[0]
    np.testing.assert_allclose(design @ coefficients, effect, atol=1e-4)
    assert np.abs(coefficients).mean() > 0.2


def test_replicates_of_active_molecules_correlate(data):
    x = brackets(data)[:, data.useful].clip(-10, 10)
    plate, molecule = data.wells["plate"].to_numpy(), data.wells["molecule"].to_numpy()
    for p in np.unique(plate):
        x[plate == p] -= np.median(x[(plate == p) & (molecule < 0)], axis=0)
    wells = [np.flatnonzero(molecule == m) for m in range(len(data.molecules))]
    same = np.array([np.corrcoef(x[w[:2]])[0, 1] for w in wells])
    assert same[data.active].mean() > 0.2
    assert abs(same[~data.active].mean()) < 0.1


def test_the_paper_s_filter_leaves_the_useful_columns(data):
    profiles = pd.DataFrame(read(data), columns=data.feature_names)
    plate = data.wells["Metadata_Plate"].to_numpy()
    control = (data.wells["Metadata_JCP2022"] == DMSO).to_numpy()
    normalizer = ProfileNormalizer(method="robust").set_output(transform="pandas")
    scaled = normalizer.fit_transform(profiles, plates=plate, controls=control)
    kept = ProfileFilter.paper().fit(scaled).get_support()
    np.testing.assert_array_equal(kept, data.useful)


def test_columns():
    for n_features, n_useless in [(1, 0), (60, 16), (3475, 45), (4000, 132)]:
        names, kind = make_columns(n_features, n_useless)
        assert len(set(names)) == n_features + n_useless
        assert (kind == 0).sum() == n_features
        assert names.tolist() == sorted(names)


def test_missing_and_outlying_values(tmp_path):
    data = make_jump_like(
        tmp_path, **SMALL | {"n_useless": 0}, missing_fraction=0.05, outlier_fraction=0.1, plate_effect=0.0
    )
    x = np.abs(brackets(data))
    assert 0.04 < np.isnan(x).mean() < 0.06
    assert 0.05 < (np.nanmax(x, axis=1) > 12).mean() < 0.12
    assert np.nanmax(x) < 110


def test_retrieval(data):
    planted = jump_like_retrieval(data, data.active)
    assert planted["n_candidates"] == data.active.sum()
    assert planted["top10"] > 30 * planted["chance_top10"]
    shifted = jump_like_retrieval(data, data.active, normalized=False)
    blind = jump_like_retrieval(data, data.active, structure_only=True)
    assert shifted["top1"] < planted["top1"]
    assert blind["top1"] < planted["top1"]
    inactive = jump_like_retrieval(data, ~data.active)
    assert abs(inactive["normalized_rank"] - 0.5) < 0.05


def test_the_files_hold_what_the_oracle_sees(data):
    x = brackets(data).clip(-10, 10)[:, data.useful]
    plate, molecule = data.wells["plate"].to_numpy(), data.wells["molecule"].to_numpy()
    for p in np.unique(plate):
        x[plate == p] -= np.median(x[(plate == p) & (molecule < 0)], axis=0)
    inverse = np.linalg.pinv(data.loadings[:, data.useful])
    rows = np.flatnonzero(data.active)
    seen = np.stack([x[molecule == i].mean(axis=0) for i in rows]) @ inverse
    planted = planted_effects(data, rows)[:, data.useful] @ inverse
    planted *= (seen * planted).sum() / (planted**2).sum()  # noise shrinks what saturates
    distance = ((seen[:, None] - planted[None]) ** 2).sum(axis=2)
    top1 = (distance.argmin(axis=1) == np.arange(len(rows))).mean()
    best = jump_like_retrieval(data, rows)["top1_profile_to_molecule"]
    assert 0.7 * best < top1 < best + 0.02


def test_retrieval_within_a_plate(data):
    active = np.flatnonzero(data.active)
    within = {name: jump_like_retrieval(data, active, within=name) for name in ("plate", "batch", "source")}
    assert [within[name]["n_pools"] for name in within] == [16, 8, 4]
    assert within["plate"]["n_candidates"] < within["batch"]["n_candidates"] <= data.active.sum()
    assert within["plate"]["top10"] > 4 * within["plate"]["chance_top10"]
    with pytest.raises(ValueError, match="No plate holds two or more of these 1 molecules"):
        jump_like_retrieval(data, [3], within="plate")


def test_retrieval_is_perfect_without_noise(tmp_path):
    data = make_jump_like(tmp_path, **SMALL, **QUIET, inactive_fraction=0.0)
    _, first = np.unique(planted_effects(data).round(4), axis=0, return_index=True)
    assert jump_like_retrieval(data, first)["top1"] > 0.99


def test_user_s_tables(tables, tmp_path):
    data = make_jump_like(tmp_path / "out", n_features=10, n_useless=0, n_latent=2, random_state=0, **tables)
    assert {path.stem for path in data.plates} == {f"p{i}" for i in range(6)}
    assert [path.parts[-6] for path in data.plates] == data.wells.groupby("plate")["Metadata_Source"].first().tolist()
    assert len(data.compound_ids) == 60
    assert data.wells.groupby("plate").size().tolist() == [23] * 6
    row = {compound: i for i, compound in enumerate(data.compound_ids)}
    listed = [row[f"JCP2022_{i:06d}"] for i in range(1, 40)]
    expected = 1.5 * np.linspace(0.2, 1, 40)[1:] * (np.arange(1, 40) % 2)
    np.testing.assert_allclose(data.amplitude[listed], expected, rtol=1e-6)
    # what cannot be read has no effect, and an empty InChI
    assert data.molecules[0] == "Cannot_do"
    assert not data.active[0]
    assert not data.latent[0].any()
    compound = pd.read_csv(data.metadata.compound)
    assert compound["Metadata_InChI"].isna().tolist() == [True] + [False] * 60
    assert set(data.wells["Metadata_JCP2022"][data.wells["molecule"] < 0]) == {DMSO, EMPTY, "JCP2022_UNKNOWN"}
    two = make_jump_like(tmp_path / "out", n_plates=2, n_features=10, n_useless=0, n_latent=2, random_state=0, **tables)
    assert two.wells["molecule"].value_counts()[0] == 2
    assert {int(path.stem[1:]) % 3 for path in two.plates} in ({0}, {1}, {2})


def test_plates_that_are_there_are_kept_on_demand(tables, tmp_path):
    few = {"n_features": 10, "n_useless": 0, "n_latent": 2, "random_state": 0, **tables}
    whole = make_jump_like(tmp_path / "whole", **few)
    started = make_jump_like(tmp_path / "started", n_plates=2, **few)
    first, second = started.plates
    first.unlink()
    second.write_bytes(b"kept")
    data = make_jump_like(tmp_path / "started", overwrite=False, **few)
    names = [path.relative_to(tmp_path / "started") for path in data.plates]
    assert names == [path.relative_to(tmp_path / "whole") for path in whole.plates]
    equal = [own.read_bytes() == other.read_bytes() for own, other in zip(data.plates, whole.plates, strict=True)]
    assert equal == [path != second for path in data.plates]


def test_structures_alone_are_laid_out(tables, tmp_path):
    data = make_jump_like(
        tmp_path / "out", n_features=5, n_useless=0, n_latent=1, structures=tables["structures"], random_state=0
    )
    assert len(data.plates) == 4
    assert len(data.molecules) == 120 + 8


@pytest.mark.slow
def test_real_layout(tmp_path):
    tables = {name: SHARED / f"jump_{file}.parquet" for name, file in
              {"structures": "compounds", "wells": "wells", "activity": "activity_map"}.items()}  # fmt: skip
    for path in tables.values():
        if not path.exists():
            pytest.skip(f"{path.name} is not in ../shared/data")
    data = make_jump_like(tmp_path, n_plates=15, n_features=3, n_useless=0, random_state=0, **tables)
    n_wells = data.wells["molecule"].value_counts()
    treated = ~np.isin(data.compound_ids, list(POSITIVE_CONTROLS))
    assert 1000 < treated.sum() < 3000
    assert 2.0 < n_wells[np.flatnonzero(treated)].mean() < 5.0  # plates at random: 1.2
    assert 0.1 < data.active.mean() < 0.4
    on_all = data.wells[data.wells["Metadata_JCP2022"].isin(POSITIVE_CONTROLS)].groupby("plate")["molecule"].nunique()
    assert on_all.min() >= 7  # some sources leave one out


@pytest.mark.parametrize("table", ["structures", "wells", "activity"])
def test_missing_columns(tables, tmp_path, table):
    frame = pd.read_parquet(tables[table])
    frame.drop(columns="Metadata_JCP2022").to_parquet(tables[table])
    with pytest.raises(ValueError, match=f"{table}.parquet' has no column 'Metadata_JCP2022'"):
        make_jump_like(tmp_path / "out", **tables)


def test_unsuitable_tables(tables, tmp_path):
    def written(name, frame):
        frame.to_parquet(tmp_path / "changed.parquet")
        return tables | {name: tmp_path / "changed.parquet"}

    out = tmp_path / "out"
    wells, structures = pd.read_parquet(tables["wells"]), pd.read_parquet(tables["structures"])
    with pytest.raises(ValueError, match="has none of the columns Metadata_SMILES_from_InChI, "):
        make_jump_like(out, **written("structures", structures[["Metadata_JCP2022"]]))
    with pytest.raises(ValueError, match="no plate of type COMPOUND"):
        make_jump_like(out, **written("wells", wells[wells["Metadata_PlateType"] == "ORF"]))
    with pytest.raises(ValueError, match="Metadata_Well must be A01 to P24, got 'AA01'"):
        make_jump_like(out, **written("wells", wells.assign(Metadata_Well="AA01")))
    with pytest.raises(ValueError, match="two rows of one well"):
        make_jump_like(out, **written("wells", pd.concat([wells, wells])))
    with pytest.raises(ValueError, match="None of the compounds on the plates has a structure"):
        make_jump_like(out, **written("wells", wells.assign(Metadata_JCP2022=DMSO)))
    activity = pd.read_parquet(tables["activity"]).assign(Metadata_JCP2022="JCP2022_X")
    with pytest.raises(ValueError, match="lists none of the compounds"):
        make_jump_like(out, **written("activity", activity))
    ids = [f"JCP2022_{i:06d}" for i in range(400)]
    ethanol = pd.DataFrame({"Metadata_JCP2022": ids, "Metadata_SMILES": "CCO"})
    with pytest.raises(ValueError, match="environments that are in 3 to 50 %"):
        make_jump_like(out, **written("structures", ethanol))
    with pytest.raises(ValueError, match="give their structures too"):
        make_jump_like(out, wells=tables["wells"])
    with pytest.raises(ValueError, match="n_plates=7, but the layout has 6 compound plates"):
        make_jump_like(out, n_plates=7, **tables)
    with pytest.raises(ValueError, match="n_molecules=61, but the layout has 60 compounds"):
        make_jump_like(out, n_molecules=61, **tables)
    assert not out.exists()


def test_path_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(NotADirectoryError, match="is a file"):
        make_jump_like(os.fspath(path))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_molecules", 0),
        ("n_plates", 1.5),
        ("n_features", 4001),
        ("n_useless", 133),
        ("n_latent", 0),
        ("structures", 3),
        ("inactive_fraction", 1.5),
        ("source_effect", -1.0),
        ("batch_effect", -1.0),
        ("plate_effect", -1.0),
        ("position_effect", -1.0),
        ("noise", -1.0),
        ("outlier_fraction", 2),
        ("missing_fraction", 1.0),
        ("n_jobs", "all"),
        ("random_state", "zero"),
    ],
)
def test_bad_parameters(tmp_path, parameter, value):
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of make_jump_like"):
        make_jump_like(tmp_path, **{parameter: value})
