import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import top_k_accuracy_score

from mocop_sklearn import metrics
from mocop_sklearn.metrics import normalized_rank, retrieval_ranks, retrieval_report, retrieval_score, top_k_accuracy


@pytest.fixture
def views():
    """Two noisy views of fifty things."""
    rng = np.random.default_rng(0)
    molecules = rng.normal(size=(50, 6))
    return molecules, molecules + rng.normal(size=(50, 6))


@pytest.mark.parametrize(
    ("similarity", "ranks"),
    [
        ([[3, 2, 1], [1, 3, 2], [2, 1, 3]], [0, 0, 0]),
        ([[1, 2, 3], [3, 1, 2], [3, 2, 1]], [2, 2, 2]),
        ([[2, 3, 1], [1, 3, 2], [3, 2, 1]], [1, 0, 2]),
        ([[2, 2, 1], [1, 1, 1], [5, 5, 4]], [0.5, 1, 2]),  # a tie counts half
        ([[1, 2, 1], [2, 2, 2], [0, 1, 1]], [1.5, 1, 0.5]),
    ],
)
def test_ranks_of_hand_made_similarities(similarity, ranks):
    """With the identity for candidates, the queries are the similarities."""
    assert retrieval_ranks(np.array(similarity), np.eye(3)).tolist() == ranks


def test_ranks_agree_with_scipy(views):
    molecules, profiles = views
    similarity = molecules @ profiles.T
    expected = rankdata(-similarity, axis=1).diagonal() - 1
    np.testing.assert_array_equal(retrieval_ranks(molecules, profiles), expected)


def test_rounding_does_not_break_ties():
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, 128)).astype(np.float32)
    row /= np.linalg.norm(row)
    assert set(retrieval_ranks(np.repeat(row, 33, axis=0), np.repeat(row, 33, axis=0))) == {16.0}


def test_top_k_agrees_with_sklearn(views):
    molecules, profiles = views
    ranks = retrieval_ranks(molecules, profiles)
    for k in (1, 3, 10):
        expected = top_k_accuracy_score(np.arange(50), molecules @ profiles.T, k=k)
        assert top_k_accuracy(ranks, k) == pytest.approx(expected)


def test_top_k_of_ties():
    assert top_k_accuracy([0, 0.5, 1, 1.5], 1) == 0.5
    assert top_k_accuracy([0, 0.5, 1, 1.5], 2) == 1.0


def test_ranks_do_not_hang_on_the_scale():
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(50, 8))
    candidates = queries + 0.5 * rng.normal(size=(50, 8))
    ranks = retrieval_ranks(queries, candidates)
    for scale in (1e-6, 1e6):
        np.testing.assert_array_equal(retrieval_ranks(scale * queries, scale * candidates), ranks)


@pytest.mark.parametrize("n", [2, 3, 17, 400])
def test_constant_embeddings_rank_at_chance(n):
    ranks = retrieval_ranks(np.ones((n, 3)), np.ones((n, 3)))
    assert normalized_rank(ranks, n) == 0.5
    assert retrieval_score(np.ones((n, 3)), np.ones((n, 3))) == 0


def test_random_embeddings_rank_at_chance():
    rng = np.random.default_rng(0)
    ranks = retrieval_ranks(rng.normal(size=(2000, 8)), rng.normal(size=(2000, 8)))
    # the standard error of the mean of 2000 uniform numbers is 0.0065
    assert normalized_rank(ranks, 2000) == pytest.approx(0.5, abs=0.02)
    assert top_k_accuracy(ranks, 200) == pytest.approx(0.1, abs=0.02)


def test_the_score_does_not_hang_on_the_size_of_the_pool():
    rng = np.random.default_rng(0)
    molecules = rng.normal(size=(3000, 6))
    profiles = molecules + 2 * rng.normal(size=(3000, 6))
    small, large = retrieval_score(molecules[:500], profiles[:500]), retrieval_score(molecules, profiles)
    assert small == pytest.approx(large, abs=0.03)
    assert top_k_accuracy(retrieval_ranks(molecules[:500], profiles[:500]), 1) > 2 * top_k_accuracy(
        retrieval_ranks(molecules, profiles), 1
    )


def test_extremes_of_the_score():
    assert retrieval_score(np.eye(5), np.eye(5)) == 1
    assert retrieval_score(np.eye(5), -np.eye(5)) == -1
    assert retrieval_score(np.ones((1, 3)), np.ones((1, 3))) == 0  # a pool of one tells nothing


def test_report_holds_both_directions(views):
    molecules, profiles = views
    # one hub among the profiles spoils one direction more than the other
    profiles[0] *= 20
    report = retrieval_report(molecules, profiles, ks=(1, 5, 100))
    there, back = retrieval_ranks(molecules, profiles), retrieval_ranks(profiles, molecules)
    assert report["n_candidates"] == 50
    for k in (1, 5, 100):
        one, other = top_k_accuracy(there, k), top_k_accuracy(back, k)
        assert report[f"top{k}_molecule_to_profile"] == one
        assert report[f"top{k}_profile_to_molecule"] == other
        assert report[f"top{k}"] == pytest.approx((one + other) / 2)
        assert report[f"chance_top{k}"] == min(1, k / 50)
    assert report["normalized_rank_molecule_to_profile"] == pytest.approx(there.mean() / 49)
    assert report["normalized_rank_profile_to_molecule"] == pytest.approx(back.mean() / 49)
    assert report["normalized_rank_molecule_to_profile"] != report["normalized_rank_profile_to_molecule"]
    assert retrieval_score(molecules, profiles) == pytest.approx(1 - 2 * report["normalized_rank"])
    assert all(isinstance(value, (int, float)) for value in report.values())


def test_permutations_and_rotations_do_not_matter(views):
    molecules, profiles = views
    order = np.random.default_rng(1).permutation(50)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    expected = retrieval_score(molecules, profiles)
    assert retrieval_score(molecules[order], profiles[order]) == pytest.approx(expected)
    assert retrieval_score(molecules @ rotation, profiles @ rotation) == pytest.approx(expected)


@pytest.mark.parametrize("block", [1, 7, 50])
def test_blocks_agree_with_the_whole(views, monkeypatch, block):
    molecules, profiles = (v.round(1) for v in views)
    whole = retrieval_ranks(molecules, profiles)
    monkeypatch.setattr(metrics, "_CELLS_PER_BLOCK", block * 50)
    np.testing.assert_array_equal(retrieval_ranks(molecules, profiles), whole)


def test_input_is_checked():
    with pytest.raises(ValueError, match=r"one shape.*\(3, 2\) and \(4, 2\)"):
        retrieval_ranks(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="at least one row"):
        retrieval_ranks(np.ones((0, 2)), np.ones((0, 2)))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            retrieval_ranks(np.full((3, 2), bad), np.ones((3, 2)))
