"""
From plates to a corpus
=======================

Raw wells carry the mark of their plate. Each plate is scaled on its own control wells, and the report says what
became of every well. The plates here are simulated: two hundred compounds, four wells each.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from mocop_sklearn import build_pairs
from mocop_sklearn.datasets import make_paired_profiles
from mocop_sklearn.profiles import feature_columns

wells = make_paired_profiles(n_molecules=200, n_features=60, plate_effect=1.5, as_frame=True, random_state=0).frame
print(wells.iloc[:3, :7].to_string(index=False))

# %%
# Build
# -----
# Any number of files goes in, one at a time; a folder comes out, which any number of processes can open.

folder = Path(tempfile.mkdtemp())
files = []
for plate, rows in wells.groupby("Metadata_Plate"):
    files.append(folder / f"{plate}.parquet")
    rows.to_parquet(files[-1])
pairs = build_pairs(folder / "wells.pairs", files)
print(pairs)
print({fate: n for fate, n in pairs.report_["fates"].items() if n})

# %%
# Before and after
# ----------------
# A map of the raw wells shows plates; a map of the normalised ones no longer does.

treated = wells[~wells["Metadata_IsNegcon"].astype(bool)]
raw = treated[feature_columns(wells)].to_numpy()
views = {
    "raw": (np.clip((raw - np.median(raw, axis=0)) / raw.std(axis=0), -5, 5), treated["Metadata_Plate"].to_numpy()),
    "each plate scaled on its controls": (np.clip(pairs.read(), -5, 5), np.asarray(pairs.plates)),
}
_, axes = plt.subplots(1, 2, figsize=(9, 3.8))
for ax, (title, (values, plates)) in zip(axes, views.items(), strict=True):
    places = PCA(2, random_state=0).fit_transform(values)
    for plate, marker in zip(np.unique(plates), "osD^vP", strict=False):
        ax.scatter(*places[plates == plate].T, s=10, marker=marker, alpha=0.7, label=plate)
    ax.set(title=title, xlabel="first component", ylabel="second component")
axes[1].legend(title="plate", fontsize="small")
plt.show()
