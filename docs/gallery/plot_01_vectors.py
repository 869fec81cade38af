"""
Vectors of molecules, and a map of them
=======================================

A model that comes with the package turns molecules into vectors, offline. A principal component analysis draws them as
a map. The model has never seen a solubility, yet molecules that do not dissolve gather on one side of the map.
"""

# %%
# Vectors
# -------
# ``pretrained`` takes the name of a shipped model, and ``fit`` only loads and checks it.

import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mocop_sklearn import MoCoPEmbedder, list_models
from mocop_sklearn.datasets import load_biogen_adme

for model in list_models():
    print(f"{model.name}: {model.summary}")

data = load_biogen_adme(endpoint="Sol")
smiles, solubility = data.smiles[:800], data.target[:800]
vectors = MoCoPEmbedder(pretrained="distilled").fit(smiles).transform(smiles)
print(vectors.shape)

# %%
# A map
# -----

places = make_pipeline(StandardScaler(), PCA(2)).fit_transform(vectors)
points = plt.scatter(*places.T, c=solubility, s=12, cmap="viridis")
plt.colorbar(points, label="solubility at pH 6.8, log10 of µg/mL")
plt.xlabel("first component")
plt.ylabel("second component")
plt.title("800 molecules by their vectors")
plt.show()
