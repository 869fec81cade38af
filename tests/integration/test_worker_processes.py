"""What takes ``n_jobs`` gives the same answers from other processes, to which all that they need has to be sent."""

import numpy as np
import pytest
from sklearn.base import clone

from mocop_sklearn.baselines import ProfileKernelRidge, ProfileNeighbors
from mocop_sklearn.cli import main
from mocop_sklearn.inspection import ApplicabilityDomain
from mocop_sklearn.model_selection import cluster_groups, molecule_groups, overlap, scaffold_groups
from mocop_sklearn.molecules import MorganCounts
from tests.helpers import library

pytestmark = pytest.mark.integration
MOLECULES = library.LIBRARY[:24]
PROFILES = np.random.default_rng(0).normal(size=(len(MOLECULES), 4))


@pytest.mark.parametrize(
    "function",
    [
        molecule_groups,
        scaffold_groups,
        cluster_groups,
        lambda X, n_jobs=None: overlap(X[:9], X, n_jobs=n_jobs),
        lambda X, n_jobs=None: overlap(X[:9], X, level="exact", n_jobs=n_jobs),
    ],
)
def test_functions(function):
    np.testing.assert_array_equal(function(MOLECULES, n_jobs=2), function(MOLECULES))


@pytest.mark.parametrize("estimator", [MorganCounts(), ApplicabilityDomain(), ProfileNeighbors(), ProfileKernelRidge()])
def test_estimators(estimator):
    one, two = (clone(estimator).set_params(n_jobs=n).fit(MOLECULES, PROFILES) for n in (None, 2))
    answer = "predict" if hasattr(estimator, "predict") else "transform"
    np.testing.assert_array_equal(getattr(two, answer)(MOLECULES), getattr(one, answer)(MOLECULES))


def test_predictions_with_a_domain(tmp_path):
    rows = "".join(f"{smiles},{i / 7}\n" for i, smiles in enumerate(MOLECULES[:12]))
    (tmp_path / "t.csv").write_text(f"smiles,y\n{rows}")
    table, model = str(tmp_path / "t.csv"), str(tmp_path / "m.safetensors")
    tiny = ["--max-epochs", "0", "--n-layers", "1", "--hidden-dim", "8", "--embedding-dim", "8"]
    assert main(["finetune", table, "--target", "y", "-o", model, "-q", *tiny]) == 0
    found = []
    for words in ([], ["--n-jobs", "2"]):
        assert main(["predict", table, "-m", model, "-o", str(tmp_path / "p.csv"), "-q", *words]) == 0
        found.append((tmp_path / "p.csv").read_text())
    assert found[0] == found[1]
    assert "nearest" in found[0]
