"""Groups for scikit-learn's own splitters, nested training fractions, and overlap with a pretraining set."""

from ._clusters import cluster_groups
from ._fractions import training_fractions
from ._groups import molecule_groups, scaffold_groups
from ._overlap import overlap

__all__ = ["cluster_groups", "molecule_groups", "overlap", "scaffold_groups", "training_fractions"]
