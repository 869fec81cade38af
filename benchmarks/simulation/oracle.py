"""What the simulations planted, and retrieval by an oracle that knows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch

from mocop_sklearn.datasets._planting import OUTLIER_DECADES, SHARED_NOISE
from mocop_sklearn.metrics import retrieval_report
from mocop_sklearn.utils._sklearn import StrOptions, validate_params

from .layout import PLATE_KEY
from .plates import plates_of, profiles_of, split_by_group


def planted_effects(data: Bunch, molecules: Any = None) -> np.ndarray:
    """Effects of molecules, before any noise: what a well would show without disturbance.

    Parameters
    ----------
    data : Bunch
        From :func:`make_jump_like`.
    molecules : array-like of int or bool, default=None
        Rows of ``data.molecules``, or a mask over them. None takes all: at JUMP's full size 1.6 GB.

    Returns
    -------
    ndarray of float32, shape (n, n_columns)
        c = 4 tanh(a z W / 4), in the units of the noise; 0 in useless columns.
    """
    rows = _chosen(data, molecules)
    return profiles_of(data.amplitude[rows, None] * data.latent[rows], data.loadings)


def planted_states(data: Bunch, *, normalized: bool = True) -> np.ndarray:
    """Latent state that each well shows, drawn again plate by plate.

    Parameters
    ----------
    data : Bunch
        From :func:`make_jump_like`.
    normalized : bool, default=True
        Without the shifts of source, batch and plate: a z + noise h, what a perfect normalisation of each plate leaves.

    Returns
    -------
    ndarray of float32, shape (n_wells, n_latent)
        In the order of ``data.wells``.
    """
    states = []
    for plate, _, effect in plates_of(data):
        state, _ = data.simulation.states(plate, effect)
        states.append(state - data.simulation.technical(plate)[0] if normalized else state)
    return np.concatenate(states)


@validate_params(
    {
        "data": [Bunch],
        "molecules": ["array-like", None],
        "within": [StrOptions({"plate", "batch", "source"}), None],
        "normalized": ["boolean"],
        "structure_only": ["boolean"],
        "ks": [tuple],
    },
    prefer_skip_nested_validation=True,
)
def jump_like_retrieval(
    data: Bunch,
    molecules: Any = None,
    *,
    within: str | None = None,
    normalized: bool = True,
    structure_only: bool = False,
    ks: tuple[int, ...] = (1, 10),
) -> dict[str, float]:
    """Retrieval by an oracle: about the best that any model can reach on these molecules.

    The oracle sees the latent state of every well without error, which hundreds of features come close to: with 500
    on eight plates, centred on their controls, a linear estimate found 45 % of the molecules, the oracle 47 %. It
    compares the mean over a molecule's wells with the planted a z by Euclidean distance.

    Parameters
    ----------
    data : Bunch
        From :func:`make_jump_like`.
    molecules : array-like of int or bool, default=None
        The pool: rows of ``data.molecules``, or a mask over them. None takes all.
    within : {"plate", "batch", "source"}, default=None
        Retrieve among the molecules of one plate, batch or source, from its wells alone: no technical effect that
        they share tells them apart. None: one pool, and the mean over all wells.
    normalized : bool, default=True
        Whether the shifts of source, batch and plate are known and removed. If not, the oracle takes them for noise.
    structure_only : bool, default=False
        Whether the oracle ignores amplitudes, as a model must that sees structures: each a is the pool's mean.
    ks : tuple of int, default=(1, 10)

    Returns
    -------
    dict
        As :func:`~mocop_sklearn.metrics.retrieval_report`. With ``within``, means over the molecules of all pools of
        two or more (a molecule counts once in each), chance levels too, and ``n_pools``.

    Examples
    --------
    >>> import tempfile
    >>> from simulation import jump_like_retrieval, make_jump_like
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = make_jump_like(folder, n_plates=8, n_features=10, n_useless=0, random_state=0)
    >>> across = jump_like_retrieval(data, data.active)
    >>> within = jump_like_retrieval(data, data.active, within="plate")
    >>> within["n_candidates"] < across["n_candidates"]
    True
    """
    rows = _chosen(data, molecules)
    amplitude = np.full(len(rows), data.amplitude[rows].mean()) if structure_only else data.amplitude[rows]
    planted = amplitude[:, None] * data.latent[rows]
    row_of = np.full(len(data.molecules) + 1, -1)  # the last is of wells without a molecule
    row_of[rows] = np.arange(len(rows))
    row = row_of[data.wells["molecule"].to_numpy()]
    keys = {None: [], "source": PLATE_KEY[:1], "batch": PLATE_KEY[:2], "plate": PLATE_KEY}[within]
    group = data.wells.groupby(keys, sort=False).ngroup().to_numpy() if keys else np.zeros(len(row), dtype=int)
    states = planted_states(data, normalized=normalized)
    reports = []
    for wells in split_by_group(group, row >= 0):
        pool, place, n_wells = np.unique(row[wells], return_inverse=True, return_counts=True)
        if len(pool) > 1 or within is None:
            mean = (
                sp.csr_array((np.ones(len(place)), (place, np.arange(len(place))))) @ states[wells] / n_wells[:, None]
            )
            reports.append(_nearest_report(planted[pool], mean, ks))
    if within is None:
        return reports[0]
    if not reports:
        raise ValueError(f"No {within} holds two or more of these {len(rows)} molecules.")
    size = np.array([report["n_candidates"] for report in reports])
    mean_report = {name: float(np.average([r[name] for r in reports], weights=size)) for name in reports[0]}
    return mean_report | {"n_pools": len(reports)}


def _chosen(data: Bunch, molecules: Any) -> np.ndarray:
    rows = np.arange(len(data.molecules))
    return rows if molecules is None else rows[np.asarray(molecules)]


def planted_retrieval(data: Bunch, molecules: Any = None, *, ks: tuple[int, ...] = (1, 10)) -> dict[str, float]:
    """Retrieval by an oracle: about the best that any model can reach on these molecules.

    The oracle knows each molecule's effect, activity included, the plates' offsets and scales, and the
    covariance of the noise. It compares the planted effect with the mean of the replicates by their
    Mahalanobis distance. Position effects stay unknown to it.

    Parameters
    ----------
    data : Bunch
        From :func:`~mocop_sklearn.datasets.make_paired_profiles`.
    molecules : array-like of int or bool, default=None
        The pool: rows of ``data.molecules``, or a mask over them. None takes all.
    ks : tuple of int, default=(1, 10)

    Returns
    -------
    dict
        As :func:`~mocop_sklearn.metrics.retrieval_report`. Ties, as among inactive molecules, are broken at
        random. A model that sees structures alone cannot know who is active: compare it with the oracle on
        a pool of actives, for instance ``molecules=data.active``.

    Examples
    --------
    >>> from mocop_sklearn.datasets import make_paired_profiles
    >>> from simulation import planted_retrieval
    >>> data = make_paired_profiles(n_molecules=100, inactive_fraction=0.5, random_state=0)
    >>> planted_retrieval(data)["top1"] < planted_retrieval(data, data.active)["top1"]
    True
    """
    rows = np.arange(len(data.molecules))
    rows = rows if molecules is None else rows[np.asarray(molecules)]
    loadings = data.noise_loadings
    covariance = loadings.T @ loadings + (1 - SHARED_NOISE) * np.eye(loadings.shape[1])
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    planted, observed = data.clean_profiles[rows] @ whiten, _observed_effects(data, rows) @ whiten
    return _nearest_report(planted, observed, ks)


def _nearest_report(planted: np.ndarray, observed: np.ndarray, ks: tuple[int, ...]) -> dict[str, float]:
    """Retrieval by Euclidean distance."""
    planted = planted + 1e-4 * np.random.default_rng(0).normal(size=planted.shape)  # ties fall at random
    # minus half the squared distance, written as an inner product
    one = np.ones((len(planted), 1))
    planted = np.hstack([planted, -0.5 * (planted**2).sum(axis=1, keepdims=True), one])
    observed = np.hstack([observed, one, -0.5 * (observed**2).sum(axis=1, keepdims=True)])
    return retrieval_report(planted, observed, ks)


def _observed_effects(data: Bunch, molecules: np.ndarray) -> np.ndarray:
    """Mean over the replicates, free of plate effects, outliers and missing values."""
    n_controls = int(data.is_control.sum())
    wells = np.argsort(data.molecule_of_well, kind="stable")[n_controls:].reshape(len(data.molecules), -1)[molecules]
    plate = data.plate_of_well[wells]
    effect = (data.profiles[wells] - data.plate_offset[plate]) / data.plate_scale[plate]  # (n, replicates, n_features)
    usable = np.abs(effect) < 0.9 * 10 ** OUTLIER_DECADES[0]
    return np.where(usable, effect, 0.0).sum(axis=1) / np.maximum(usable.sum(axis=1), 1)
