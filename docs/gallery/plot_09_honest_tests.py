"""
How the split changes the answer
================================

The same model, tested on random molecules, on unseen scaffolds and on unseen clusters. The harder the split, the
closer it is to the question that a project asks: what about chemistry that we have not made yet?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import load_biogen_adme
from mocop_sklearn.model_selection import cluster_groups, overlap, scaffold_groups
from mocop_sklearn.molecules import BlockScaler

data = load_biogen_adme(endpoint="HLM")
rows = np.random.default_rng(0).choice(len(data.smiles), 800, replace=False)
smiles, clearance = data.smiles[rows], data.target[rows]
model = make_pipeline(MoCoPEmbedder(pretrained="distilled"), BlockScaler(), SVR(gamma=1.0))

# %%
# Has the model met these molecules?
# ----------------------------------
# ``overlap`` compares them with what pretraining has seen, with a profile or as structures.

print(overlap(model[0].fit(smiles), smiles, seen="structure").sum(), "of", len(smiles), "were seen")

# %%
# Three splits
# ------------

SPLITS = {
    "random molecules": (KFold(4, shuffle=True, random_state=0), None),
    "unseen scaffolds": (GroupKFold(4), scaffold_groups(smiles)),
    "unseen clusters": (GroupKFold(4), cluster_groups(smiles)),
}
scores = {
    name: cross_val_score(model, smiles, clearance, groups=groups, cv=cv, scoring="r2")
    for name, (cv, groups) in SPLITS.items()
}

plt.figure(figsize=(6, 2.4))
for place, found in enumerate(scores.values()):
    plt.plot(found, [place] * len(found), "o", color="C0", alpha=0.6)
    plt.plot(found.mean(), place, "|", color="black", ms=18, mew=2)
plt.yticks(range(len(scores)), list(scores))
plt.ylim(2.5, -0.5)
plt.xlabel("explained variance of each of four folds; the line is their mean")
plt.show()
