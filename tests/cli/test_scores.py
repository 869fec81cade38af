"""Scores of all resamples at once are those of scikit-learn and SciPy on each resample."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics

from mocop_sklearn.cli._scores import SCORES, resampled

REFERENCES = {
    "AUROC": metrics.roc_auc_score,
    "average precision": metrics.average_precision_score,
    "balanced accuracy": metrics.balanced_accuracy_score,
    "accuracy": metrics.accuracy_score,
    "RMSE": metrics.root_mean_squared_error,
    "MAE": metrics.mean_absolute_error,
    "R²": metrics.r2_score,
    "Spearman": lambda truth, predicted: spearmanr(truth, predicted)[0],
}
CASES = [(kind, name) for kind, scores in SCORES.items() for name in scores]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_resample(kind, name):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30).round(1) if kind == "regression" else rng.integers(2 + (kind == "multiclass"), size=30)
    predicted = (truth + rng.normal(size=30)).round(1)  # with ties
    if kind == "multiclass":
        predicted = rng.integers(3, size=30)
    truth = truth.astype(float)
    for weights in (np.ones(30), rng.multinomial(30, np.full(30, 1 / 30))):
        rows = np.repeat(np.arange(30), weights.astype(int))
        found = SCORES[kind][name](truth, predicted, weights[None].astype(float))
        assert found[0] == pytest.approx(REFERENCES[name](truth[rows], predicted[rows]))


@pytest.mark.filterwarnings("error")
def test_resamples():
    truth = np.array([0, 1, np.nan, 1, 0, 0])
    predicted = np.array([0.1, 0.9, 0.5, 0.2, 0.3, np.nan])
    auroc = SCORES["binary"]["AUROC"]
    values = resampled(auroc, truth, predicted, seed=0, n_resamples=200)
    assert values[0] == metrics.roc_auc_score([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.3])
    np.testing.assert_array_equal(resampled(auroc, truth, predicted, 0, 200), values)
    assert np.isnan(values).any()  # resamples with one class
    assert np.nanmin(values) >= 0
    assert np.isnan(resampled(auroc, np.full(3, np.nan), np.ones(3), 0)).all()
    # a good model has a narrower interval with more rows
    few, many = (np.random.default_rng(0).normal(size=n) for n in (20, 2000))
    spread = [np.std(resampled(SCORES["regression"]["RMSE"], y, 0 * y, 0)) for y in (few, many)]
    assert spread[0] > 3 * spread[1]
