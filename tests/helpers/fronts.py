"""A front that lets scikit-learn's own checks, which speak numbers only, exercise classes that read molecules."""

import zlib

import numpy as np


class NumericRows:
    """Mixin that hashes rows of numbers to a few molecules."""

    _TABLE = "CCO CCN CCC CCCC CC=O CC#N CS CCl CBr CF C1CC1 C1CCC1 CCOC CNC CC(=O)O c1ccccc1".split()

    def _molecules(self, X):
        return [self._TABLE[zlib.crc32(row.tobytes()) % len(self._TABLE)] for row in X.astype(np.float32)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = False
        tags.input_tags.two_d_array = True
        return tags
