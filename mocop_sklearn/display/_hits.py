"""``HitSheetDisplay``: the molecules nearest to a profile, drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from rdkit import rdBase
from sklearn.utils.validation import check_is_fitted

from ..molecules._canonical import canonical_smiles
from ..molecules._parse import as_text, check_molecules
from ..utils._arrays import floats_of
from ..utils._sklearn import is_pandas_na, is_scalar_nan
from ._axes import literal, pyplot


@dataclass(frozen=True)
class Sheet:
    """The molecules nearest to one profile.

    Attributes
    ----------
    name : str
        Of the profile.
    own : str or None
        SMILES of the molecule whose profile it is.
    hits : list of (str, float)
        SMILES and similarity, the nearest first.
    """

    name: str
    own: str | None
    hits: list[tuple[str, float]]


class HitSheetDisplay:
    """For some profiles, their own molecule and the nearest ones of a library, drawn with their similarity.

    Parameters
    ----------
    sheets : list of Sheet
        One row of drawings each.

    Attributes
    ----------
    ax_ : ndarray of matplotlib Axes, shape (n_profiles, 1 + n_hits)
        The first column has the molecules that the profiles belong to.
    figure_ : matplotlib Figure
    """

    def __init__(self, sheets: Sequence[Sheet]):
        self.sheets = list(sheets)
        if not self.sheets:
            raise ValueError("A hit sheet needs at least one profile.")

    @classmethod
    def from_estimator(
        cls, estimator: Any, profiles: Any, molecules: Any, *, n_hits: int = 5, names: Any = None, own: Any = None
    ) -> Self:
        """Search a library for profiles by a fitted embedder, and draw.

        Parameters
        ----------
        estimator : fitted MoCoPEmbedder
        profiles : array-like of float or DataFrame, shape (n_profiles, n_features)
        molecules : list, array, Series or one column of str or Mol, shape (n_molecules,)
            The library.
        n_hits : int, default=5
        names, own : sequence of str, shape (n_profiles,), default=None
            Names of the profiles, and the molecules that they belong to; a missing value where none is known. A hit is
            marked as a profile's own molecule whichever way its structure is written.
        """
        check_is_fitted(estimator)
        values = check_molecules(molecules)
        queries, library = estimator.transform_profiles(profiles), estimator._embed(values, "projection")
        return cls.from_predictions(queries @ library.T, values, n_hits=n_hits, names=names, own=own)

    @classmethod
    def from_predictions(
        cls, similarity: Any, molecules: Any, *, n_hits: int = 5, names: Any = None, own: Any = None
    ) -> Self:
        """Draw the molecules of the largest similarities.

        Parameters
        ----------
        similarity : array-like of float, shape (n_profiles, n_molecules)
            NaN for values that are not molecules.
        molecules, n_hits, names, own
            As in :meth:`from_estimator`.
        """
        return cls(sheets_of(similarity, molecules, n_hits, names, own)).plot()

    def plot(self, *, ax: Any = None) -> Self:
        """Draw into a new figure, or into an array of axes with a row for each profile."""
        n_columns = 1 + max(len(sheet.hits) for sheet in self.sheets)
        if ax is None:
            size = (2.1 * n_columns, 2.4 * len(self.sheets))
            shape = (len(self.sheets), n_columns)
            ax = pyplot().subplots(*shape, figsize=size, layout="constrained", squeeze=False)[1]
        self.ax_ = np.asarray(ax)
        self.figure_ = self.ax_[0, 0].figure
        for axis in self.ax_.ravel():
            axis.set_axis_off()
        for row, sheet in zip(self.ax_, self.sheets, strict=True):
            _draw(row[0], sheet.own, sheet.name)
            for axis, (smiles, similarity) in zip(row[1:], sheet.hits, strict=False):
                _draw(axis, smiles, f"{similarity:.3f}" + (" (its own)" if smiles == sheet.own else ""))
        return self


def sheets_of(similarity: Any, molecules: Any, n_hits: int, names: Any = None, own: Any = None) -> list[Sheet]:
    """Return the ``n_hits`` nearest molecules of each row of similarities."""
    similarity = floats_of(similarity)
    texts = [str(as_text(value)) for value in check_molecules(molecules)]
    if similarity.ndim != 2 or similarity.shape[1] != len(texts):
        raise ValueError(
            f"similarity has shape {similarity.shape} but there are {len(texts)} molecules: give one column for each."
        )
    if n_hits < 1:
        raise ValueError(f"n_hits={n_hits} must be at least 1.")
    titles, owners = (_one_each(*given, len(similarity)) for given in (("names", names), ("own", own)))
    sheets = []
    for row, (values, title, owner) in enumerate(zip(similarity, titles, owners, strict=True)):
        nearest = [i for i in np.argsort(-values, kind="stable").tolist() if np.isfinite(values[i])][:n_hits]
        hits = [(texts[i], float(values[i])) for i in nearest]
        sheets.append(Sheet(title or f"profile {row}", owner and _as_among_hits(owner, hits), hits))
    return sheets


def _one_each(name: str, values: Any, n_profiles: int) -> list[str | None]:
    """Return a text for each profile, by position; None where there is none."""
    listed = [None] * n_profiles if values is None else list(values)
    if len(listed) != n_profiles:
        raise ValueError(f"{name} has {len(listed)} values but there are {n_profiles} profiles: give one for each.")
    missing = [value is None or is_scalar_nan(value) or is_pandas_na(value) for value in listed]
    return [None if absent else str(as_text(value)) for value, absent in zip(listed, missing, strict=True)]


def _as_among_hits(own: str, hits: list[tuple[str, float]]) -> str:
    """Return a structure as it is written among the hits, if it is one of them."""
    texts = [text for text, _ in hits]
    if own in texts:
        return own
    with rdBase.BlockLogs():
        wanted, *found = canonical_smiles([own, *texts])
    return own if wanted is None or wanted not in found else texts[found.index(wanted)]


def structure_svg(smiles: str, width: int = 200, height: int = 150) -> str:
    """Draw a molecule as SVG; empty when it cannot be read."""
    from rdkit.Chem.Draw import rdMolDraw2D

    return str(_drawn(smiles, rdMolDraw2D.MolDraw2DSVG(width, height)) or "")


def _draw(axis: Any, smiles: str | None, title: str) -> None:
    axis.set_title(literal(title, 28), fontsize="small")
    if smiles is None:
        return
    from matplotlib.image import imread
    from rdkit.Chem.Draw import rdMolDraw2D

    png = _drawn(smiles, rdMolDraw2D.MolDraw2DCairo(400, 300))
    if png:
        axis.imshow(imread(io.BytesIO(png), format="png"))


def _drawn(smiles: str, drawer: Any) -> Any:
    """Text of a drawer after it has drawn a molecule, or None."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.Draw import rdMolDraw2D

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
    drawer.FinishDrawing()
    return drawer.GetDrawingText()
