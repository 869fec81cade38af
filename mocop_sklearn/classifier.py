"""``MoCoPClassifier``: the molecule encoder trained end to end on classes, one task or many."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._base._callbacks import heard
from ._base._finetuned import FineTuned, some_columns
from ._base._predictions import Column
from ._base._tasks import check_order_of_tasks
from .model_file._schema import Section
from .training._classes import Classes, check_tasks
from .training._labels import check_same_shape, measured_labels, plain_labels
from .training._objectives import BINARY, MULTICLASS, Objective
from .utils._sklearn import StrOptions, check_sample_weight


class MoCoPClassifier(ClassifierMixin, FineTuned):
    """Classifier that fine-tunes the molecule encoder on assay labels, one task or many at once.

    The network is the encoder of :class:`~mocop_sklearn.MoCoPEmbedder`, a head with dropout and a linear layer,
    trained with the cross-entropy over the measured labels, after [1]_. Rows of one molecule are merged: their
    weighted labels count as they would one by one.

    Parameters
    ----------
    pretrained : str, Path, PretrainedModel or fitted estimator, default=None
        Where the encoder starts: a name of ``list_models``, a file, ``"hf://owner/name"`` on the Hugging Face Hub,
        a fitted embedder, classifier or regressor of this package (as ``FrozenEstimator`` where scikit-learn clones)
        or its ``model_``. The shape of the encoder and the standardisation then come from the model; giving another
        value than the default for one of them is an error. None starts from random weights.
    standardize : {"parent", None} or callable, default="parent"
        As in :class:`~mocop_sklearn.MoCoPEmbedder`.
    invalid : {"raise", "nan"}, default="raise"
        What happens to rows that are not molecules. With ``"nan"``, ``fit`` and ``score`` leave them out, with one
        warning. ``predict_proba``, ``decision_function`` and ``predict`` return NaN for them; ``predict`` returns None
        if the classes are strings.
    max_atoms : int, default=2000
        Rows with more atoms, all fragments together and hydrogens left out, are not accepted as molecules. They are
        refused before they are parsed: 10,000 may take 3 seconds, and 32,767, the largest limit, more than a minute.
    featurizer : {"rich", "paper"} or Featurizer, default="rich"
    encoder : str or callable, default="ggnn"
    n_layers : int, default=3
    hidden_dim : int, default=75
    embedding_dim : int, default=1024
        The shape of an encoder that starts from random weights; as in :class:`~mocop_sklearn.MoCoPEmbedder`.
    dropout : float, default=0.1
        In the encoder and before the last layer, also with ``pretrained``.
    freeze : {"none", "encoder"} or int, default="none"
        The part of the encoder whose weights are not trained: nothing, the whole encoder (a linear probe, whose
        epochs cost very little), or the input and this many of the first convolutions.
    layer_decay : float, default=1.0
        The learning rate of each layer is this factor times that of the layer above it; the layers of the head have
        ``learning_rate``, and the encoder's linear layer comes next. An encoder of torch-geometric counts as one layer.
    head : {"auto", "tanh", "linear", "mlp"}, default="auto"
        What reads the representation: a linear layer on its tanh, as in [1]_; a linear layer on the relu of its
        standardised columns; or the same with a hidden layer between. ``"auto"``: linear with ``pretrained``, else
        tanh.
    head_init : {"auto", "random", "linear"}, default="auto"
        Where the last linear layer starts: at random, or at a ridge or logistic regression on the encoder's output for
        the training molecules, as in linear probing before fine-tuning [2]_. ``"auto"``: linear with
        ``pretrained``, else random.
    loss : {"auto"} or callable, default="auto"
        ``"auto"`` is the cross-entropy. A callable maps logits and targets, tensors of shape (n, n_outputs), to the
        loss of each label, of the same shape, or (n, 1) for three classes and more. One task of two classes has one
        output.
    class_weight : {"balanced", None} or dict, default=None
        As in scikit-learn. ``"balanced"`` gives the classes of each task the same total weight. A dict maps classes to
        weights; a class that it does not name has the weight 1. The size of the batches has no effect on it.
    missing : number, str or None, default=nan
        A label that means "not measured". NaN and None always mean it.
    max_epochs : int or "auto", default="auto"
        An epoch is one pass over the distinct molecules. ``"auto"``: 10 for a classifier with ``pretrained``, else 60.
    min_epochs : int, default=0
        ``patience`` does not end training before this many epochs.
    batch_size : int, default=32
    learning_rate : float or "auto", default="auto"
        Constant. ``"auto"``: 1e-4 with ``pretrained``, else 3e-4; for a regressor, 3e-4 and 1e-3.
    weight_decay : float, default=0.0
        Of AdamW; 0 is Adam.
    validation_fraction : float, default=0.0
        Share of the groups of molecules that chooses the best epoch. With 0, or where either part would hold
        fewer than two groups, all ``max_epochs`` are run and the last is kept.
    validation_groups : {"molecule", "scaffold"}, default="molecule"
        The groups that the split keeps whole: rows of one connectivity, or of one Bemis-Murcko scaffold.
    patience : int or None, default=20
        Stop after this many epochs without a better validation score.
    n_estimators : int, default=1
        Networks, each with its own random numbers and validation part, whose probabilities are averaged.
    device : str, default="auto"
        ``"auto"`` takes the GPU when there is one: NVIDIA's (``"cuda"``), or Apple's (``"mps"``).
    precision : {"auto", "fp32", "bf16"}, default="auto"
        ``"auto"``: bfloat16 autocast on an NVIDIA GPU that has it, else float32.
    n_jobs : int, default=None
        Processes that parse molecules and, on a CPU, predict. With two or more, a molecule that ends its process, or
        takes longer than 20 seconds, is an invalid row.
    checkpoint_dir : str or Path, default=None
        Where the state of training is written after every epoch.
    resume : bool, default=False
        Continue the same training from ``checkpoint_dir``; on a CPU the result is bit-equal to that of
        a run without a break.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
        1 shows a progress bar.
    callbacks : sequence of callables, default=()
        After every epoch, each is called with a copy of its row of ``history_``. They change no result, and are neither
        in files nor in the keys of caches: a fit that comes from a cache calls none. An error of theirs ends ``fit``.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
        For several tasks, their numbers, as scikit-learn has it for multilabel problems.
    unscorable_tasks_ : list of int
        Tasks with fewer than two classes in ``fit``. They are not trained. Their only class is always predicted, or NaN
        if nothing was measured. With several tasks, ``score`` leaves them out.
    task_names_ : list of str
        Names of the columns of y, or of a Series; ``task0`` and so on where y has no names. They name the columns of
        ``predict_table``, and of other predictions after ``set_output``.
    domain_ : ApplicabilityDomain
        Not set by ``fit``. Set it to a fitted :class:`~mocop_sklearn.inspection.ApplicabilityDomain` of the training
        molecules, as ``mocop finetune`` does: ``predict_table`` then tells which rows are inside, and a domain by
        similarity is written to the file. It holds the structures of the training molecules.
    start_ : str
        What the encoder started from: the name of a model or of a file, or the address of a commit on the Hugging Face
        Hub; empty for random weights and for an estimator in memory.
    history_ : list of dict
        One row per network and epoch: estimator, epoch, loss, validation_loss, validation_score, seconds.
    n_iter_ : int
        Epochs run, the most of any network.
    best_score_ : float
        Validation score of the kept weights, averaged over the networks: the mean average precision of the tasks (or
        classes) with two classes among the validation molecules; NaN without any, as by default.
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
    MoCoPRegressor : For numbers.
    mocop_sklearn.MoCoPEmbedder : For the embedding itself, beside any other classifier.

    References
    ----------
    .. [1] Nguyen, Pertusi, Branson. Molecule-Morphology Contrastive Pretraining for Transferable
       Molecular Representation. arXiv 2305.09790, 2023.
    .. [2] Kumar, Raghunathan, Jones, Ma, Liang. Fine-Tuning can Distort Pretrained Features and Underperform
       Out-of-Distribution. ICLR 2022, arXiv 2202.10054, section 3.4.

    Examples
    --------
    >>> from mocop_sklearn import MoCoPClassifier
    >>> smiles = ["CCO", "CCCO", "c1ccccc1", "Cc1ccccc1"]
    >>> aromatic = ["no", "no", "yes", "yes"]
    >>> classifier = MoCoPClassifier(learning_rate=1e-3, max_epochs=20, random_state=0).fit(smiles, aromatic)
    >>> classifier.predict(["CCCCO", "CCc1ccccc1"])
    array(['no', 'yes'], dtype='<U3')

    Two tasks, of which not all was measured:

    >>> Y = [[0, 1], [0, float("nan")], [1, 0], [float("nan"), 0]]
    >>> classifier.fit(smiles, Y).predict_proba(["CCCCO", "CCc1ccccc1", "CCC"]).shape
    (3, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **FineTuned._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }
    _AUTOMATIC = (
        {"head": "tanh", "head_init": "random", "max_epochs": 60, "learning_rate": 3e-4},
        {"head": "linear", "head_init": "linear", "max_epochs": 10, "learning_rate": 1e-4},
    )
    _FITTED = (*FineTuned._FITTED, "classes_", "unscorable_tasks_", "_constant")

    def __init__(
        self,
        *,
        pretrained: Any = None,
        standardize: Any = "parent",
        invalid: str = "raise",
        max_atoms: int = 2_000,
        featurizer: Any = "rich",
        encoder: Any = "ggnn",
        n_layers: int = 3,
        hidden_dim: int = 75,
        embedding_dim: int = 1024,
        dropout: float = 0.1,
        freeze: str | int = "none",
        layer_decay: float = 1.0,
        head: str = "auto",
        head_init: str = "auto",
        loss: Any = "auto",
        class_weight: Any = None,
        missing: Any = np.nan,
        max_epochs: int | str = "auto",
        min_epochs: int = 0,
        batch_size: int = 32,
        learning_rate: float | str = "auto",
        weight_decay: float = 0.0,
        validation_fraction: float = 0.0,
        validation_groups: str = "molecule",
        patience: int | None = 20,
        n_estimators: int = 1,
        device: str = "auto",
        precision: str = "auto",
        n_jobs: int | None = None,
        checkpoint_dir: Any = None,
        resume: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = (),
    ):
        super().__init__(
            pretrained=pretrained,
            standardize=standardize,
            invalid=invalid,
            max_atoms=max_atoms,
            featurizer=featurizer,
            encoder=encoder,
            n_layers=n_layers,
            hidden_dim=hidden_dim,
            embedding_dim=embedding_dim,
            dropout=dropout,
            freeze=freeze,
            layer_decay=layer_decay,
            head=head,
            head_init=head_init,
            loss=loss,
            missing=missing,
            max_epochs=max_epochs,
            min_epochs=min_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            validation_fraction=validation_fraction,
            validation_groups=validation_groups,
            patience=patience,
            n_estimators=n_estimators,
            device=device,
            precision=precision,
            n_jobs=n_jobs,
            checkpoint_dir=checkpoint_dir,
            resume=resume,
            random_state=random_state,
            verbose=verbose,
            callbacks=callbacks,
        )
        self.class_weight = class_weight

    @heard
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> Self:
        """Fine-tune on labels.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : array-like or sparse matrix, shape (n_samples,) or (n_samples, n_tasks)
            One task with any classes, or several with 0 and 1. NaN, None and ``missing`` are not measured, nor is
            what a sparse matrix does not store: its measured zeros have to be stored, as
            ``scipy.sparse.coo_array((values, (rows, columns)), shape=...)`` stores them, each cell once.
            One column is one task, as if it were one-dimensional. Memory grows with the number of measured labels, also
            where y is of int8 with ``missing=-1``, or mapped from a file.
        sample_weight : array-like of float, shape (n_samples,), default=None
            A row of weight 0 is checked and then left out. The loss of a batch is the weighted mean over
            its labels, as in scikit-learn's MLPClassifier, so weights of very different size call for large batches.
        X_val, y_val : as X and y, default=None
            Molecules and labels that choose the best epoch, instead of those of ``validation_fraction``. They are
            checked like X and y. Molecules that X holds too are not left out.

        Returns
        -------
        MoCoPClassifier

        Raises
        ------
        ValueError
            When rows are invalid, lengths differ, labels are not classes, fewer than two distinct molecules with labels
            remain, or y_val has another class or other tasks than y.
        """
        values, labels, weight = self._check_fit(X, y, sample_weight)
        given = self._check_validation(X_val, y_val, labels)
        classes = Classes.of(labels, weight, self.class_weight)
        validation = given and (given[0], classes.targets(given[1], np.ones(len(given[0])), "y_val"))
        objective = MULTICLASS if classes.is_multiclass else BINARY
        attributes = self._tasks_of(y, y_val, labels.shape[1:]) | {
            "classes_": np.arange(labels.n_tasks) if labels.shape[1:] else classes.values,
            "unscorable_tasks_": np.flatnonzero(~classes.scorable).tolist(),
            "_constant": np.where(classes.mass.any(axis=1), classes.mass.argmax(axis=1), np.nan),
        }
        self._fit_members(values, classes.targets(labels, weight), objective, validation, attributes)
        if len(self.unscorable_tasks_):
            warnings.warn(
                f"{len(self.unscorable_tasks_)} of {labels.n_tasks} tasks have fewer than two classes among the "
                f"measured labels (columns {some_columns(self.unscorable_tasks_)} of y). Their only class is always "
                f"predicted{', and score leaves them out' if self._tasks_shape else ''}.",
                UserWarning,
                stacklevel=4,  # beyond the decorators of fit
            )
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Log-odds of the positive class of each task, or logarithms of the probabilities of several classes.

        With several networks, they are those of the averaged probability.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float64, shape (n_samples,), (n_samples, n_classes) or (n_samples, n_tasks)
            The first for two classes, the second for more. Infinite for a task that had one class in ``fit``, NaN
            for one without labels.
        """
        decision = self._decide(self._outputs(X))
        return self._named(decision, self._column_names() if decision.ndim > 1 else self.task_names_, X)

    def _decide(self, outputs: np.ndarray) -> np.ndarray:
        log_odds = self._objective.join(outputs)
        if self._is_multiclass():
            return log_odds
        constant = self._constant[self.unscorable_tasks_]
        with np.errstate(invalid="ignore"):
            log_odds[:, self.unscorable_tasks_] = np.where(
                np.isnan(log_odds[:, self.unscorable_tasks_]), np.nan, (2 * constant - 1) * np.inf
            )
        return log_odds if self._tasks_shape else log_odds[:, 0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes) or (n_samples, n_tasks)
            For one task, of each of ``classes_``; for several, of 1.
        """
        return self._named(self._probabilities(self._decide(self._outputs(X))), self._column_names(), X)

    def _probabilities(self, decision: np.ndarray) -> np.ndarray:
        probability = self._objective.link(decision)
        if self._is_multiclass() or self._tasks_shape:
            return probability
        return np.stack([self._objective.link(-decision), probability], axis=1)[:, : len(self.classes_)]

    def predict_proba_std(self, X: Any) -> np.ndarray:
        """Standard deviation of ``predict_proba`` among the networks of the ensemble.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float64, shape (n_samples, n_classes) or (n_samples, n_tasks)

        Raises
        ------
        ValueError
            When there is only one network.
        """
        check_is_fitted(self)
        self._check_ensemble()
        return self._named(np.std(self._of_members(self._outputs(X)), axis=0), self._column_names(), X)

    def _of_members(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Probabilities of each network."""
        return [self._probabilities(self._decide(output[None])) for output in outputs]

    def _column_names(self) -> list[str]:
        """Names of the columns of ``predict_proba``."""
        if self._tasks_shape:
            return self.task_names_
        return [f"{self.task_names_[0]}_{name}" for name in self.classes_.tolist()]

    def _columns(self, outputs: np.ndarray) -> list[Column]:
        decision, members = self._decide(outputs), self._of_members(outputs)
        probabilities, names = self._probabilities(decision), self._column_names()
        if self._tasks_shape:
            return self._with_spread(names, probabilities, members)
        if self.classes_.tolist() == [0, 1]:
            return self._with_spread(self.task_names_, probabilities[:, 1:], [member[:, 1:] for member in members])
        classes = self._classes(decision).astype(object)
        classes[np.isnan(probabilities).any(axis=1)] = None
        return [(self.task_names_[0], classes), *self._with_spread(names, probabilities, members)]

    def predict(self, X: Any) -> np.ndarray:
        """Most probable classes.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_tasks)
            Of ``classes_``, or 0 and 1 for several tasks. Where a row is not a molecule or a task had no labels, the
            array holds NaN (floats) or None (objects).
        """
        return self._named(self._classes(self._decide(self._outputs(X))), self.task_names_, X)

    def _classes(self, decision: np.ndarray) -> np.ndarray:
        undefined = np.isnan(decision)
        if self._tasks_shape:
            return np.where(undefined, np.nan, decision > 0) if undefined.any() else (decision > 0).astype(int)
        if self._is_multiclass():
            undefined, codes = undefined.any(axis=1), decision.argmax(axis=1)
        else:
            codes = np.minimum(decision > 0, len(self.classes_) - 1)
        labels = self.classes_[codes]
        if undefined.any():
            empty, dtype = (np.nan, float) if labels.dtype.kind in "biuf" else (None, object)
            labels = labels.astype(dtype)
            labels[undefined] = empty
        return labels

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy for one task; the mean area under the ROC curve for several.

        Labels that were not measured, rows that are not molecules, and tasks with one class in ``fit`` or in y are
        left out.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : array-like, shape (n_samples,) or (n_samples, n_tasks)
        sample_weight : array-like of float, shape (n_samples,), default=None

        Returns
        -------
        float
            NaN when there is nothing to score.
        """
        decision = self._decide(self._outputs(X))
        labels, measured = measured_labels(y, self.missing)
        check_consistent_length(decision, labels)
        weight = check_sample_weight(sample_weight, labels)
        if not self._tasks_shape:
            defined = ~np.isnan(decision.reshape(len(labels), -1)).any(axis=1)
            check_same_shape(labels, defined)
            rows = measured & defined & (weight > 0)
            if not rows.any():
                return float("nan")
            return float(
                accuracy_score(plain_labels(labels[rows]), self._classes(decision[rows]), sample_weight=weight[rows])
            )
        check_same_shape(labels, decision)
        check_order_of_tasks(y, self.task_names_, "y")
        check_tasks(plain_labels(labels[measured]), labels.shape[1])
        scores = []
        for task in np.setdiff1d(np.arange(decision.shape[1]), self.unscorable_tasks_):
            rows = measured[:, task] & ~np.isnan(decision[:, task]) & (weight > 0)
            known = plain_labels(labels[rows, task])
            if len(np.unique(known)) == 2:
                scores.append(roc_auc_score(known, decision[rows, task], sample_weight=weight[rows]))
        return float(np.mean(scores)) if scores else float("nan")

    @property
    def _objective(self) -> Objective:
        return MULTICLASS if self._is_multiclass() else BINARY

    def _is_multiclass(self) -> bool:
        return not self._tasks_shape and len(self.classes_) > 2

    def _check_fitted(self, fitted: Section, n_outputs: int) -> None:
        classes, constant = (fitted.entry(name, np.ndarray) for name in ("classes_", "_constant"))
        tasks = fitted.items("unscorable_tasks_", int)
        if (fitted.data["_shift"] != 0).any() or (fitted.data["_scale"] != 1).any():
            raise fitted.error("the outputs of a classifier are not scaled")
        n_tasks = 1 if len(classes) > 2 and not fitted.data["_tasks_shape"] else n_outputs
        if classes.ndim != 1 or constant.shape != (n_tasks,) or not all(0 <= task < n_tasks for task in tasks):
            raise fitted.error(f"its classes and tasks are not those of {n_outputs} outputs")
        shape = fitted.data["_tasks_shape"]
        if shape not in ([], [n_outputs]) or (shape and len(classes) != n_outputs):
            raise fitted.error(f"_tasks_shape is {shape}")
        if not shape and len(classes) != (n_outputs if n_outputs > 1 else len(classes)):
            raise fitted.error(f"it has {len(classes)} classes and {n_outputs} outputs")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
