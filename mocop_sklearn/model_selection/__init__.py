"""Groups for scikit-learn's own splitters, nested training fractions, and overlap with a pretraining set."""

from ._groups import cluster_groups, molecule_groups, overlap, scaffold_groups, training_fractions

__all__ = ["cluster_groups", "molecule_groups", "overlap", "scaffold_groups", "training_fractions"]
