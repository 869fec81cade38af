"""Nested, stratified training sets for a learning curve."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, check_random_state

from ..utils._arrays import as_array
from ..utils._sklearn import is_pandas_na

_UNLABELLED = 0  # the first label, which rows without any measurement have


def training_fractions(
    y: Any,
    fractions: Iterable[float] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0),
    *,
    groups: Any = None,
    random_state: Any = None,
) -> dict[float, np.ndarray]:
    """Nested, stratified training sets for a learning curve.

    All rows are put into one random order, in which every label is spread as evenly as the labels
    allow. Each training set is a beginning of that order, so it contains all smaller ones.

    Parameters
    ----------
    y : array-like, shape (n_samples,) or (n_samples, n_tasks)
        Labels; None and NaN mean not measured. Values with a fraction, and whole numbers that occur
        fewer than five times on average, are cut at quantiles (tenths, or halves in each of several
        tasks); other values are classes.
    fractions : iterable of float, default=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
        Share of the rows in each training set, above 0 and at most 1.
    groups : array-like, shape (n_samples,), default=None
        Rows of one group stay together.
    random_state : int, RandomState instance or None, default=None
        Seed. With the rows in another order, the same seed draws other rows. The sizes stay the
        same; without groups, so do the class counts of a one-dimensional y.

    Returns
    -------
    dict of float to ndarray of int64
        For each fraction the sorted indices of its rows, at least one. The size is fraction ×
        n_samples, rounded. It is only near that number when whole groups do not add up to it: a group
        that is too large waits for a larger fraction.

    Raises
    ------
    ValueError
        When a fraction is out of range, when there are no fractions, when y has more than two dimensions
        or an infinite value, or when groups has missing values, mixed types or another length than y.

    Notes
    -----
    In the order, the k-th of the n rows of a label stands at about (k + 1/2) / n, and one row of
    each label stands at the very beginning. So even the smallest set holds each label if it has room.
    The class counts of a one-dimensional y are within one of proportional, except for the first
    places, which rare classes take from the others. Where labels overlap (several tasks, or groups),
    they are placed from the rarest to the commonest, and each fills the gaps between its rows that
    were placed before, in the manner of iterative stratification [1]_. With tens of tasks the result
    is nearer to proportional than a random draw. With hundreds, the smallest sets give that up in
    order to hold each label: of 250 assays with 3 % actives, 1 % of the rows has 9 % actives.

    References
    ----------
    .. [1] Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, ECML PKDD 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from mocop_sklearn.model_selection import training_fractions
    >>> y = np.repeat([0, 1], [90, 10])
    >>> subsets = training_fractions(y, (0.02, 0.1, 0.5), random_state=0)
    >>> {fraction: np.bincount(y[rows]).tolist() for fraction, rows in subsets.items()}
    {0.02: [1, 1], 0.1: [9, 1], 0.5: [45, 5]}
    """
    fractions = _check_fractions(fractions)
    y = check_array(_without_na(y), dtype=None, ensure_2d=False, ensure_all_finite="allow-nan")
    rng = check_random_state(random_state)
    unit = np.arange(len(y)) if groups is None else _check_groups(groups, len(y))
    membership = sp.csr_array((np.ones(len(unit), dtype=np.int64), (unit, np.arange(len(unit)))))
    labels = membership @ _labels(y)
    order = _stratified_order(labels, rarest_first=y.ndim == 2 or groups is not None, rng=rng)
    chosen = _nested_beginnings(order, np.bincount(unit), fractions)
    return {fraction: np.flatnonzero(chosen[fraction][unit]) for fraction in fractions}


def _check_fractions(fractions: Any) -> list[float]:
    listed = list(fractions) if np.iterable(fractions) else []
    if not listed or not all(isinstance(fraction, Real) and 0 < float(fraction) <= 1 for fraction in listed):
        raise ValueError(
            f"fractions must be a list of one or more numbers above 0 and at most 1, got {listed or fractions!r}."
        )
    return listed


def _check_groups(groups: Any, n: int) -> np.ndarray:
    groups = _without_na(groups)
    if groups.shape != (n,):
        raise ValueError(f"groups must have one value for each of the {n} rows of y, got shape {groups.shape}.")
    if _missing(groups).any():
        raise ValueError("groups has missing values; give each such row a group of its own.")
    try:
        return np.unique(groups, return_inverse=True)[1]
    except TypeError as error:
        raise ValueError(f"groups mixes values that have no order: {error}. Make them all strings.") from error


def _without_na(values: Any) -> Any:
    """An array, in which pandas' NA is None, for NumPy cannot compare NA; a sparse matrix as it came."""
    if sp.issparse(values):
        return values
    array = as_array(values)
    if array.dtype == object and array.size:
        array = array.copy()
        array[np.vectorize(is_pandas_na, otypes=[bool])(array)] = None
    return array


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype != object:
        return values != values
    return np.array([value is None or value != value for value in values], dtype=bool)


def _labels(y: np.ndarray) -> sp.csr_array:
    """Which row has which (task, class or quantile) label; ``_UNLABELLED`` is of rows with nothing measured."""
    tasks = y.reshape(len(y), -1)
    measured = np.column_stack([~_missing(task) for task in tasks.T])
    rows = [np.flatnonzero(~measured.any(axis=1))]
    columns = [np.full_like(rows[0], _UNLABELLED)]
    n_labels = 1
    for task, known in zip(tasks.T, measured.T, strict=True):
        values, codes = np.unique(_strata(task[known], 10 if y.ndim == 1 else 2), return_inverse=True)
        rows.append(np.flatnonzero(known))
        columns.append(codes + n_labels)
        n_labels += len(values)
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sp.csr_array((np.ones(len(row), dtype=np.int64), (row, column)), shape=(len(y), n_labels))


def _strata(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Classes as they are, measurements as the number of their quantile."""
    if values.dtype == object:
        try:
            values = values.astype(float)
        except (TypeError, ValueError):
            return values.astype(str)
        if not np.isfinite(values).all():
            raise ValueError("y has an infinite value.")
    if values.dtype.kind not in "iuf":
        return values
    n_distinct = len(np.unique(values))
    whole = bool((values == np.round(values)).all())
    if n_distinct <= 2 or (whole and n_distinct <= len(values) / 5):
        return values
    n_bins = max(1, min(n_bins, len(values) // 5))
    return np.searchsorted(np.quantile(values, np.arange(1, n_bins) / n_bins), values)


def _stratified_order(labels: sp.csr_array, rarest_first: bool, rng: np.random.RandomState) -> np.ndarray:
    """Order of the units (rows, or groups of them) in which each label is spread evenly.

    ``labels[u, l]`` counts the rows of unit u with label l; every unit has a label.
    """
    time = np.full(labels.shape[0], np.nan)
    turn = np.zeros(labels.shape[0])
    kind = _equal_rows(labels)
    by_label = labels.tocsc()
    totals = np.asarray(labels.sum(axis=0)).ravel()
    order = np.argsort(totals if rarest_first else -totals, kind="stable")
    for i, label in enumerate(order[totals[order] > 0]):
        segment = slice(by_label.indptr[label], by_label.indptr[label + 1])
        members, weights = by_label.indices[segment], by_label.data[segment]
        placed = ~np.isnan(time[members])
        new = np.flatnonzero(~placed)
        if len(new):
            new = new[_mixed(kind[members[new]], rng)]
            slots = _free_slots(np.repeat(time[members[placed]], weights[placed]), totals[label])
            starts = np.cumsum(weights[new]) - weights[new]
            middle = np.add.reduceat(slots, starts) / weights[new] + 0.5
            time[members[new]] = middle / totals[label]
            turn[members[new]] = i
        first = members[np.argmin(time[members])]
        if time[first] > 0 and label != _UNLABELLED:
            time[first], turn[first] = 0, i
    return np.lexsort((turn, time))


def _equal_rows(labels: sp.csr_array) -> np.ndarray:
    """Number of the set of labels that each unit has."""
    labels.sort_indices()
    sets = [labels.indices[i:j].tobytes() for i, j in pairwise(labels.indptr)]
    return np.unique(np.array(sets, dtype=object), return_inverse=True)[1]


def _mixed(kinds: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Random order of units in which those of one kind are spread evenly."""
    order = rng.permutation(len(kinds))
    order = order[np.argsort(kinds[order], kind="stable")]
    _, first, kind, count = np.unique(kinds[order], return_index=True, return_inverse=True, return_counts=True)
    position = (np.arange(len(order)) - first[kind] + rng.uniform(size=len(count))[kind]) / count[kind]
    return order[np.argsort(position)]


def _free_slots(taken: np.ndarray, n_slots: int) -> np.ndarray:
    """Those of the slots 0 to n_slots - 1 that the times ``taken``, between 0 and 1, leave free."""
    step = np.arange(len(taken))
    slots = np.floor(np.sort(taken) * n_slots).astype(np.int64)
    slots = np.maximum.accumulate(slots - step) + step  # one slot each, the next one when it is taken
    slots = np.minimum(slots, n_slots - len(taken) + step)
    return np.delete(np.arange(n_slots), slots)


def _nested_beginnings(order: np.ndarray, sizes: np.ndarray, fractions: Iterable[float]) -> dict[float, np.ndarray]:
    """For each fraction a mask of units whose sizes sum up to about that fraction, nested."""
    chosen = np.zeros(len(order), dtype=bool)
    filled, masks = 0, {}
    for fraction in sorted(set(fractions)):
        target = fraction * sizes.sum()
        for u in order:
            if not chosen[u] and sizes[u] < 2 * (target - filled):
                chosen[u] = True
                filled += sizes[u]
        if not filled:
            smallest = order[np.argmin(sizes[order])]
            chosen[smallest] = True
            filled = sizes[smallest]
        masks[fraction] = chosen.copy()
    return masks
