"""Errors inside and outside of the applicability domain.

Three sets, chosen by what they measure: a physical property (logD of AstraZeneca), metabolism (clearance by human liver
microsomes of Biogen) and potency at one protein (the largest set of MoleculeACE). Each molecule is tested once, in five
parts of whole Bemis-Murcko scaffolds. A support vector machine on the embedding of a shipped model is fitted to the
others, and so is the domain, with its default parameters. What is compared is the mean absolute error of the test
molecules inside and outside, and by quarters of their scores within each part.

    python benchmarks/domain.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from common import print_table, require, save
from scipy.stats import spearmanr
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.inspection import ApplicabilityDomain
from mocop_sklearn.model_selection import scaffold_groups
from mocop_sklearn.molecules import BlockScaler, canonical_smiles

MODEL = "distilled"
SETS = {
    "logD (AstraZeneca)": "tdc_lipophilicity_astrazeneca",
    "clearance, human microsomes (Biogen)": "adme_fangmpnn_HLM",
    "potency at one protein (MoleculeACE)": "ace_moleculeace25",
}
METHODS = {"similarity": {}, "embedding": {"embedder": MODEL}}
N_PARTS = 5


def load(name: str) -> tuple[list[str], np.ndarray]:
    """Distinct molecules and the mean of their labels."""
    frame = pd.read_parquet(require(f"bioactivity/{name}.parquet"))
    label = "pchembl" if "pchembl" in frame else next(c for c in ("y", "Y") if c in frame)
    if "meta_target" in frame:
        frame = frame[frame["meta_target"] == frame["meta_target"].value_counts().idxmax()]
    frame = frame.assign(smiles=canonical_smiles(frame["smiles"].tolist())).dropna(subset=["smiles", label])
    means = frame.groupby("smiles")[label].mean()
    return means.index.tolist(), means.to_numpy(dtype=float)


def errors_and_scores(smiles: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """Absolute error of each molecule when it is tested, and its score and side in each domain."""
    z = MoCoPEmbedder(pretrained=MODEL).fit(["C"]).transform(smiles)
    rows = []
    for part, (train, test) in enumerate(GroupKFold(N_PARTS).split(smiles, groups=scaffold_groups(smiles))):
        center, spread = y[train].mean(), y[train].std()
        model = make_pipeline(BlockScaler(), SVR(C=3.0, epsilon=0.1, gamma=1.0))
        predicted = model.fit(z[train], (y[train] - center) / spread).predict(z[test]) * spread + center
        row = {"part": part, "error": np.abs(predicted - y[test])}
        for name, parameters in METHODS.items():
            domain = ApplicabilityDomain(name, **parameters).fit(smiles[train])
            scores = domain.score_samples(smiles[test])
            row |= {f"score {name}": scores, f"inside {name}": scores >= domain.offset_}
        rows.append(pd.DataFrame(row))
    return pd.concat(rows)


def summary(found: pd.DataFrame, method: str) -> dict[str, Any]:
    """Mean absolute errors of the parts, inside and outside and by quarters of the score."""
    parts: dict[str, list[Any]] = {"outside_share": [], "inside": [], "outside": [], "quarters": [], "correlation": []}
    for _, part in found.groupby("part"):
        inside, score, error = (part[name].to_numpy() for name in (f"inside {method}", f"score {method}", "error"))
        parts["outside_share"].append(float((~inside).mean()))
        parts["inside"].append(float(error[inside].mean()))
        parts["outside"].append(float(error[~inside].mean()) if (~inside).any() else None)
        order = np.argsort(score, kind="stable")
        parts["quarters"].append([float(error[rows].mean()) for rows in np.array_split(order, 4)])
        parts["correlation"].append(float(spearmanr(score, error).statistic))
    return parts


def main() -> None:
    """Run all sets, print the table and write the results."""
    figures: dict[str, Any] = {}
    for title, name in SETS.items():
        smiles, y = load(name)
        found = errors_and_scores(np.array(smiles, dtype=object), y)
        figures[title] = {"n_molecules": len(y), "spread": float(y.std())}
        figures[title] |= {method: summary(found, method) for method in METHODS}
        print_table(*rows_of({title: figures[title]}))
    save("domain", {"model": MODEL, "sets": figures})


def rows_of(sets: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table."""
    header = ["set", "domain", "outside", "error inside", "error outside", "ratio (lowest–highest of the parts)"]
    header += ["error by quarters of the score, farthest first", "rank correlation"]
    rows = []
    for title, found in sets.items():
        for method in METHODS:
            parts = found[method]
            inside, outside = np.array(parts["inside"]), np.array(parts["outside"], dtype=float)
            quarters = np.mean(parts["quarters"], axis=0)
            rows.append(
                [
                    title,
                    method,
                    f"{np.mean(parts['outside_share']):.0%}",
                    f"{inside.mean():.2f}",
                    f"{np.nanmean(outside):.2f}",
                    f"{np.nanmean(outside / inside):.2f} ({np.nanmin(outside / inside):.2f}–"
                    f"{np.nanmax(outside / inside):.2f})",
                    ", ".join(f"{q:.2f}" for q in quarters),
                    f"{np.mean(parts['correlation']):.2f}",
                ]
            )
    return header, rows


if __name__ == "__main__":
    main()
