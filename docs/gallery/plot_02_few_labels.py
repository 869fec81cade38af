"""
A model from few labels
=======================

How far do 20, 60 and 180 measured clearances go? The vectors of the shipped model before a support vector machine,
beside a random forest on ECFP, which is what many would begin with. Test molecules have other scaffolds.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import load_biogen_adme
from mocop_sklearn.molecules import BlockScaler, MorganCounts

data = load_biogen_adme(endpoint="HLM")
train, test = np.flatnonzero(data.split == "train"), np.flatnonzero(data.split == "test")[:400]

# %%
# Arms
# ----
# ``BlockScaler`` standardises the columns and divides them by the root of their number, so that ``gamma=1`` fits a
# block of any width.

ARMS = {
    "distilled + SVM": make_pipeline(MoCoPEmbedder(pretrained="distilled"), BlockScaler(), SVR(gamma=1.0)),
    "ECFP + forest": make_pipeline(MorganCounts(), RandomForestRegressor(100, max_features=0.1, random_state=0)),
}
SIZES, DRAWS = [20, 60, 180], 3

scores = {name: np.empty((len(SIZES), DRAWS)) for name in ARMS}
for i, size in enumerate(SIZES):
    for draw in range(DRAWS):
        part = np.random.default_rng(draw).choice(train, size, replace=False)
        for name, model in ARMS.items():
            model.fit(data.smiles[part], data.target[part])
            scores[name][i, draw] = spearmanr(model.predict(data.smiles[test]), data.target[test])[0]

# %%
# Learning curves
# ---------------
# The bars are the spread over three random parts of each size.

for (name, found), marker in zip(scores.items(), "os", strict=True):
    plt.errorbar(SIZES, found.mean(axis=1), found.std(axis=1, ddof=1), marker=marker, capsize=3, label=name)
plt.xscale("log")
plt.xticks(SIZES, SIZES)
plt.minorticks_off()
plt.xlabel("measured molecules to train on")
plt.ylabel("rank correlation on 400 test molecules")
plt.title("Clearance in human liver microsomes")
plt.legend()
plt.show()
