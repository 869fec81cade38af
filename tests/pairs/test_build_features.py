"""``build_pairs``: columns of several files, and statistics over all of them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from mocop_sklearn.profiles import ProfileFilter, ProfileNormalizer
from tests.helpers.platemaker import (
    MOLECULES,
    make_plate,
    normalized,
)


def test_columns_of_files_are_matched_by_name(build):
    one, two = make_plate("P1"), make_plate("P2")
    turned = two[two.columns[::-1]]
    for columns in ("same", "intersection", "union"):
        assert build(one, turned, columns=columns).digest == build(one, two).digest


@pytest.mark.parametrize("columns", ["same", "intersection", "union"])
def test_files_with_other_columns(build, columns):
    one = make_plate("P1")
    two = make_plate("P2").drop(columns="Cells_f1").assign(Cells_f9=np.arange(10.0))[lambda f: f.columns[::-1]]
    if columns == "same":
        with pytest.raises(ValueError, match=r"plate0-0.parquet' lacks 1 feature columns .*\['Cells_f9'\]"):
            build(one, two)
        return
    pairs = build(one, two, columns=columns, dtype="float32")
    shared = ["Cells_f0", "Cells_f2", "Cells_f3", "Cells_f4"]
    names = shared if columns == "intersection" else ["Cells_f0", "Cells_f1", *shared[1:], "Cells_f9"]
    assert pairs.feature_names == names
    frames = [pd.DataFrame(normalized(f), columns=f.filter(like="Cells_").columns)[4:] for f in (one, two)]
    np.testing.assert_allclose(pairs.profiles, pd.concat(frames)[names], rtol=1e-5, atol=1e-6)
    assert pairs.report_["features_read"] == 6


def test_files_without_a_common_column(build):
    with pytest.raises(ValueError, match="no feature column in common"):
        build(make_plate("P1"), make_plate("P2").rename(columns=lambda c: c.replace("Cells", "X")),
              columns="intersection")  # fmt: skip


def paper_plates():
    """Three plates with columns for each of the rules of the paper; the second in another order of columns."""
    frames = [make_plate(f"P{i}", MOLECULES * 3, n_features=12, seed=1) for i in range(3)]
    for i, frame in enumerate(frames):
        control = frame["Metadata_IsNegcon"].to_numpy()
        frame["Nuclei_Granularity_14_DNA"] = frame["Cells_f0"]
        frame["Cells_f1"] *= np.where(control, 1, 1e-3)  # hardly varies among the treated
        frame["Cells_f1"] -= np.where(control, 0, frame["Cells_f1"].mean())
        frame["Cells_f2"] *= np.where(control, 1, 30)
        frame.loc[7, "Cells_f3"] = np.nan if i == 1 else frame.loc[7, "Cells_f3"]
    frames[1] = frames[1][frames[1].columns[::-1]]
    return frames


def stacked(frames):
    """Normalised profiles of the treated wells of all plates, unclipped."""
    normalizer = ProfileNormalizer().set_output(transform="pandas")
    parts = [normalizer.fit_transform(frame)[~frame["Metadata_IsNegcon"].to_numpy()] for frame in frames]
    return pd.concat(parts)[parts[0].columns]


@pytest.mark.filterwarnings("ignore:.*values were clipped")
@pytest.mark.parametrize("clip", [1.0, 100.0])
@pytest.mark.parametrize("changes", [{}, {"max_missing": 0.05}, {"outlier_cutoff": 20.0}, {"min_std": None}])
def test_filter_is_that_of_all_rows_at_once(build, changes, clip):
    frames = paper_plates()
    rule = ProfileFilter.paper(**changes)
    Z = stacked(frames)
    expected = clone(rule).fit(Z)
    pairs = build(*frames, feature_filter=rule, clip=clip, dtype="float32")
    assert pairs.feature_names == expected.get_feature_names_out().tolist()
    assert 0 < len(pairs.feature_names) < 13
    assert pairs.report_["features_dropped"] == {name: len(columns) for name, columns in expected.report_.items()}
    assert pairs.report_["features"] == len(pairs.feature_names)
    assert pairs.report_["features_read"] == 13
    assert not hasattr(rule, "support_")
    np.testing.assert_allclose(pairs.profiles, Z[pairs.feature_names].clip(-clip, clip), rtol=1e-5)


@pytest.mark.parametrize("offsets", [(0, 0, 0), (1e4, -1e4, 3e3), (1e6, 0, 1e6)])
def test_moments_of_plates_merge_exactly(build, offsets):
    frames = []
    for i, offset in enumerate(offsets):
        frame = make_plate(f"P{i}", MOLECULES[: 2 + 2 * i], n_features=1, seed=2)
        frame["Cells_f0"] += np.float32(offset)
        frames.append(frame.assign(Cells_wide=1e9 * frame["Cells_f0"]))
    spread = np.concatenate([frame["Cells_f0"].to_numpy(float)[4:] for frame in frames]).std()
    for limit, left in [(spread * (1 - 1e-9), ["Cells_f0", "Cells_wide"]), (spread * (1 + 1e-9), ["Cells_wide"])]:
        rule = ProfileFilter(min_std=limit, max_std=None)
        pairs = build(*frames, feature_filter=rule, normalizer="passthrough", dtype="float32", clip=None)
        assert pairs.feature_names == left


def test_share_of_missing_values_over_files_with_other_columns(build):
    one, two = make_plate("P1"), make_plate("P2", MOLECULES[:2]).drop(columns="Cells_f4")
    one.loc[4, "Cells_f0"] = np.nan
    for limit, lacking in [(1 / 8 - 1e-9, {"Cells_f0", "Cells_f4"}), (1 / 8, {"Cells_f4"}), (1 / 4, set())]:
        chosen = ProfileFilter(max_missing=limit, min_std=None, max_std=None)
        pairs = build(one, two, columns="union", feature_filter=chosen)
        assert {f"Cells_f{i}" for i in range(5)} - set(pairs.feature_names) == lacking


@pytest.mark.parametrize("rule", ["freq_cut", "unique_cut", "correlation_threshold"])
def test_rules_that_need_all_rows_are_refused(build, rule):
    with pytest.raises(ValueError, match=rf"\['{rule}'\] need all profiles at once.*first step of profile_transformer"):
        build(make_plate(), feature_filter=ProfileFilter(**{rule: 0.5}))


@pytest.mark.filterwarnings("ignore:The rules drop all 5 columns")
def test_a_filter_that_leaves_nothing(build):
    with pytest.raises(ValueError, match="feature_filter leaves no column"):
        build(make_plate(), feature_filter=ProfileFilter(min_std=1e9, max_std=None))
