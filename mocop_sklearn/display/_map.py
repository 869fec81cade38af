"""``EmbeddingMapDisplay``: molecules in two dimensions."""

from __future__ import annotations

from importlib.util import find_spec
from numbers import Number
from typing import Any, Self

import numpy as np
from sklearn.decomposition import PCA

from ..utils._arrays import as_array, floats_of
from ..utils._sklearn import StrOptions, is_pandas_na, is_scalar_nan, make_constraint
from ._axes import COLOR_MAP, COLORS, GREY, MARKERS, literal, new_axes, tidy

_METHOD = StrOptions({"auto", "pca", "umap"})


class EmbeddingMapDisplay:
    """A map of embedded molecules, coloured by a column.

    Parameters
    ----------
    coordinates : array-like of float, shape (n_points, 2)
    color : array-like, shape (n_points,), default=None
        Numbers have a scale of colours, and are grey where they are missing. Texts and truth values have a colour and
        a marker for each of the seven most frequent; others are grey.
    color_name : str, default=""
    axis_names : tuple of str

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self, coordinates: Any, color: Any = None, *, color_name: str = "", axis_names: tuple[str, str] = ("", "")
    ):
        self.coordinates = floats_of(coordinates)
        self.color = None if color is None else values_to_show(color)
        self.color_name = color_name
        self.axis_names = axis_names
        if self.color is not None and self.color.shape != (len(self.coordinates),):
            raise ValueError(
                f"color has shape {self.color.shape} but there are {len(self.coordinates)} molecules: give one value "
                "per molecule."
            )

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, color: Any = None, **options: Any) -> Self:
        """Embed molecules, and plot.

        Parameters
        ----------
        estimator : fitted transformer of molecules
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
            Rows that are embedded as NaN are left out.
        color : array-like, shape (n_samples,), default=None
        **options
            As of :meth:`from_predictions`.
        """
        return cls.from_predictions(np.asarray(estimator.transform(X)), color=color, **options)

    @classmethod
    def from_predictions(
        cls,
        vectors: Any,
        *,
        color: Any = None,
        color_name: str = "",
        method: str = "auto",
        random_state: int = 0,
        ax: Any = None,
    ) -> Self:
        """Reduce vectors to two dimensions, and plot.

        Parameters
        ----------
        vectors : array-like of float, shape (n_samples, n_columns)
            Rows with NaN are left out.
        color : array-like, shape (n_samples,), default=None
        color_name : str, default=""
        method : {"auto", "pca", "umap"}, default="auto"
            ``"auto"`` is UMAP when ``umap-learn`` is installed, else the principal components.
        random_state : int, default=0
            Seed of UMAP.
        ax : matplotlib Axes, default=None
        """
        vectors = floats_of(vectors)
        known = np.isfinite(vectors).all(axis=1)
        coordinates, names = reduced(vectors[known], method, random_state)
        color = None if color is None else as_array(color)[known]
        return cls(coordinates, color, color_name=color_name, axis_names=names).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into ``ax``, or into a new figure."""
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        if self.color is None:
            self._scatter(slice(None), color=COLORS[0])
        elif self.color.dtype.kind in "iuf":
            self._numbers(self.color.astype(float))
        else:
            self._categories(np.array([str(value) for value in self.color.tolist()]))
        self.ax_.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1], xticks=[], yticks=[])
        tidy(self.ax_)
        return self

    def _scatter(self, rows: Any, **style: Any) -> Any:
        x, y = self.coordinates[rows].T
        size = float(np.clip(8000 / max(len(self.coordinates), 1), 12, 40))
        return self.ax_.scatter(x, y, **({"s": size, "alpha": 0.75, "linewidths": 0, "rasterized": True} | style))

    def _numbers(self, values: np.ndarray) -> None:
        known = np.isfinite(values)
        if not known.all():
            self._scatter(~known, color="#cccccc")
        if known.any():
            low, high = np.percentile(values[known], [2, 98])
            points = self._scatter(known, c=values[known], cmap=COLOR_MAP, vmin=low, vmax=high)
            extend = "both" if low > values[known].min() or high < values[known].max() else "neither"
            scale = self.figure_.colorbar(points, ax=self.ax_, label=literal(self.color_name), extend=extend)
            scale.solids.set_alpha(1)

    def _categories(self, values: np.ndarray) -> None:
        names, counts = np.unique(values, return_counts=True)
        most = np.argsort(-counts, kind="stable")[: len(COLORS) - 1]
        own = np.isin(values, names[most])
        if not own.all():
            n_others = len(names) - len(most)
            self._scatter(~own, color=GREY, marker=".", label=f"{n_others:,} others ({(~own).sum():,})")
        for i, place in enumerate(most.tolist()):
            label = f"{literal(names[place] or '(unknown)')} ({counts[place]:,})"
            self._scatter(values == names[place], color=COLORS[i], marker=MARKERS[i], label=label)
        legend = self.ax_.legend(title=literal(self.color_name), fontsize="small", loc="center left",
                                 bbox_to_anchor=(1.0, 0.5), frameon=False)  # fmt: skip
        for handle in legend.legend_handles:
            handle.set_alpha(1)


def values_to_show(column: Any) -> np.ndarray:
    """Return numbers as such, whatever holds them, and other values as texts, empty where they are missing."""
    values = as_array(column)
    if values.dtype != object:
        return values
    listed = values.ravel().tolist()
    known = [not (value is None or is_scalar_nan(value) or is_pandas_na(value)) for value in listed]
    if all(isinstance(v, Number) and not isinstance(v, bool) for v, k in zip(listed, known, strict=True) if k):
        shown = np.array([float(v) if k else np.nan for v, k in zip(listed, known, strict=True)])
    else:
        shown = np.array([str(v) if k else "" for v, k in zip(listed, known, strict=True)])
    return shown.reshape(values.shape)


def reduced(vectors: np.ndarray, method: str = "auto", random_state: int = 0) -> tuple[np.ndarray, tuple[str, str]]:
    """Return two coordinates of each row, and the names of the axes.

    Raises
    ------
    ValueError
        When the method is unknown, or there are fewer than three rows.
    ImportError
        With ``method="umap"``, when ``umap-learn`` is missing.
    """
    if not make_constraint(_METHOD).is_satisfied_by(method):
        raise ValueError(f'method must be "auto", "pca" or "umap", got {method!r}.')
    if len(vectors) < 3:
        raise ValueError(f"A map needs at least 3 molecules that could be embedded, got {len(vectors)}.")
    has_umap = find_spec("umap") is not None
    if method == "umap" and not has_umap:
        raise ImportError('method="umap" needs umap-learn: pip install umap-learn')
    if method != "pca" and has_umap:
        from umap import UMAP

        neighbors = min(15, len(vectors) - 1)
        found = UMAP(n_neighbors=neighbors, random_state=random_state, n_jobs=1).fit_transform(vectors)
        return np.asarray(found), ("UMAP 1", "UMAP 2")
    with np.errstate(invalid="ignore"):  # of vectors that are all the same
        pca = PCA(n_components=min(2, vectors.shape[1]), svd_solver="full").fit(vectors)
    coordinates = np.zeros((len(vectors), 2))
    coordinates[:, : pca.n_components_] = pca.transform(vectors)
    shares = [*np.nan_to_num(pca.explained_variance_ratio_).tolist(), 0.0]
    first, second = (f"principal component {i + 1} ({shares[i]:.0%} of the variance)" for i in range(2))
    return coordinates, (first, second)
