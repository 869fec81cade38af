"""Predictions with the names of their tasks: in arrays, DataFrames, and as the columns of a table."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..model_file._schema import Section
from ..molecules._parse import check_molecules
from ._tasks import check_container, in_container

Column = tuple[str, np.ndarray]
_REMEDY = "Set domain_ to one, or delete the attribute."


class NamedPredictions:
    """What the classifier and the regressor share about the form of their answers."""

    task_names_: list[str]
    domain_: Any

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container of predictions, as for ``transform`` in scikit-learn.

        Parameters
        ----------
        transform : {"default", "pandas", "polars", None}, default=None
            ``"default"`` gives arrays; ``"pandas"`` and ``"polars"`` a DataFrame whose columns have the names of the
            tasks, or for one task and several classes ``task_class``, and a Series for one column of answers. None
            changes nothing. The configuration of scikit-learn as a whole has no effect on predictions.

        Returns
        -------
        MoCoPClassifier or MoCoPRegressor
            The estimator itself.

        Raises
        ------
        ValueError
            When ``transform`` is something else.
        """
        check_container(transform)
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}  # by this name, scikit-learn's clone keeps it
        return self

    def _named(self, values: np.ndarray, names: list[str], X: Any) -> Any:
        """Put answers into the container that was chosen."""
        container = getattr(self, "_sklearn_output_config", {}).get("transform", "default")
        return in_container(values, names, X, container)

    def predict_table(self, X: Any) -> dict[str, np.ndarray]:
        """Predictions as the columns of a table, with the reason for each row that is not a molecule.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
            Rows that are not molecules are not an error here, whatever ``invalid`` is.

        Returns
        -------
        dict of str to ndarray, shape (n_samples,)
            For each task, by its name: the number that is predicted, or for classes 0 and 1 the probability of 1. One
            task of other classes has the most probable class by its name, and the probability of each class as
            ``task_class``. With two networks or more, the standard deviation among them follows each number, as
            ``..._std``. The last column is ``invalid``: the reason why a row is not a molecule, or None. All other
            columns are NaN, or None, in such a row.

            With a fitted :class:`~mocop_sklearn.inspection.ApplicabilityDomain` as the attribute ``domain_``, three
            more columns come before the last one: ``nearest``, the training molecule that is nearest to the row,
            ``similarity`` to it, and ``inside``, 1 inside the domain and 0 outside.

        Raises
        ------
        ValueError
            When a task has the name of another column, or ``domain_`` is not a fitted domain.

        Examples
        --------
        >>> from mocop_sklearn import MoCoPRegressor
        >>> regressor = MoCoPRegressor(max_epochs=1, random_state=0).fit(["C", "CC", "CCC"], [1.0, 2.0, 3.0])
        >>> table = regressor.predict_table(["CCCC", "C(C"])
        >>> list(table), table["invalid"].tolist()
        (['task0', 'invalid'], [None, 'not a valid SMILES'])
        """
        check_is_fitted(self)
        values = check_molecules(X)
        outputs, reasons = self._outputs_and_reasons(values, "nan")
        table = self._columns(outputs)
        others: dict[str, np.ndarray] = {}
        if hasattr(self, "domain_"):
            valid = np.array([row not in reasons for row in range(len(values))], dtype=bool)
            others = _of_domain(self.domain_, values, valid)
        others["invalid"] = np.array([reasons.get(row) for row in range(len(values))], dtype=object)
        return dict(_told_apart([*table, *others.items()]))

    def _outputs_and_reasons(self, values: list[Any], invalid: str) -> tuple[np.ndarray, dict[int, str]]:
        """Outputs of the members, and why rows are not molecules."""
        raise NotImplementedError

    def _columns(self, outputs: np.ndarray) -> list[Column]:
        """Columns of ``predict_table`` from the outputs of the members."""
        raise NotImplementedError

    def _with_spread(self, names: list[str], mean: np.ndarray, members: list[np.ndarray]) -> list[Column]:
        """Columns of a matrix with their names, each followed by its standard deviation among several members."""
        columns = []
        spread = np.std(members, axis=0)
        for i, name in enumerate(names):
            columns.append((name, mean[:, i]))
            if len(members) > 1:
                columns.append((f"{name}_std", spread[:, i]))
        return columns


def _told_apart(columns: list[Column]) -> list[Column]:
    """Return columns as they are, unless two have one name."""
    twice = [name for name, n_times in Counter(name for name, _ in columns).items() if n_times > 1]
    if twice:
        raise ValueError(
            f"A task or a class is called {twice[0]!r}, as another column of the table is: rename it, and fit again."
        )
    return columns


def _of_domain(domain: Any, values: list[Any], valid: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of ``predict_table`` about the applicability domain."""
    if not hasattr(domain, "kneighbors"):
        raise ValueError(f"domain_ is {domain!r}, but it has to be a fitted ApplicabilityDomain. {_REMEDY}")
    nearest = np.full(len(values), None, dtype=object)
    similarity, inside = (np.full(len(values), np.nan) for _ in range(2))
    if valid.any():
        molecules = [value for value, is_valid in zip(values, valid, strict=True) if is_valid]
        closeness, places = domain.kneighbors(molecules)  # nearest and predict would each search
        similarity[valid], nearest[valid] = closeness[:, 0], domain.molecules_[places[:, 0]]
        inside[valid] = closeness.mean(axis=1) >= domain.offset_
    return {"nearest": nearest, "similarity": similarity, "inside": inside}


def check_domain(fitted: Section, domain: Any) -> None:
    """Raise ``ValueError`` unless an attribute of a file is an applicability domain that can be used."""
    try:
        domain.check()
    except Exception as error:
        raise fitted.error(f"its applicability domain cannot be used ({error})") from error


def check_domain_to_write(domain: Any) -> None:
    """Raise ``ValueError`` unless a file with this applicability domain can be loaded again."""
    try:
        domain.check()
    except Exception as error:
        raise ValueError(
            'domain_ cannot be written to a file, which takes a fitted ApplicabilityDomain of method="similarity" '
            f"({error}). {_REMEDY}"
        ) from error
