"""
Fine-tuning with a spread
=========================

``MoCoPRegressor`` trains the network itself on labels, from a shipped model. Several networks give a mean and a spread.
Several endpoints are learned at once; NaN marks what was not measured.

To be quick, it takes 300 molecules and a few epochs.
"""

import matplotlib.pyplot as plt
import numpy as np

from mocop_sklearn import MoCoPRegressor
from mocop_sklearn.datasets import load_biogen_adme

data = load_biogen_adme()
endpoints = ["HLM", "RLM", "Sol"]
labels = data.target[:, [data.target_names.index(name) for name in endpoints]]
train, test = np.flatnonzero(data.split == "train")[:300], np.flatnonzero(data.split == "test")[:150]
print({name: int(np.isfinite(labels[train, i]).sum()) for i, name in enumerate(endpoints)})

# %%
# Two networks, three tasks
# -------------------------

model = MoCoPRegressor(pretrained="distilled", n_estimators=2, max_epochs=8, random_state=0)
model.fit(data.smiles[train], labels[train])
predicted, spread = model.predict(data.smiles[test], return_std=True)

# %%
# Measured and predicted
# ----------------------
# The bars are the spread of the two networks. It is a hint, not an interval.

_, axes = plt.subplots(1, 3, figsize=(10, 3.6))
for i, (ax, name) in enumerate(zip(axes, endpoints, strict=True)):
    known = np.isfinite(labels[test, i])
    measured = labels[test][known, i]
    ax.errorbar(measured, predicted[known, i], spread[known, i], fmt="o", ms=3, lw=0.6, alpha=0.6)
    ends = [measured.min(), measured.max()]
    ax.plot(ends, ends, ":", color="black")
    ax.set(title=f"{name}, log10", xlabel="measured", ylabel="predicted")
plt.show()
