"""Devices without torch's kernels for segments get the same vectors."""

import numpy as np
import pytest
import torch

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.utils import _segments
from mocop_sklearn.utils._segments import reduce_segments, sum_of_bags


@pytest.fixture
def without_kernels(monkeypatch):
    monkeypatch.setattr(_segments, "has_segment_kernels", lambda device: False)


@pytest.mark.usefixtures("without_kernels")
def test_sums_means_and_maxima_without_kernels():
    rows = torch.tensor([[1.0, -4.0], [3.0, -2.0], [5.0, -9.0]])
    sizes = torch.tensor([2, 0, 1])
    expected = {
        "sum": [[4, -6], [0, 0], [5, -9]],
        "mean": [[2, -3], [0, 0], [5, -9]],
        "max": [[3, -2], [0, 0], [5, -9]],
    }
    for reduction, values in expected.items():
        np.testing.assert_array_equal(reduce_segments(rows, reduction, sizes), values)
    items, ptr = torch.tensor([2, 0, 0]), torch.tensor([0, 1, 1, 3])
    np.testing.assert_array_equal(sum_of_bags(items, rows, ptr), [[5, -9], [0, 0], [2, -8]])
    weights = torch.tensor([2.0, 1.0, 3.0])
    np.testing.assert_array_equal(sum_of_bags(items, rows, ptr, weights), [[10, -18], [0, 0], [4, -16]])


@pytest.mark.parametrize("encoder", ["gine", "ggnn"])
def test_embeddings_without_kernels(smiles, profiles, tiny, monkeypatch, encoder):
    parameters = tiny | {"max_epochs": 0, "structure_weight": 0, "side_features": None, "encoder": encoder}
    embedder = MoCoPEmbedder(**parameters).fit(smiles, profiles)
    expected = embedder.transform(smiles)
    monkeypatch.setattr(_segments, "has_segment_kernels", lambda device: False)
    np.testing.assert_allclose(embedder.transform(smiles), expected, rtol=1e-5, atol=1e-6)
