"""Baselines from structure to profile, without a neural network: what a pretrained embedding has to beat."""

from ._neighbors import ProfileNeighbors
from ._ridge import ProfileKernelRidge
from ._tanimoto import tanimoto_kernel

__all__ = ["ProfileKernelRidge", "ProfileNeighbors", "tanimoto_kernel"]
