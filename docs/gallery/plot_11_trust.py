"""
Whether to believe a prediction, and what it rests on
=====================================================

An applicability domain tells which molecules are near enough to those of training. Attributions tell what each atom
adds to a prediction. Here both stand beside a model of efflux.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import load_biogen_adme
from mocop_sklearn.display import DomainDisplay
from mocop_sklearn.inspection import ApplicabilityDomain, atom_attributions, draw_attributions
from mocop_sklearn.molecules import BlockScaler

data = load_biogen_adme(endpoint="MDR1_ER")
train = np.flatnonzero(data.split == "train")[:500]
test = np.flatnonzero(data.split == "test")[:300]
model = make_pipeline(MoCoPEmbedder(pretrained="distilled"), BlockScaler(), RidgeCV(np.logspace(-3, 1, 9)))
model.fit(data.smiles[train], data.target[train])
error = np.abs(model.predict(data.smiles[test]) - data.target[test])

# %%
# The domain
# ----------
# The score of a molecule is its mean similarity to the five nearest of training. Below the threshold it lies outside.

domain = ApplicabilityDomain().fit(data.smiles[train])
scores = domain.score_samples(data.smiles[test])
DomainDisplay(scores, domain.offset_, domain.score_samples(data.smiles[train]), "training molecules").plot()
plt.show()

# %%
# Does the error grow with the distance? Check it on data of your own: for efflux it does, but for the clearances of the
# same collection (``endpoint="HLM"``) it does not.

for name, part in zip(["nearest", "middle", "farthest"], np.array_split(np.argsort(-scores), 3), strict=True):
    print(f"{name} third: mean error {error[part].mean():.2f}")

# %%
# What a prediction rests on
# --------------------------
# Orange atoms raise the predicted efflux ratio, blue ones lower it.

smiles = "CN1CCN(CCOc2ccc(-c3ccccc3)cc2)CC1"
(attributions,) = atom_attributions(model, [smiles])


class Drawing:
    """An SVG that a page shows."""

    def _repr_html_(self):
        return draw_attributions(smiles, attributions)


Drawing()
