"""What the tables of bad inputs share: what the cases are made of, and how one is checked."""

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from safetensors.numpy import save_file

from mocop_sklearn import MoCoPEmbedder


class Context:
    """What the cases are made of."""

    def __init__(self, smiles, profiles, tiny, fitted, model_file, folder):
        self.smiles, self.profiles, self.fitted, self.model_file = smiles, profiles, fitted, model_file
        self.tiny = tiny | {"max_epochs": 1}
        self.folder = folder

    def fit(self, X=None, y=None, profiles=None, **parameters):
        X = self.smiles if X is None else X
        return MoCoPEmbedder(**self.tiny | parameters).fit(X, y, profiles=profiles)

    def fit_pairs(self, X=None, **parameters):
        return self.fit(X, profiles=self.profiles, **parameters)

    def second_row(self, value):
        """Fit on the molecules with ``value`` in the second row."""
        return self.fit_pairs([self.smiles[0], value, *self.smiles[2:]])

    def with_profiles(self, change):
        """Fit on profiles that ``change`` has been at."""
        return self.fit(profiles=change(self.profiles.copy()))

    def frame(self, **columns):
        return pd.DataFrame(self.profiles, columns=[f"f{i}" for i in range(24)]).assign(**columns)

    def named(self):
        """An embedder that was fitted on named columns."""
        return self.fit(profiles=self.frame())

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def altered(self, change):
        """Load the model file with other bytes."""
        return MoCoPEmbedder.load(self.file("altered", change(bytearray(self.model_file.read_bytes()))))

    def safetensors(self, metadata):
        path = self.folder / "made.safetensors"
        save_file({"a": np.zeros(3)}, path, metadata=metadata)
        return MoCoPEmbedder.load(path)

    def checkpoint(self):
        self.fit_pairs(checkpoint_dir=self.folder)
        return MoCoPEmbedder.load(next(self.folder.glob("*.safetensors")))

    def with_callable(self):
        """Load a model whose ``standardize`` is a function, without the function."""
        self.fit_pairs(standardize=Chem.RemoveHs).save(self.folder / "model")
        return MoCoPEmbedder.load(self.folder / "model")


def set_value(profiles, where, value):
    profiles[where] = value
    return profiles


def check(outcome, message, action, context):
    """Expect an error or a warning, with a message that begins to match somewhere."""
    expected = pytest.warns if issubclass(outcome, Warning) else pytest.raises
    with expected(outcome, match=f"(?s){message}"):
        action(context)
