"""What a notebook shows of ``PairedProfiles``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils._html import Markup, element, summary

if TYPE_CHECKING:
    from ._pairs import PairedProfiles

_SHOWN = 3  # names of labels


def repr_html(pairs: PairedProfiles) -> Markup:
    """Return a short table; of a corpus that is not at hand, its text only."""
    if pairs._is_closed:
        return element("code", repr(pairs))
    return summary("PairedProfiles", overview(pairs))


def overview(pairs: PairedProfiles) -> dict[str, Any]:
    """Return names and texts of what a corpus holds, without reading its profiles.

    Parameters
    ----------
    pairs : PairedProfiles

    Returns
    -------
    dict of str to str
        A text is empty where nothing is known.
    """
    names = pairs.feature_names
    features = f"{pairs.n_features:,}" + ("" if names is None else f": {', '.join(names[:_SHOWN])}" + _more(names))
    fates = pairs.report_.get("fates", {})
    return {
        "rows": f"{len(pairs):,}",
        "molecules": f"{len(pairs.distinct_molecules()[0]):,} distinct structures as given",
        "features": features,
        "sources": _labels(pairs.sources),
        "batches": _labels(pairs.batches),
        "plates": _labels(pairs.plates),
        "doses": _range(pairs.doses),
        "wells of the build": ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in fates.items() if n),
        "stored at": "" if pairs._store is None else str(pairs._store.path),
        "digest": "" if pairs._store is None else str(pairs._store.header["digest"])[:12],
    }


def _labels(labels: np.ndarray | None) -> str:
    if labels is None:
        return ""
    names = [name or "(unknown)" for name in np.unique(labels).tolist()]
    return f"{len(names):,}: {', '.join(names[:_SHOWN])}{_more(names)}"


def _more(names: list[str]) -> str:
    return ", ..." if len(names) > _SHOWN else ""


def _range(doses: np.ndarray | None) -> str:
    known = np.array([]) if doses is None else doses[np.isfinite(doses)]
    return f"{known.min():.3g} to {known.max():.3g}" if len(known) else ""
