"""
Pretrain on cells, and find the compound behind a profile
=========================================================

Cell Painting profiles of COMAS, which come with the package: a part of the molecules is held out, and the embedder
learns from the others which profile belongs to which molecule. Then each unseen profile looks for its molecule.

To be quick, the network trains for a tenth of its usual epochs, and without the structure objective.
"""

# %%
# Hold molecules out
# ------------------
# Rows of one molecule are replicates and doses, so the split is by molecule.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import load_comas
from mocop_sklearn.display import RetrievalDisplay, TrainingHistoryDisplay
from mocop_sklearn.model_selection import molecule_groups

data = load_comas()
split = GroupShuffleSplit(1, test_size=0.15, random_state=0)
train, test = next(split.split(data.smiles, groups=molecule_groups(data.smiles)))

# %%
# Pretrain
# --------

embedder = MoCoPEmbedder(max_epochs=10, structure_weight=0, output="projection", random_state=0)
embedder.fit(data.smiles[train], profiles=data.profiles[train])
TrainingHistoryDisplay.from_estimator(embedder)
plt.title("Training")
plt.show()

# %%
# Retrieve
# --------
# Molecules and profiles share a space. A molecule is one candidate: the mean of its profiles is what stands for them.

molecules, group = np.unique(data.smiles[test], return_inverse=True)
profiles = np.array([data.profiles[test][group == i].mean(axis=0) for i in range(len(molecules))])
RetrievalDisplay.from_predictions(embedder.transform(molecules), embedder.transform_profiles(profiles))
plt.title(f"{len(molecules)} unseen molecules")
plt.show()
