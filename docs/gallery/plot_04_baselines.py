"""
Is the embedding worth its training?
====================================

What a chemist can guess of a profile without any network: the profiles of the most similar molecules, or a kernel ridge
regression. They have the same score as the embedder, 1 − 2 × the normalised rank: 0 is chance, 1 is perfect. An
untrained network is the third baseline.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import GroupShuffleSplit

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.baselines import ProfileKernelRidge, ProfileNeighbors
from mocop_sklearn.datasets import load_comas
from mocop_sklearn.model_selection import molecule_groups

data = load_comas()
groups = molecule_groups(data.smiles)

# %%
# The network trains for 15 of its usual 100 epochs here; ``MoCoPEmbedder()`` puts a ridge beside it.

ARMS = {
    "network, untrained": MoCoPEmbedder(max_epochs=0, side_features=None, structure_weight=0, random_state=0),
    "5 nearest neighbours": ProfileNeighbors(5),
    "kernel ridge": ProfileKernelRidge("tanimoto", alpha=1.0),
    "network, 15 epochs": MoCoPEmbedder(max_epochs=15, side_features=None, structure_weight=0, random_state=0),
}
train, test = next(GroupShuffleSplit(1, test_size=0.15, random_state=0).split(data.smiles, groups=groups))
scores = {
    name: arm.fit(data.smiles[train], data.profiles[train]).score(data.smiles[test], data.profiles[test])
    for name, arm in ARMS.items()
}

# %%
# One split is an illustration. Compare on several before you decide.

plt.figure(figsize=(6.4, 2.8))
bars = plt.barh(list(scores), list(scores.values()), color="C0")
plt.bar_label(bars, fmt="%.2f", padding=3)
plt.axvline(0, color="black", lw=0.8)
plt.xlim(-0.1, 1)
plt.xlabel("retrieval of unseen molecules (chance 0, perfect 1)")
plt.show()
