"""Retrieval between two views: ranks and scores, with the values that chance gives; average precision of replicates."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .utils._arrays import floats_of

if TYPE_CHECKING:
    import pandas as pd

_CELLS_PER_BLOCK = 2**24  # of the matrix of similarities

__all__ = [
    "mean_average_precision",
    "normalized_rank",
    "retrieval_ranks",
    "retrieval_report",
    "retrieval_score",
    "top_k_accuracy",
]


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
        When the shapes differ, there is no row, or a value is missing, masked or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.metrics import retrieval_ranks
    >>> retrieval_ranks(np.eye(3), np.eye(3)[[0, 2, 1]])
    array([0. , 1.5, 1.5])
    """
    queries, candidates = floats_of(queries), floats_of(candidates)
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


def mean_average_precision(
    profiles: Any,
    labels: Any,
    *,
    controls: Any = None,
    plates: Any = None,
    distance: str = "cosine",
    null_size: int = 10_000,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure how well rows with one label find each other, with the p-values of copairs ([1]_).

    Each row ranks the others by similarity. Its average precision tells how far up the rows with the same label are,
    among negatives: the controls, if these are given, and else the rows with other labels. With molecules as labels
    and controls, it is phenotypic activity: do the replicates of a molecule stand out from the controls? With
    mechanisms as labels and one row per molecule, it is phenotypic consistency. The extra ``copairs`` installs what it
    needs.

    Parameters
    ----------
    profiles : array-like of float, shape (n_rows, n_features)
        Profiles, or vectors of them or of molecules.
    labels : array-like, shape (n_rows,)
        What rows are to share: molecules, mechanisms or targets. Rows without one (None, NaN) take no part, unless they
        are controls. Labels of a single row have no value.
    controls : array-like of bool, shape (n_rows,), optional
        The negative controls. They are negatives of all other rows, and nothing else; their labels do not matter.
    plates : array-like, shape (n_rows,), optional
        Only rows of the same plate are negatives then.
    distance : str, default="cosine"
        A name that copairs knows, such as "correlation" or "euclidean".
    null_size : int, default=10_000
        Random rankings, from which p-values come.
    random_state : int, default=0

    Returns
    -------
    DataFrame
        One row per label, in order: ``label``, ``n_rows``, ``mean_average_precision``,
        ``mean_normalized_average_precision`` (0 by chance, 1 at best), ``p_value`` and ``corrected_p_value``
        (Benjamini-Hochberg).

    Raises
    ------
    ImportError
        Without copairs.
    ValueError
        When lengths differ, a value is missing, masked or infinite, a row has no plate, no label has two rows, or a row
        has no negatives.

    Notes
    -----
    All pairs of rows are held in memory, 16 bytes each and more: some ten thousand rows are the limit, without
    controls. Of rows that are equally similar, copairs lists those with the same label first. So equal rows, as of an
    embedding that has collapsed, would have the best precision; a warning counts them.

    References
    ----------
    .. [1] Kalinin et al. A versatile information retrieval framework for evaluating profile strength and similarity.
       Nature Communications 16, 5181, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.metrics import mean_average_precision
    >>> rng = np.random.default_rng(0)
    >>> profiles = np.repeat(rng.normal(size=(3, 8)), 4, axis=0) + 0.3 * rng.normal(size=(12, 8))
    >>> found = mean_average_precision(profiles, np.repeat(["a", "b", "c"], 4), null_size=100)
    >>> found["mean_average_precision"].tolist()
    [1.0, 1.0, 1.0]
    """
    try:
        from copairs import map as copairs
    except ImportError as error:
        message = "mean_average_precision needs copairs: pip install 'mocop-sklearn[copairs]'."
        raise ImportError(message, name=error.name) from error
    profiles, rows, names = _labelled_rows(profiles, labels, controls, plates)
    # a control has a reference of its own, so that two of them are not positives
    precision = copairs.average_precision(
        rows,
        profiles,
        pos_sameby=["label", "reference"],
        pos_diffby=[],
        neg_sameby=[] if plates is None else ["plate"],
        neg_diffby=["label"] if controls is None else ["is_control"],
        distance=distance,
        progress_bar=False,
    )
    precision = precision[(precision["reference"] < 0) & (precision["n_pos_pairs"] > 0)]
    found = copairs.mean_average_precision(
        precision, ["label"], null_size=null_size, threshold=0.05, seed=random_state, progress_bar=False
    )
    counts = precision["label"].value_counts()
    found["n_rows"] = found["label"].map(counts)
    found["label"] = [names[code] for code in found["label"]]
    scores = ["mean_average_precision", "mean_normalized_average_precision", "p_value", "corrected_p_value"]
    return found[["label", "n_rows", *scores]]


def _labelled_rows(profiles: Any, labels: Any, controls: Any, plates: Any) -> tuple[np.ndarray, pd.DataFrame, Any]:
    """Check what was given; return the profiles that take part, what is known of each, and the labels by number."""
    import pandas as pd

    profiles = floats_of(profiles)
    codes, names = pd.factorize(np.asarray(labels, dtype=object), sort=True)
    is_control = np.zeros(len(codes), dtype=bool) if controls is None else np.asarray(controls)
    plate = np.zeros(len(codes)) if plates is None else np.asarray(plates)
    lengths = {"profiles": len(profiles), "labels": len(codes), "controls": len(is_control), "plates": len(plate)}
    if profiles.ndim != 2 or len(set(lengths.values())) > 1:
        raise ValueError(f"profiles must be a matrix with one row per label, control and plate, got {lengths} rows.")
    if is_control.dtype != bool:
        raise ValueError(f"controls must be True or False in each row, got values of {is_control.dtype}.")
    codes = np.where(is_control, -1, codes)
    taken = (codes >= 0) | is_control
    wrong = np.flatnonzero(taken & ~(np.isfinite(profiles).all(axis=1) & profiles.any(axis=1)))
    if len(wrong):
        raise ValueError(
            f"Rows {wrong[:10].tolist()} of profiles hold missing or infinite values, or zeros only: leave them out."
        )
    nameless = np.flatnonzero(taken & pd.isna(plate))
    if len(nameless):
        raise ValueError(f"Rows {nameless[:10].tolist()} have no plate: fill it in, or leave them out.")
    reference = np.where(is_control, np.arange(len(codes)), -1)
    rows = pd.DataFrame({"label": codes, "is_control": is_control, "reference": reference, "plate": plate})
    _check_pairs(rows[taken], None if controls is None else "controls", plates is not None)
    _warn_of_equal_rows(profiles[taken], rows[taken], "label" if controls is None else "is_control")
    return profiles[taken], rows[taken].reset_index(drop=True), names


def _warn_of_equal_rows(profiles: np.ndarray, rows: pd.DataFrame, differing: str) -> None:
    """Warn of rows in one direction with a negative, which differs in a column: copairs lists it last."""
    import pandas as pd

    unit = profiles / np.linalg.norm(profiles, axis=1, keepdims=True)
    keys = np.column_stack([pd.factorize(rows["plate"])[0], unit.round(6)])
    group = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    has_negative = rows[differing].groupby(group).transform("nunique") > 1
    n_equal = int((has_negative & ~rows["is_control"]).sum())
    if n_equal:
        warnings.warn(
            f"{n_equal} of {len(rows)} rows equal one of their negatives, up to their length. copairs lists the same "
            "label first then, so that their precision is too good: leave them out.",
            UserWarning,
            stacklevel=4,
        )


def _check_pairs(rows: pd.DataFrame, negatives: str | None, of_plates: bool) -> None:
    """Raise ``ValueError`` unless some label has two rows, and each row has negatives."""
    labelled = rows[~rows["is_control"]]
    if not (labelled["label"].value_counts() > 1).any():
        raise ValueError("No label has two rows: give one row per replicate, or labels that several rows share.")
    enough = rows.groupby("plate").apply(
        lambda plate: plate["is_control"].any() if negatives else plate["label"].nunique() > 1, include_groups=False
    )
    lacking = [name for name in enough[~enough].index if name in set(labelled["plate"])]
    if lacking:
        what = negatives or "rows with another label"
        where = f" on the plates {lacking[:10]}" if of_plates else ""
        raise ValueError(f"There are no {what}{where}, so that rows have no negatives.")
