"""
Vectors, descriptors and fingerprints side by side
==================================================

Features of several kinds are better together than each alone, when blocks of columns weigh alike. ``BlockScaler``
sees to that: a block of 2,048 fingerprint columns would otherwise drown one of 512.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.svm import SVR

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import load_biogen_adme
from mocop_sklearn.model_selection import scaffold_groups
from mocop_sklearn.molecules import BlockScaler, MoleculeDescriptors, MorganCounts

data = load_biogen_adme(endpoint="RLM")
rows = np.random.default_rng(0).choice(len(data.smiles), 300, replace=False)
smiles, clearance = data.smiles[rows], data.target[rows]

# %%
# Pipelines
# ---------
# Descriptors take some milliseconds a molecule. With ``memory``, the folds and arms compute them once.

BLOCKS = {
    "distilled": MoCoPEmbedder(pretrained="distilled"),
    "descriptors": MoleculeDescriptors(memory=tempfile.mkdtemp()),
    "ECFP": MorganCounts(),
}


def arm(*names):
    """Return a support vector machine on some blocks; ``gamma`` is 1 / their number."""
    union = FeatureUnion([(name, make_pipeline(BLOCKS[name], BlockScaler())) for name in names])
    return make_pipeline(union, SVR(gamma=1 / len(names)))


# %%
# Folds of scaffolds
# ------------------
# Whole Bemis-Murcko scaffolds are held out in each fold.

groups = scaffold_groups(smiles)
arms = [("ECFP",), ("descriptors",), ("distilled",), ("ECFP", "descriptors"), ("ECFP", "descriptors", "distilled")]
scores = {
    " + ".join(names): cross_val_score(arm(*names), smiles, clearance, groups=groups, cv=GroupKFold(3), scoring="r2")
    for names in arms
}

# %%
# The bars are means of three folds, and the points are the folds.

plt.figure(figsize=(6.8, 3))
for place, (name, found) in enumerate(scores.items()):
    plt.barh(place, found.mean(), color="C0" if "distilled" in name else "#bbbbbb")
    plt.plot(found, [place] * len(found), "o", color="black", ms=4)
plt.yticks(range(len(scores)), list(scores))
plt.xlabel("explained variance of rat clearance, scaffolds held out")
plt.show()
