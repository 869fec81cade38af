"""Retrieval between two views: ranks and scores, with the values that chance gives."""

from __future__ import annotations

from typing import Any

import numpy as np

_CELLS_PER_BLOCK = 2**24  # of the matrix of similarities

__all__ = ["normalized_rank", "retrieval_ranks", "retrieval_report", "retrieval_score", "top_k_accuracy"]


def retrieval_ranks(queries: Any, candidates: Any) -> np.ndarray:
    """Rank of each query's own candidate among all candidates, by inner product.

    Parameters
    ----------
    queries, candidates : array-like of float, shape (n, d)
        Row i of ``queries`` looks for row i of ``candidates``. Candidates should be distinct: one row per
        molecule.

    Returns
    -------
    ndarray of float, shape (n,)
        0 is best, n - 1 worst. Ties count half, so that constant embeddings rank at chance.

    Raises
    ------
    ValueError
        When the shapes differ, there is no row, or a value is missing or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.metrics import retrieval_ranks
    >>> retrieval_ranks(np.eye(3), np.eye(3)[[0, 2, 1]])
    array([0. , 1.5, 1.5])
    """
    queries, candidates = np.asarray(queries, dtype=np.float64), np.asarray(candidates, dtype=np.float64)
    if queries.shape != candidates.shape or queries.ndim != 2 or not len(queries):
        raise ValueError(
            "queries and candidates must be two matrices of one shape with at least one row, "
            f"got {queries.shape} and {candidates.shape}."
        )
    if not (np.isfinite(queries).all() and np.isfinite(candidates).all()):
        raise ValueError("queries and candidates must be finite: leave out rows with missing values.")
    ranks = np.empty(len(queries))
    block = max(1, _CELLS_PER_BLOCK // len(candidates))
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        similarity = queries[rows] @ candidates.T
        own = np.einsum("ij,ij->i", queries[rows], candidates[rows])[:, None]
        norms = np.linalg.norm(queries[rows], axis=1) * np.linalg.norm(candidates[rows], axis=1)
        # rounding must not break ties, nor the rounding in float32 embeddings of equal things
        tolerance = 1e-6 * (norms[:, None] + np.abs(own))
        above = (similarity > own + tolerance).sum(axis=1)
        tied = (np.abs(similarity - own) <= tolerance).sum(axis=1) - 1
        ranks[rows] = above + tied / 2
    return ranks


def normalized_rank(ranks: Any, n_candidates: int) -> float:
    """Return the mean rank on a scale of any pool: 0 is perfect, 0.5 is chance and 1 is worst."""
    return float(np.mean(ranks) / (n_candidates - 1)) if n_candidates > 1 else 0.5


def top_k_accuracy(ranks: Any, k: int) -> float:
    """Return the share of queries whose own candidate is among the first ``k``; half of its ties come before it.

    Without ties, chance gives k / n_candidates.
    """
    return float(np.mean(np.asarray(ranks) < k))


def retrieval_report(molecules: Any, profiles: Any, ks: tuple[int, ...] = (1, 10)) -> dict[str, float]:
    """Measure retrieval in both directions between paired rows, one row per molecule.

    Parameters
    ----------
    molecules, profiles : array-like of float, shape (n_molecules, d)
        Vectors in the shared space.
    ks : tuple of int, default=(1, 10)

    Returns
    -------
    dict
        ``top{k}`` and ``normalized_rank`` (means of both directions), the same with the suffixes
        ``_molecule_to_profile`` and ``_profile_to_molecule``, ``n_candidates`` and ``chance_top{k}``.
    """
    n = len(molecules)
    report: dict[str, float] = {"n_candidates": n}
    ranks = {
        "molecule_to_profile": retrieval_ranks(molecules, profiles),
        "profile_to_molecule": retrieval_ranks(profiles, molecules),
    }
    for direction, r in ranks.items():
        report |= {f"top{k}_{direction}": top_k_accuracy(r, k) for k in ks}
        report[f"normalized_rank_{direction}"] = normalized_rank(r, n)
    for name in (*(f"top{k}" for k in ks), "normalized_rank"):
        report[name] = float(np.mean([report[f"{name}_{direction}"] for direction in ranks]))
    return report | {f"chance_top{k}": min(1.0, k / n) for k in ks}


def retrieval_score(molecules: Any, profiles: Any) -> float:
    """Return 1 - 2 × the normalised rank, the mean of both directions: 1 is perfect, 0 is chance."""
    return 1.0 - 2.0 * retrieval_report(molecules, profiles, ks=())["normalized_rank"]
