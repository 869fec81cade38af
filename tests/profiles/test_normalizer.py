"""Per-plate normalisation and whitening: by hand, against pycytominer, and on tables as they come."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer

WHITENINGS = ["ZCA", "ZCA-cor", "PCA", "PCA-cor"]


@pytest.fixture
def wells():
    """Four plates in two batches, each with an offset and a scale of its own; 8 controls of 20 wells."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5)), columns=[f"Cells_{c}" for c in "abcde"])
    plate = np.repeat(np.arange(4), 20)
    frame = frame.mul(plate + 1.0, axis=0).add(100.0 * plate, axis=0)
    frame["Metadata_Plate"] = np.array(["P1", "P2", "P3", "P4"])[plate]
    frame["Metadata_Batch"] = np.where(plate < 2, "B1", "B2")
    frame["Metadata_IsNegcon"] = np.tile(np.arange(20) < 8, 4)
    return frame.sample(frac=1, random_state=0, ignore_index=True)


def split(wells):
    return (
        wells.filter(like="Cells_").to_numpy(copy=True),
        wells["Metadata_Plate"],
        wells["Metadata_IsNegcon"].to_numpy(),
    )


@pytest.mark.parametrize(
    "estimator",
    [ProfileNormalizer(), ProfileNormalizer("mad"), ProfileNormalizer("standardize", on_missing="plate")]
    + [ProfileNormalizer(whiten=method) for method in WHITENINGS],
    ids=lambda estimator: repr(estimator)[:60],
)
def test_all_checks_of_scikit_learn(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    unmet = {result["check_name"]: result["exception"] for result in results if result["status"] != "passed"}
    assert "SCIPY_ARRAY_API" in str(unmet.pop("check_array_api_input", "SCIPY_ARRAY_API"))
    assert not unmet


# five controls and a treated well; what pycytominer 1.7.1 makes of the treated one
REFERENCE = np.array([[1, 10, -2.0], [2, 14, 0], [4, 11, 3], [8, 19, 1], [3, 12, 7], [16, 30, -5]])


@pytest.mark.parametrize(
    ("method", "whiten", "expected"),
    [
        ("robust", False, [6.5, 6.0, -2.0]),
        ("mad", False, [8.768379873195737, 6.070416835289357, -2.023472278429786]),
        ("standardize", False, [5.131156509334681, 5.270628763160532, -2.2226495315660855]),
        ("standardize", "ZCA", [3.842657, 3.103513, -2.249656]),
        ("mad", "ZCA", [4.103701, 2.650436, -2.365079]),
        ("mad", "ZCA-cor", [3.842657, 3.103513, -2.249656]),
        ("mad", "PCA", [4.654209, 2.740325, 0.536402]),
        ("mad", "PCA-cor", [4.661088, 2.601035, 0.983687]),
    ],
)
def test_reference_values(method, whiten, expected):
    controls = np.arange(6) < 5
    Z = ProfileNormalizer(method, whiten=whiten).fit_transform(REFERENCE, controls=controls)[-1]
    np.testing.assert_allclose(np.abs(Z) if "PCA" in str(whiten) else Z, expected, rtol=1e-6)  # PCA: up to signs
    assert ProfileNormalizer(method, whiten=whiten).fit_transform(REFERENCE.astype("f4")).dtype == np.float32


def test_statistics_are_of_the_plate_and_its_controls(wells):
    X, plates, controls = split(wells)
    normalizer = ProfileNormalizer().fit(X, plates=plates, controls=controls)
    Z = normalizer.transform(X, plates=plates)
    for plate, statistics in normalizer.statistics_.items():
        reference = X[(plates == plate) & controls]
        low, middle, high = np.quantile(reference, [0.25, 0.5, 0.75], axis=0)
        np.testing.assert_allclose(statistics.center, middle)
        np.testing.assert_allclose(Z[plates == plate], (X[plates == plate] - middle) / (high - low))
        assert statistics.n_wells == 8
    treated = X.copy()
    treated[~controls] = 1e9
    again = ProfileNormalizer().fit(treated, plates=plates, controls=controls)
    np.testing.assert_array_equal(again.transform(X, plates=plates), Z)
    shifted = ProfileNormalizer().fit_transform(3 * X + 7, plates=plates, controls=controls)
    np.testing.assert_allclose(shifted, Z, atol=1e-9)
    assert normalizer.n_dropped_ == 0


@pytest.mark.parametrize("whiten", [False, True, "PCA"])
def test_transform_is_fit_transform_row_by_row(wells, whiten):
    normalizer = ProfileNormalizer("mad", whiten=whiten)
    Z = normalizer.fit_transform(wells)
    np.testing.assert_array_equal(normalizer.transform(wells), Z)
    np.testing.assert_allclose(normalizer.transform(wells.iloc[[5]]), Z[[5]])
    X, plates, controls = split(wells)
    np.testing.assert_array_equal(clone(normalizer).fit_transform(X, plates=plates, controls=controls), Z)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(normalizer)).transform(wells), Z)
    order = np.random.default_rng(1).permutation(len(wells))
    np.testing.assert_allclose(clone(normalizer).fit_transform(wells.iloc[order])[np.argsort(order)], Z, atol=1e-8)


def test_plates_unseen_in_fit_bring_their_controls(wells):
    new = wells["Metadata_Plate"] == "P4"
    whole = ProfileNormalizer().fit_transform(wells)
    normalizer = ProfileNormalizer().fit(wells[~new])
    np.testing.assert_array_equal(normalizer.transform(wells), whole)
    np.testing.assert_array_equal(normalizer.transform(wells[new]), whole[new])
    assert set(normalizer.statistics_) == {"P1", "P2", "P3"}
    treated = wells[new & ~wells["Metadata_IsNegcon"]]
    for table in (treated, treated.drop(columns="Metadata_IsNegcon")):
        with pytest.raises(ValueError, match=r"1 plate.*'P4' \(n_samples=0\).*control wells.*'plate' or 'drop'"):
            normalizer.transform(table)


def test_plates_without_enough_controls(wells):
    few = (wells["Metadata_Plate"] == "P2") & wells["Metadata_IsNegcon"]
    wells.loc[few[few].index[1:], "Metadata_IsNegcon"] = False
    on_p2 = (wells["Metadata_Plate"] == "P2").to_numpy()
    with pytest.raises(ValueError, match=r"min_controls=2 control wells: 'P2' \(n_samples=1\)"):
        ProfileNormalizer().fit(wells)
    kept = ProfileNormalizer().fit_transform(wells[~on_p2])
    Z = ProfileNormalizer(on_missing="plate").fit_transform(wells)
    np.testing.assert_array_equal(Z[~on_p2], kept)
    np.testing.assert_array_equal(Z[on_p2], ProfileNormalizer(control_column=None).fit_transform(wells[on_p2]))
    normalizer = ProfileNormalizer(on_missing="drop").fit(wells)
    assert normalizer.n_dropped_ == 20
    with pytest.warns(UserWarning, match=r"20 rows became NaN: 1 plates .*'P2'") as caught:
        Z = normalizer.fit_transform(wells)
    assert len(caught) == 1
    assert np.isnan(Z[on_p2]).all()
    np.testing.assert_array_equal(Z[~on_p2], kept)
    with pytest.raises(ValueError, match=r"min_controls=21 wells: .*set on_missing to 'drop'"):
        ProfileNormalizer(on_missing="plate", min_controls=21).fit(wells)


def test_missing_and_constant_values(wells):
    X, plates, controls = split(wells)
    first = np.flatnonzero(plates == "P1")
    X[:, 0] = 0.1
    X[first, 1] = np.nan
    X[first[0], 2:4] = np.inf, -np.inf
    normalizer = ProfileNormalizer("standardize").fit(X, plates=plates, controls=controls)
    Z = normalizer.transform(X, plates=plates)
    np.testing.assert_allclose(Z[:, 0], 0.0, atol=1e-12)
    assert (normalizer.statistics_["P3"].scale[0], normalizer.statistics_["P3"].n_wells) == (1.0, 8)
    np.testing.assert_array_equal(np.isnan(Z), ~np.isfinite(X))
    rows = first[controls[first] & np.isfinite(X[first, 2])]
    assert normalizer.statistics_["P1"].center[2] == pytest.approx(X[rows, 2].mean())
    whitened = ProfileNormalizer(whiten=True).fit_transform(X, plates=plates, controls=controls)
    np.testing.assert_array_equal(np.isnan(whitened), ~np.isfinite(X))


@pytest.mark.parametrize("whiten", ["ZCA", "ZCA-cor"])
def test_whitening_per_batch(wells, whiten):
    normalizer = ProfileNormalizer("mad", whiten=whiten, batch_column="Metadata_Batch").fit(wells)
    Z, controls = normalizer.transform(wells), wells["Metadata_IsNegcon"]
    for batch in ("B1", "B2"):
        rows = (wells["Metadata_Batch"] == batch).to_numpy()
        np.testing.assert_allclose(np.cov(Z[rows & controls].T), np.eye(5), atol=1e-5)
        alone = ProfileNormalizer("mad", whiten=whiten).fit_transform(wells[rows])
        np.testing.assert_allclose(Z[rows], alone, atol=1e-8)
        np.testing.assert_allclose(clone(normalizer).fit(wells[~rows]).transform(wells), Z, atol=1e-8)
    with pytest.raises(ValueError, match=r"other axes in every batch.*'B1', 'B2'.*'ZCA'"):
        normalizer.set_params(whiten="PCA").fit_transform(wells.sort_values("Metadata_Plate"))


def test_plate_names_that_repeat_across_batches(wells):
    wells["Metadata_Plate"] = wells["Metadata_Plate"].replace({"P3": "P1", "P4": "P2"})
    with pytest.raises(ValueError, match=r"plate 'P.' occurs in the batches .*plate_column=\["):
        ProfileNormalizer(whiten=True, batch_column="Metadata_Batch").fit(wells)
    keys = ["Metadata_Batch", "Metadata_Plate"]
    normalizer = ProfileNormalizer(plate_column=keys).fit(wells)
    assert set(normalizer.statistics_) == {("B1", "P1"), ("B1", "P2"), ("B2", "P1"), ("B2", "P2")}
    X, _, controls = split(wells)
    Z = ProfileNormalizer().fit_transform(X, plates=wells[keys].to_numpy(), controls=controls)
    np.testing.assert_array_equal(Z, normalizer.transform(wells))


def test_tables(wells):
    Z = ProfileNormalizer().fit_transform(wells)
    np.testing.assert_array_equal(ProfileNormalizer().fit_transform(pl.from_pandas(wells)), Z)
    wells["Metadata_control_type"] = np.where(wells.pop("Metadata_IsNegcon"), "negcon", None)
    normalizer = ProfileNormalizer(control_column="Metadata_control_type", control_label="negcon")
    frame = normalizer.set_output(transform="pandas").fit_transform(wells.set_index(np.arange(80) + 7))
    np.testing.assert_array_equal(frame.to_numpy(), Z)
    assert list(frame.columns) == [f"Cells_{c}" for c in "abcde"]
    assert frame.index[0] == 7
    names = ProfileNormalizer(whiten="PCA", control_column=None).fit(wells).get_feature_names_out()
    assert names.tolist() == ["pc0", "pc1", "pc2", "pc3", "pc4"]


BAD = {
    "has no column 'Metadata_IsNegcon'.*pass controls=": lambda w: (w.drop(columns="Metadata_IsNegcon"), {}),
    "has no column 'Metadata_Plate'.*pass plates=": lambda w: (w.drop(columns="Metadata_Plate"), {}),
    r"plates has shape \(3,\) but X has 80 rows": lambda w: (w, {"plates": ["a", "b", "c"]}),
    r"controls has shape \(3,\) but X has 80 rows": lambda w: (w, {"controls": [True] * 3}),
    "controls must be boolean, but row 0 holds 1: .*control_label=": lambda w: (w, {"controls": np.ones(80, int)}),
    "controls must be boolean, but row 1 holds None": lambda w: (w, {"controls": [True, None] * 40}),
    r"plates has no id in row 3 \(nan\)": lambda w: (w.assign(Metadata_Plate=w.Metadata_Plate.where(w.index != 3)), {}),
    "plates has no id in row 0 .*NA": lambda w: (w, {"plates": pd.Series([pd.NA] * 80)}),
    r"columns that are not numeric: Cells_a \(text\).*names of metadata": lambda w: (w.assign(Cells_a="x"), {}),
    "X holds 'n/a' in row 1, column 0": lambda w: (np.array([["1"], ["n/a"]], dtype=object), {}),
}


@pytest.mark.parametrize("match", BAD)
def test_bad_input(wells, match):
    X, metadata = BAD[match](wells)
    with pytest.raises(ValueError, match=match):
        ProfileNormalizer().fit(X, **metadata)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"method": "z"}, r"'method' parameter .* among \{.*'robust'.*Got 'z'"),
        ({"whiten": "zca"}, r"'whiten' parameter .*'ZCA-cor'.*Got 'zca'"),
        ({"on_missing": "skip"}, r"'on_missing' parameter .*'drop'.*Got 'skip'"),
        ({"min_controls": 0}, r"'min_controls' parameter .* int in the range \[1, inf\)"),
        ({"epsilon": -1.0}, r"'epsilon' parameter .* float in the range \[0.0?, inf\)"),
        ({"plate_column": ["Plate"]}, "plate_column must name metadata"),
    ],
)
def test_bad_parameters(parameters, match):
    with pytest.raises(ValueError, match=match):
        ProfileNormalizer(**parameters).fit(REFERENCE)


def test_pipeline_with_metadata_routing(wells):
    X, plates, controls = split(wells)
    y = X[:, 0] / np.array([1, 2, 3, 4])[plates.str[1].astype(int) - 1] > np.arange(80) % 3
    pipeline = make_pipeline(ProfileNormalizer(), ProfileFilter(max_std=None), LogisticRegression())
    with config_context(enable_metadata_routing=True):
        pipeline.fit(X, y, plates=plates, controls=controls).predict(X[:2], plates=plates[:2])
        pipeline[:1].fit_transform(X, plates=plates, controls=controls)
    with pytest.raises(ValueError, match=r"fit was called with plates and transform without.*enable_metadata_routing"):
        pipeline.predict(X)
    assert len(cross_val_score(pipeline, wells, y, cv=3, error_score="raise")) == 3  # columns carry the metadata
    named = make_pipeline(ProfileNormalizer(), ProfileFilter.paper(max_std=None)).set_output(transform="pandas")
    assert list(named.fit_transform(wells).columns) == [f"Cells_{c}" for c in "abcde"]


# ---------------------------------------------------------------------------------------------
# pycytominer on the same real plates
# ---------------------------------------------------------------------------------------------


def theirs(pycytominer, wells, features, method, **options):
    metadata = {"meta_features": ["Metadata_Plate"], "samples": "Metadata_IsNegcon == True"}
    result = pycytominer.normalize(wells.copy(), features=features, method=method, **metadata, **options)
    return result.drop(columns="Metadata_Plate").to_numpy()


def assert_same(ours, expected):
    assert np.max(np.abs(ours - expected) / np.maximum(np.abs(expected), 1.0), initial=0.0) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(("method", "name"), [("robust", "robustize"), ("mad", "mad_robustize"), (None, "standardize")])
def test_normalizer_against_pycytominer(real_wells, pycytominer, method, name):
    frame, features = real_wells
    frame = frame[frame["Metadata_Plate"].isin(frame["Metadata_Plate"].unique()[:4])]
    normalizer = ProfileNormalizer(method or name).fit(frame)
    for plate, wells in frame.groupby("Metadata_Plate"):
        reference = wells.loc[wells["Metadata_IsNegcon"], features]
        deviation = (reference - reference.median()).abs().median()
        # where the deviation is 0 pycytominer divides by its epsilon; here 0 counts as 1
        same = (deviation > 0).to_numpy() if method == "mad" else np.ones(len(features), dtype=bool)
        ours = normalizer.transform(wells)
        assert_same(ours[:, same], theirs(pycytominer, wells, features, name)[:, same])
        np.testing.assert_array_equal(normalizer.statistics_[plate].scale[~same], 1.0)


@pytest.mark.parametrize("method", WHITENINGS)
def test_whitening_against_pycytominer(real_wells, pycytominer, method):
    frame = real_wells[0]
    frame = frame[frame["Metadata_Plate"].isin(frame["Metadata_Plate"].unique()[:12])]
    normalized = ProfileNormalizer("mad").set_output(transform="pandas").fit_transform(frame)
    left = ProfileFilter(max_std=None, outlier_cutoff=500.0, correlation_threshold=0.9).fit(normalized)
    # pycytominer refuses linearly dependent columns, and axes of PCA in the null space of the controls are arbitrary
    names = left.get_feature_names_out()[: frame["Metadata_IsNegcon"].sum() // 2].tolist()
    wells = pd.concat([frame[["Metadata_Plate", "Metadata_IsNegcon"]], frame[names]], axis=1)
    scaled = pd.concat([frame[["Metadata_Plate", "Metadata_IsNegcon"]], normalized[names]], axis=1)
    ours = ProfileNormalizer("mad", whiten=method).fit_transform(wells)
    expected = theirs(pycytominer, scaled, names, "spherize", spherize_method=method)
    assert_same(*((np.abs(ours), np.abs(expected)) if "PCA" in method else (ours, expected)))  # PCA: up to signs


def test_whitening_of_one_plate_against_pycytominer(real_wells, pycytominer):
    frame, features = real_wells
    wells = frame[frame["Metadata_Plate"] == frame["Metadata_Plate"].iloc[0]]  # fewer controls than columns
    features = [c for c in features if wells.loc[wells["Metadata_IsNegcon"], c].nunique() > 1]
    wells = wells[["Metadata_Plate", "Metadata_IsNegcon", *features]]
    scaled = wells.assign(**dict(zip(features, ProfileNormalizer("mad").fit_transform(wells).T, strict=True)))
    ours = ProfileNormalizer("mad", whiten="ZCA").fit_transform(wells)
    assert_same(ours, theirs(pycytominer, scaled, features, "spherize", spherize_method="ZCA"))
