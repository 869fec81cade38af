import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mocop_sklearn.profiles import ProfileScaler


@parametrize_with_checks([ProfileScaler(), ProfileScaler(clip=2.0, n_components=3)])
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def profiles():
    """Three hundred columns, more than one block, each in a unit of its own."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(80, 300)) * 10 ** rng.uniform(-3, 3, size=300) + rng.normal(size=300)


def test_agrees_with_robust_scaler_over_the_range_of_normal_data(profiles):
    """1.349 is the inter-quartile range of the standard normal distribution."""
    reference = RobustScaler().fit(profiles)
    scaler = ProfileScaler(clip=1e9).fit(profiles)
    np.testing.assert_allclose(scaler.center_, reference.center_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scaler.scale_, reference.scale_ / 1.349, rtol=1e-4)
    np.testing.assert_allclose(scaler.transform(profiles), reference.transform(profiles) * 1.349, rtol=1e-3, atol=1e-3)
    unit_variance = RobustScaler(unit_variance=True).fit(profiles)
    np.testing.assert_allclose(scaler.scale_, unit_variance.scale_, rtol=1e-3)


@pytest.mark.parametrize(("offset", "unit"), [(1234567891.0, 1.0), (0.0, 1e-50)])
def test_double_precision_is_kept(offset, unit):
    x = np.random.default_rng(0).normal(size=(500, 1))
    np.testing.assert_allclose(
        ProfileScaler().fit_transform(offset + unit * x), ProfileScaler().fit_transform(x), atol=1e-5
    )


def test_normal_data_comes_out_standard():
    quantiles = norm.ppf((np.arange(2000) + 0.5) / 2000)[:, None]
    scaled = ProfileScaler().fit_transform(30 + 7 * quantiles)
    assert np.median(scaled) == pytest.approx(0, abs=1e-3)
    assert scaled.std() == pytest.approx(1, abs=0.01)


def test_missing_and_infinite_values_take_the_median(profiles):
    rng = np.random.default_rng(1)
    holes = rng.random(profiles.shape) < 0.1
    dirty = np.where(holes, rng.choice([np.nan, np.inf, -np.inf], profiles.shape), profiles)
    scaler = ProfileScaler(clip=1e9).fit(dirty)
    reference = make_pipeline(SimpleImputer(strategy="median"), "passthrough").fit(np.where(holes, np.nan, dirty))
    np.testing.assert_allclose(scaler.center_, reference[0].statistics_, rtol=1e-4, atol=1e-6)
    quartiles = np.nanpercentile(np.where(holes, np.nan, profiles), [25, 75], axis=0)
    np.testing.assert_allclose(scaler.scale_, (quartiles[1] - quartiles[0]) / 1.349, rtol=1e-3)
    scaled = scaler.transform(dirty)
    assert (scaled[holes] == 0).all()
    assert np.isfinite(scaled).all()
    assert np.count_nonzero(scaled[~holes]) > 0.98 * (~holes).sum()


def test_constant_columns_are_dropped():
    nan, inf = np.nan, np.inf
    X = np.array(
        [
            [1.0, 7.0, nan, 7.0, inf, nan, 1.0],
            [2.0, 7.0, nan, nan, -inf, 3.0, 1.0],
            [3.0, 7.0, nan, 7.0, nan, 4.0, 1.0],
            [4.0, 7.0, nan, inf, 5.0, nan, 2.0],
        ]
    )
    scaler = ProfileScaler().fit(X)
    assert scaler.kept_.tolist() == [True, False, False, False, False, True, True]
    assert scaler.transform(X).shape == (4, 3)
    assert scaler.center_[~scaler.kept_].tolist() == [0] * 4
    assert scaler.scale_[~scaler.kept_].tolist() == [1] * 4
    assert scaler.get_feature_names_out().tolist() == ["x0", "x5", "x6"]


def test_a_range_of_zero_counts_as_one():
    X = np.array([[0.0], [0.0], [0.0], [0.0], [0.0], [0.0], [0.0], [3.0]])
    scaler = ProfileScaler().fit(X)
    assert scaler.scale_.tolist() == [1]
    assert scaler.transform(X).ravel().tolist() == [0] * 7 + [3]


def test_outliers_are_clipped():
    """A value of 335,200 deviations, as public plates have them, moves nothing but itself."""
    X = np.random.default_rng(0).normal(size=(500, 2))
    before = ProfileScaler().fit(X)
    X[7, 0], X[8, 1] = 335_200, -335_200
    scaler = ProfileScaler().fit(X)
    np.testing.assert_allclose(scaler.scale_, before.scale_, rtol=0.02)
    scaled = scaler.transform(X)
    assert scaled[7, 0] == 10
    assert scaled[8, 1] == -10
    assert np.abs(np.delete(scaled, [7, 8], axis=0)).max() < 5
    assert np.abs(ProfileScaler(clip=2).fit_transform(X)).max() == 2


def test_whitening_agrees_with_pca(profiles):
    scaled = ProfileScaler().fit_transform(profiles)
    whitened = ProfileScaler(n_components=20).fit_transform(profiles)
    assert whitened.shape == (80, 20)
    assert whitened.dtype == np.float32
    expected = PCA(20, whiten=True, svd_solver="full").fit_transform(scaled)
    signs = np.sign((whitened * expected).sum(axis=0))
    np.testing.assert_allclose(whitened * signs, expected, atol=0.01)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(20), atol=1e-3)


def test_whitening_in_part(profiles):
    scores = PCA(10).fit_transform(ProfileScaler().fit_transform(profiles))
    for whitening in (0.0, 0.5, 1.0):
        found = ProfileScaler(clip=1e6, n_components=10, whitening=whitening).fit_transform(profiles)
        expected = scores / scores.std(axis=0, ddof=1) ** whitening
        expected /= np.sqrt(expected.var(axis=0, ddof=1).mean())
        np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=r"whitening must be between 0 and 1, got 1\.5"):
        ProfileScaler(n_components=3, whitening=1.5).fit(profiles)


def test_whitening_stops_at_the_rank(profiles):
    copies = np.hstack([profiles[:, :3]] * 4)
    scaler = ProfileScaler(n_components=10).fit(copies)
    assert scaler.transform(copies).shape == (80, 3)
    assert len(scaler.get_feature_names_out()) == 3
    np.testing.assert_allclose(np.cov(scaler.transform(copies).T), np.eye(3), atol=1e-3)


def test_whitened_components_are_clipped(profiles):
    scaler = ProfileScaler(clip=3.0, n_components=5).fit(profiles)
    assert np.abs(scaler.transform(profiles * 1000)).max() == 3


def test_units_and_offsets_do_not_matter(profiles):
    expected = ProfileScaler().fit_transform(profiles)
    np.testing.assert_allclose(ProfileScaler().fit_transform(profiles * 1000 - 3), expected, atol=2e-3)


def test_rows_do_not_matter_to_each_other(profiles):
    scaler = ProfileScaler().fit(profiles)
    whole = scaler.transform(profiles)
    np.testing.assert_array_equal(np.vstack([scaler.transform(profiles[i : i + 1]) for i in range(80)]), whole)
    np.testing.assert_array_equal(ProfileScaler().fit(profiles[::-1]).transform(profiles), whole)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, int])
def test_output_is_float32(dtype):
    X = np.random.default_rng(0).normal(scale=50, size=(30, 4)).astype(dtype)
    before = X.copy()
    scaled = ProfileScaler().fit_transform(X)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(X, before)


def test_names_of_a_frame():
    frame = pd.DataFrame({"Cells_Area": [1.0, 2.0, 3.0], "flat": [1.0, 1.0, 1.0], "Nuclei_Area": [3.0, 1.0, 2.0]})
    scaler = ProfileScaler().set_output(transform="pandas")
    out = scaler.fit_transform(frame)
    assert scaler.feature_names_in_.tolist() == ["Cells_Area", "flat", "Nuclei_Area"]
    assert out.columns.tolist() == ["Cells_Area", "Nuclei_Area"]
    assert scaler.get_feature_names_out(["a", "b", "c"]).tolist() == ["a", "c"]
    with pytest.raises(ValueError, match="feature names"):
        scaler.transform(frame[["Nuclei_Area", "flat", "Cells_Area"]])


def test_bad_input():
    with pytest.raises(ValueError, match="clip must be greater than 0, got 0"):
        ProfileScaler(clip=0).fit(np.eye(3))
    with pytest.raises(ValueError, match="clip must be greater than 0, got nan"):
        ProfileScaler(clip=float("nan")).fit(np.eye(3))
    for parameters, message in (
        ({"clip": None}, "clip must be a number, got None"),
        ({"n_components": 2.0}, "n_components must be an integer or None, got 2.0"),
        ({"whitening": "half"}, "whitening must be a number, got 'half'"),
    ):
        with pytest.raises(TypeError, match=message):
            ProfileScaler(**parameters).fit(np.eye(3))
    with pytest.raises(ValueError, match="n_components must be None or at least 1, got 0"):
        ProfileScaler(n_components=0).fit(np.eye(3))
    with pytest.raises(ValueError, match="All 2 profile columns are constant or without finite values"):
        ProfileScaler().fit(np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"X has 2 features, but ProfileScaler is expecting 3"):
        ProfileScaler().fit(np.eye(3)).transform(np.eye(2))


def test_masked_values_are_missing(profiles):
    mask = np.random.default_rng(1).random(profiles.shape) < 0.1
    masked = np.ma.array(np.where(mask, 1e9, profiles), mask=mask)
    expected = ProfileScaler().fit(np.where(mask, np.nan, profiles))
    np.testing.assert_array_equal(ProfileScaler().fit(masked).center_, expected.center_)
    np.testing.assert_array_equal(expected.transform(masked), expected.transform(np.where(mask, np.nan, profiles)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("7.5", r"X holds '7\.5' in row 1, column 2, which is not a number but a text"),
        ("7,5", r"X holds '7,5' in row 1, column 2, which is not a number \(a decimal comma\?\)"),
        ("#DIV/0!", r"X holds '#DIV/0!' in row 1, column 2, which is not a number"),
        (10**400, r"X holds an integer of 1329 bits in row 1, column 2, which is not a number that fits into 64 bits"),
    ],
)
def test_cells_that_are_not_numbers_are_named(value, message):
    X = np.eye(4).astype(object)
    X[1, 2] = value
    with pytest.raises(ValueError, match=message):
        ProfileScaler().fit(X)
    with pytest.raises(ValueError, match=message):
        ProfileScaler().fit(X.tolist())
