"""``MoCoPRegressor``: the molecule encoder trained end to end on numbers, one target or many."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from ._base._callbacks import heard
from ._base._finetuned import FineTuned, some_columns
from ._base._predictions import Column
from ._base._tasks import check_order_of_tasks
from .training._labels import Entries, check_same_shape, measured_labels, numeric_entries, numeric_labels
from .training._merging import Targets
from .training._objectives import REGRESSION
from .utils._sklearn import check_sample_weight


class MoCoPRegressor(RegressorMixin, FineTuned):
    """Regressor that fine-tunes the molecule encoder on measured numbers, one target or many at once.

    It is trained like :class:`MoCoPClassifier` [1]_, but with the squared error. Each target is scaled to mean 0 and
    variance 1 on the training part, and predictions are scaled back. A target that is constant in training is
    predicted as that constant. A target that was not measured is predicted as NaN.

    Parameters
    ----------
    pretrained : str, Path, PretrainedModel or fitted estimator, default=None
        Where the encoder starts, as in :class:`~mocop_sklearn.MoCoPClassifier`. None starts from random weights.
    standardize : {"parent", None} or callable, default="parent"
    invalid : {"raise", "nan"}, default="raise"
        What happens to rows that are not molecules. With ``"nan"``, ``fit`` and ``score`` leave them out with one
        warning, and ``predict`` returns NaN for them.
    max_atoms : int, default=2000
    featurizer : {"rich", "paper"} or Featurizer, default="rich"
    encoder : str or callable, default="ggnn"
    n_layers : int, default=3
    hidden_dim : int, default=75
    embedding_dim : int, default=1024
    dropout : float, default=0.1
    freeze : {"none", "encoder"} or int, default="none"
    layer_decay : float, default=1.0
    head : {"auto", "tanh", "linear", "mlp"}, default="auto"
    head_init : {"auto", "random", "linear"}, default="auto"
    loss : {"auto"} or callable, default="auto"
        ``"auto"`` is the squared error of the scaled targets. A callable maps outputs and targets, tensors of shape
        (n, n_targets), to losses of that shape.
    missing : number or None, default=nan
        A value that means "not measured". NaN and None always mean it.
    max_epochs : int or "auto", default="auto"
    min_epochs : int, default=0
    batch_size : int, default=32
    learning_rate : float or "auto", default="auto"
    weight_decay : float, default=0.0
    validation_fraction : float, default=0.0
    validation_groups : {"molecule", "scaffold"}, default="molecule"
    patience : int or None, default=20
    n_estimators : int, default=1
        Networks, each with its own random numbers and validation part, whose predictions are averaged.
    device : str, default="auto"
    precision : {"auto", "fp32", "bf16"}, default="auto"
    n_jobs : int, default=None
    checkpoint_dir : str or Path, default=None
    resume : bool, default=False
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
    callbacks : sequence of callables, default=()
        Parameters without a description are documented at :class:`MoCoPClassifier`.

    Attributes
    ----------
    task_names_ : list of str
        Names of the columns of y, or of a Series; ``task0`` and so on where y has no names. They name the columns of
        ``predict_table``, and of other predictions after ``set_output``.
    domain_ : ApplicabilityDomain
        Not set by ``fit``. Set it to a fitted :class:`~mocop_sklearn.inspection.ApplicabilityDomain` of the training
        molecules, as ``mocop finetune`` does: ``predict_table`` then tells which rows are inside, and a domain by
        similarity is written to the file. It holds the structures of the training molecules.
    start_ : str
        What the encoder started from, as in :class:`~mocop_sklearn.MoCoPClassifier`.
    history_ : list of dict
        One row per network and epoch: estimator, epoch, loss, validation_loss (of the scaled targets),
        validation_score, seconds.
    n_iter_ : int
        Epochs run, the most of any network.
    best_score_ : float
        Validation R² of the kept weights, averaged over the targets and networks; NaN without validation molecules.
    weights_ : list of dict of ndarray
        Weights of each network, by name.
    model_ : PretrainedModel
        The encoder of the first network, for ``pretrained=``.
    molecule_keys_ : ndarray of str
        Sorted connectivity keys (InChIKey, first block) of all molecules seen here and in pretraining, for
        :func:`~mocop_sklearn.model_selection.overlap`. Those of a shipped model are hashed.
    structure_keys_ : ndarray of str
        The same, hashed, of molecules that pretraining has seen as structures only.

    See Also
    --------
    MoCoPClassifier : For classes; its documentation has more on the parameters.

    References
    ----------
    .. [1] Nguyen, Pertusi, Branson. Molecule-Morphology Contrastive Pretraining for Transferable
       Molecular Representation. arXiv 2305.09790, 2023.

    Examples
    --------
    >>> from mocop_sklearn import MoCoPRegressor
    >>> smiles = ["C", "CC", "CCC", "CCCC", "CCCCC", "CCCCCC"]
    >>> boiling_point = [-161.5, -88.6, -42.1, -0.5, 36.1, 68.7]
    >>> regressor = MoCoPRegressor(n_estimators=2, max_epochs=20, random_state=0).fit(smiles, boiling_point)
    >>> mean, spread = regressor.predict(["CCCCCCC"], return_std=True)
    >>> mean.shape, spread.shape
    ((1,), (1,))
    """

    _AUTOMATIC = (
        {"head": "tanh", "head_init": "random", "max_epochs": 60, "learning_rate": 1e-3},
        {"head": "linear", "head_init": "linear", "max_epochs": 60, "learning_rate": 3e-4},
    )

    @heard
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> Self:
        """Fine-tune on numbers.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : array-like of float or sparse matrix, shape (n_samples,) or (n_samples, n_targets)
            NaN, None, ``missing`` and entries that a sparse matrix does not store mean "not measured". One
            column is one target, as if it were one-dimensional.
        sample_weight : array-like of float, shape (n_samples,), default=None
            As in :class:`MoCoPClassifier`.
        X_val, y_val : as X and y, default=None
            Molecules and numbers that choose the best epoch, instead of those of ``validation_fraction``.

        Returns
        -------
        MoCoPRegressor

        Raises
        ------
        ValueError
            When rows are invalid, lengths differ, targets are not numbers, or fewer than two distinct molecules with
            targets remain.
        """
        values, labels, weight = self._check_fit(X, y, sample_weight)
        given = self._check_validation(X_val, y_val, labels)
        validation = given and (given[0], self._targets(given[1], np.ones(len(given[0]))))
        attributes = self._tasks_of(y, y_val, labels.shape[1:])
        self._fit_members(values, self._targets(labels, weight), REGRESSION, validation, attributes)
        unmeasured = np.flatnonzero(np.isnan(self._shift[0]))
        if len(unmeasured):
            warnings.warn(
                f"{len(unmeasured)} of {labels.n_tasks} targets were not measured in any row (columns "
                f"{some_columns(unmeasured)} of y): predictions of them are NaN.",
                UserWarning,
                stacklevel=4,  # beyond the decorators of fit
            )
        return self

    @staticmethod
    def _targets(labels: Entries, weight: np.ndarray) -> Targets:
        weight = weight[labels.row]
        return Targets(labels.indptr, labels.column, numeric_entries(labels), weight, weight, labels.n_tasks)

    def predict(self, X: Any, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict numbers.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        return_std : bool, default=False
            Also return the standard deviation among the networks of the ensemble.

        Returns
        -------
        mean : ndarray of float64, shape (n_samples,) or (n_samples, n_targets)
            In the unit of y.
        std : ndarray of the same shape, only with ``return_std``

        Raises
        ------
        ValueError
            When ``return_std`` is True and there is only one network.
        """
        check_is_fitted(self)
        if return_std:
            self._check_ensemble()
        outputs = self._outputs(X)
        outputs = outputs if self._tasks_shape else outputs[:, :, 0]
        mean = self._named(outputs.mean(axis=0), self.task_names_, X)
        return (mean, self._named(outputs.std(axis=0), self.task_names_, X)) if return_std else mean

    def _columns(self, outputs: np.ndarray) -> list[Column]:
        return self._with_spread(self.task_names_, outputs.mean(axis=0), list(outputs))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², the mean over the targets with two or more different values in y.

        Values that were not measured and rows that are not molecules are left out.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : array-like of float, shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of float, shape (n_samples,), default=None

        Returns
        -------
        float
            NaN when there is nothing to score.
        """
        outputs = self._outputs(X).mean(axis=0)
        predicted = outputs if self._tasks_shape else outputs[:, 0]
        labels, measured = measured_labels(y, self.missing)
        check_same_shape(labels, predicted)
        check_order_of_tasks(y, self.task_names_, "y")
        weight = check_sample_weight(sample_weight, labels)
        columns = (a.reshape(len(labels), -1).T for a in (numeric_labels(labels, measured), measured, predicted))
        scores = []
        for truth, known, prediction in zip(*columns, strict=True):
            rows = known & ~np.isnan(prediction) & (weight > 0)
            if rows.any() and np.ptp(truth[rows]) > 0:
                scores.append(r2_score(truth[rows], prediction[rows], sample_weight=weight[rows]))
        return float(np.mean(scores)) if scores else float("nan")
