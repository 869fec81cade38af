"""
Rows that are not molecules
===========================

Real tables have typing errors, empty cells and salts. Rows never move, and a row that is not a molecule never gets a
number.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from mocop_sklearn import MoCoPEmbedder, SkipInvalid
from mocop_sklearn.molecules import canonical_smiles

TABLE = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "its sodium salt": "[Na+].CC(=O)Oc1ccccc1C(=O)[O-]",
    "L-alanine": "C[C@H](N)C(=O)O",
    "D-alanine": "C[C@@H](N)C(=O)O",
    "ring not closed": "C1CCCC",
    "empty cell": "",
    "five bonds to carbon": "CC(C)(C)(C)C",
}

# %%
# What is read
# ------------
# Salts become their parent; stereoisomers stay apart.

print(pd.Series(canonical_smiles(list(TABLE.values())), index=list(TABLE), name="read as").to_string())

# %%
# The error
# ---------
# By default, a bad row is an error that names it and says what to do.

try:
    MoCoPEmbedder(pretrained="distilled").fit_transform(list(TABLE.values()))
except ValueError as error:
    print(error)

# %%
# Or no prediction
# ----------------
# With ``invalid="nan"`` such rows are NaN, and ``SkipInvalid`` leaves them out of ``fit`` and of predictions.

warnings.simplefilter("ignore")  # the warnings count the rows that were left out
embedder = MoCoPEmbedder(pretrained="distilled", invalid="nan")
model = make_pipeline(embedder, SkipInvalid(RandomForestClassifier(random_state=0)))
model.fit(["CCO", "CCCO", "?", "CCN", "CCCN"], ["alcohol", "alcohol", "alcohol", "amine", "amine"])
predicted = model.predict(list(TABLE.values()))
print(
    pd.DataFrame(
        {
            "predicted": predicted,
            "vector": np.isfinite(embedder.fit(["C"]).transform(list(TABLE.values()))).all(axis=1),
        },
        index=list(TABLE),
    )
)
