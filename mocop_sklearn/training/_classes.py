"""Labels that are classes: their numbers, and what each of them weighs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from ._labels import Entries, class_factors, plain_labels
from ._merging import Targets


@dataclass(frozen=True)
class Classes:
    """The classes of one task, or 0 and 1 of several.

    Attributes
    ----------
    values : ndarray, shape (n_classes,)
    mass : ndarray of float, shape (n_tasks, n_classes)
        Sum of the weights of the rows.
    factors : ndarray of float, shape (n_tasks, n_classes)
        Weight of each class; 1 on average.
    """

    values: np.ndarray
    mass: np.ndarray
    factors: np.ndarray

    @property
    def scorable(self) -> np.ndarray:
        """Whether each task has two classes or more, shape (n_tasks,)."""
        scorable: np.ndarray = (self.mass > 0).sum(axis=1) > 1
        return scorable

    @property
    def is_multiclass(self) -> bool:
        """Whether there are three exclusive classes or more."""
        return len(self.values) > 2

    @classmethod
    def of(cls, labels: Entries, weight: np.ndarray, class_weight: Any) -> Classes:
        """Learn the classes of labels, and their weights.

        Raises
        ------
        ValueError
            When labels are not classes, or no label has a weight.
        """
        known = plain_labels(labels.values)
        if len(known):
            check_classification_targets(known)
        if len(labels.shape) == 2:
            check_tasks(known, labels.n_tasks)
        values = np.array([0, 1]) if len(labels.shape) == 2 else np.unique(known)
        n_classes, row = max(1, len(values)), labels.row
        place = labels.column * n_classes + np.searchsorted(values, known)
        mass = np.bincount(place, weight[row], minlength=labels.n_tasks * n_classes).reshape(-1, n_classes)
        plain = cls(values, mass, class_factors(class_weight, mass, values))
        present = mass * plain.scorable[:, None]
        total = (present * plain.factors).sum()
        if present.any() and not total:
            raise ValueError(f"class_weight={class_weight} leaves no label with a weight above 0.")
        return cls(values, mass, plain.factors * (present.sum() / (total or 1)))

    def targets(self, labels: Entries, weight: np.ndarray, name: str = "y") -> Targets:
        """Return what is learned from labels.

        Parameters
        ----------
        labels : Entries
        weight : ndarray, shape (n_rows,)
        name : str
            What a message calls the labels.

        Raises
        ------
        ValueError
            Naming the first row with another class.
        """
        known = plain_labels(labels.values)
        strange = np.flatnonzero(~np.isin(known, self.values))
        if len(strange):
            raise ValueError(
                f"{name} holds {known[strange[0]].tolist()!r} in row {labels.row[strange[0]]}, but the classes of y "
                f"are {self.values[:10].tolist()}. Leave such rows out, or mark them as not measured."
            )
        code = np.searchsorted(self.values, known)
        mass = weight[labels.row] * self.scorable[labels.column]
        return Targets(
            indptr=labels.indptr,
            column=code if self.is_multiclass else labels.column,
            target=np.ones(len(code)) if self.is_multiclass else (code == 1).astype(float),
            weight=mass * self.factors[labels.column, code],
            mass=mass,
            n_outputs=len(self.values) if self.is_multiclass else labels.n_tasks,
            exclusive=self.is_multiclass,
        )


def check_tasks(known: np.ndarray, n_tasks: int) -> None:
    """Raise ``ValueError`` unless the measured labels of several tasks are 0 and 1."""
    if not set(np.unique(known).tolist()) <= {0, 1}:
        raise ValueError(
            f"y has {n_tasks} columns, so each must hold 0, 1 and missing values, but got "
            f'{np.unique(known)[:10].tolist()}. For -1 as "not measured", set missing=-1.'
        )
