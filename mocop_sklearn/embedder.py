"""``MoCoPEmbedder``: the scikit-learn transformer that learns a molecular embedding from cells."""

from __future__ import annotations

import os
import warnings
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._version import __version__
from .metrics import retrieval_score
from .model_file._model import PretrainedModel, describe_callable, plain_value
from .molecules._parse import as_text, canonical_smiles, check_molecules, report_invalid, unique_molecules
from .nn._encoders import TwoTower
from .pairs._pairs import PairedProfiles, average_by_group, open_pairs
from .profiles._scaler import ProfileScaler, check_profiles
from .training._contrastive import Recipe
from .training._inference import embed_molecules, embed_profiles
from .training._pretraining import Interrupted, Job, apply_transformer, pretrain
from .utils._cache import digest_of_pickle, once
from .utils._device import resolve_device
from .utils._distributed import of_first_rank
from .utils._random import base_seed
from .utils._sklearn import Hidden, Interval, StrOptions

_ARCHITECTURE = ("featurizer", "n_layers", "hidden_dim", "embedding_dim", "projection_dim", "profile_dims", "dropout")
# Parameters that change where and how loudly a fit runs, but not what comes out of it.
_NO_EFFECT_ON_FIT = ("output", "n_jobs", "memory", "checkpoint_dir", "resume", "verbose")
_NARROW = 16


class MoCoPEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Molecular embedding, pretrained by contrasting molecules with their Cell Painting profiles.

    A graph neural network and a profile network are trained so that a molecule and the profile of the
    cells it was given to lie close together in a shared space (MoCoP, [1]_). ``transform`` then needs
    the molecules only.

    Parameters
    ----------
    pretrained : str, Path, PretrainedModel or fitted estimator, default=None
        Start from this model. Without any profiles, ``fit`` loads and checks it and trains nothing. A fitted
        ``MoCoPClassifier`` or ``MoCoPRegressor`` gives the representation that it has learned.
        The shape of the network, the featuriser, the standardisation and the profile transformer
        then come from the model; giving another value than the default for one of them is an error.
    pairs : str, Path, PairedProfiles or (molecules, profiles), default=None
        An external corpus to pretrain on, a path being a table of wells or a folder that ``mocop build``
        made; ``X`` and ``y`` of ``fit`` are then only checked.
    profile_transformer : scikit-learn transformer, default=None
        Fitted on the profiles of training molecules (at most 512 MiB of them, drawn at random) and applied
        to all. It sees arrays, without the names of their columns. None is
        ``ProfileScaler(n_components=64)``: impute, scale robustly, clip, drop constant columns, and keep 64
        whitened principal components (:class:`~mocop_sklearn.profiles.ProfileScaler`).
    standardize : {"parent", None} or callable, default="parent"
        ``"parent"``: largest fragment, neutralised, no tautomers. A callable maps Mol to Mol.
    invalid : {"raise", "nan"}, default="raise"
        What happens to rows that are no molecules (and, in ``fit``, to profiles without any finite
        value). ``"nan"``: rows of NaN from ``transform``, left out of training, one warning.
    featurizer : {"rich", "paper"}, default="rich"
        ``"paper"``: the 75 atom features of [1]_. ``"rich"`` adds chirality, ring sizes and bonds.
    n_layers : int, default=3
        Gated graph convolutions.
    hidden_dim : int, default=75
        Width of the atoms' states.
    embedding_dim : int, default=1024
        Width of the molecular representation.
    projection_dim : int, default=128
        Width of the shared space.
    profile_dims : tuple of int, default=(256, 128)
        Widths of the profile network's layers.
    dropout : float, default=0.1
    train_heads : bool, default=True
        False leaves the projection heads at their random initial weights, as the authors' release does.
    loss : {"infonce"}, default="infonce"
        Symmetric InfoNCE; other rows of the same molecule in a batch are no negatives.
    temperature : float or "learned", default=0.1
        Divides the cosines; "learned" starts at 0.1.
    replicates : {"sample", "source", "mean", "mix"} or int, default="sample"
        Rows of X that are the same molecule are replicates. In each epoch one of them is drawn; one of a
        source, every source being as likely (for ``pairs`` that name the source of each row); their mean; a
        random mix of four; or the mean of so many, drawn anew.
    max_epochs : int, default=100
        An epoch is one pass over the distinct molecules.
    batch_size : int, default=128
        Molecules per step, of all processes together; the last partial batch is dropped. Beyond 2,048 for a
        process, memory does not grow: gradients are cached.
    learning_rate : float, default=1e-3
        Peak of the schedule.
    weight_decay : float, default=0.01
        Of AdamW.
    warmup_fraction : float, default=0.05
        Share of all steps with a linear warm-up; a cosine to zero follows.
    validation_fraction : float, default=0.1
        Share of the molecules, split by the first block of the InChIKey, that chooses the best epoch.
        With 0, or where either part would hold fewer than two molecules, the last epoch is kept.
    patience : int, default=None
        Stop after this many epochs without a better validation score.
    output : {"encoder", "projection"}, default="encoder"
        What ``transform`` returns: the encoder's representation, or the unit vector in the shared space.
    device : str, default="auto"
        ``"auto"`` takes the GPU when there is one.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        ``"auto"``: bfloat16 autocast on a GPU that has it, else float32.
    n_jobs : int, default=None
        Processes that parse molecules and, on a CPU, embed them, each its share of the rows. They stay for a while:
        the first embedding of some thousand molecules waits for them to start.
    memory : str, Path or joblib.Memory, default=None
        Cache of fits and embeddings, shared among processes. With ``random_state=None`` too, a fit
        with the same inputs is taken from the cache. A function among the parameters is known by its name, so
        clear the cache after editing one.
    checkpoint_dir : str or Path, default=None
        Where the state of training is written after every epoch.
    resume : bool, default=False
        Continue the same training from ``checkpoint_dir``; on a CPU the result is bit-equal to that of
        a run without a break.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    model_ : PretrainedModel
        Weights and all else that a model file holds.
    profile_transformer_ : transformer
    history_ : list of dict
        One row per epoch: epoch, loss, learning_rate, temperature, validation_loss, validation_score
        (as ``score``), validation_top1, validation_top10, seconds, seconds_waiting (for data).
    n_iter_ : int
        Epochs run.
    best_score_ : float
        Validation score of the kept weights; NaN without validation molecules.
    digest_ : str
        SHA-256 of the weights and all else that decides an embedding.
    molecule_keys_ : ndarray of str
        Sorted connectivity keys (InChIKey, first block) of all molecules seen in pretraining.

    See Also
    --------
    mocop_sklearn.model_selection.overlap : Which molecules of a test set the model has seen.

    References
    ----------
    .. [1] Nguyen, Pertusi, Branson. Molecule-Morphology Contrastive Pretraining for Transferable
       Molecular Representation. arXiv 2305.09790, 2023.

    Examples
    --------
    >>> from mocop_sklearn import MoCoPEmbedder
    >>> from mocop_sklearn.datasets import make_paired_profiles
    >>> data = make_paired_profiles(n_molecules=40, random_state=0)
    >>> embedder = MoCoPEmbedder(max_epochs=1, random_state=0).fit(data.smiles, profiles=data.profiles)
    >>> embedder.transform(["CCO", "c1ccccc1"]).shape
    (2, 1024)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "pretrained": [str, os.PathLike, PretrainedModel, BaseEstimator, None],
        "pairs": [str, os.PathLike, PairedProfiles, tuple, None],
        "profile_transformer": [BaseEstimator, None],
        "standardize": [StrOptions({"parent"}), callable, None],
        "invalid": [StrOptions({"raise", "nan"})],
        "featurizer": [StrOptions({"rich", "paper"})],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "projection_dim": [Interval(Integral, 1, None, closed="left")],
        "profile_dims": [tuple, list],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "train_heads": ["boolean"],
        "loss": [StrOptions({"infonce"})],
        "temperature": [Interval(Real, 0, None, closed="neither"), StrOptions({"learned"})],
        "replicates": [StrOptions({"sample", "source", "mean", "mix"}), Interval(Integral, 2, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "warmup_fraction": [Interval(Real, 0, 1, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "output": [StrOptions({"encoder", "projection"})],
        "device": [str],
        "precision": [StrOptions({"auto", "fp32", "bf16"})],
        "n_jobs": [Integral, None],
        "memory": [str, os.PathLike, Hidden(object), None],
        "checkpoint_dir": [str, os.PathLike, None],
        "resume": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    # Profiles are routed by default, so that nobody has to call set_fit_request.
    __metadata_request__fit: ClassVar = {"profiles": True}
    __metadata_request__score: ClassVar = {"profiles": True}

    def __init__(
        self,
        *,
        pretrained: Any = None,
        pairs: Any = None,
        profile_transformer: Any = None,
        standardize: Any = "parent",
        invalid: str = "raise",
        featurizer: str = "rich",
        n_layers: int = 3,
        hidden_dim: int = 75,
        embedding_dim: int = 1024,
        projection_dim: int = 128,
        profile_dims: tuple[int, ...] = (256, 128),
        dropout: float = 0.1,
        train_heads: bool = True,
        loss: str = "infonce",
        temperature: float | str = 0.1,
        replicates: str | int = "sample",
        max_epochs: int = 100,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.05,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        output: str = "encoder",
        device: str = "auto",
        precision: str = "auto",
        n_jobs: int | None = None,
        memory: Any = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        resume: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.pretrained = pretrained
        self.pairs = pairs
        self.profile_transformer = profile_transformer
        self.standardize = standardize
        self.invalid = invalid
        self.featurizer = featurizer
        self.n_layers = n_layers
        self.hidden_dim = hidden_dim
        self.embedding_dim = embedding_dim
        self.projection_dim = projection_dim
        self.profile_dims = profile_dims
        self.dropout = dropout
        self.train_heads = train_heads
        self.loss = loss
        self.temperature = temperature
        self.replicates = replicates
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_fraction = warmup_fraction
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.output = output
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.memory = memory
        self.checkpoint_dir = checkpoint_dir
        self.resume = resume
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def paper(cls, **overrides: Any) -> Self:
        """Return an embedder with the recipe of the paper (arXiv 2305.09790).

        Its 1,000 epochs are meant for 112,000 molecules, and its profiles for plates that were scaled on
        their own controls before (:class:`~mocop_sklearn.profiles.ProfileNormalizer`). The authors'
        release leaves the projection heads untrained by mistake; here they are trained, and
        ``train_heads=False`` reproduces the release.

        Parameters
        ----------
        **overrides
            Any parameter of the class, to replace the recipe's value.
        """
        recipe: dict[str, Any] = {
            "profile_transformer": ProfileScaler(),
            "featurizer": "paper",
            "n_layers": 6,
            "hidden_dim": 75,
            "embedding_dim": 1024,
            "projection_dim": 128,
            "profile_dims": (512, 256, 128),
            "dropout": 0.1,
            "temperature": 0.1,
            "replicates": "sample",
            "max_epochs": 1000,
            "batch_size": 256,
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "warmup_fraction": 0.05,
            "validation_fraction": 0.1,
            "patience": None,
            "precision": "fp32",
        }
        return cls(**(recipe | overrides))

    # -- fitting ------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, profiles: Any = None) -> Self:
        """Pretrain on molecules and their profiles, or load a pretrained model.

        The profiles are the first of these that is given: ``profiles``, the parameter ``pairs``, a
        two-dimensional float ``y``. Without any, ``pretrained`` is loaded.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
            Molecules. Rows of one molecule are replicates.
        y : array-like, default=None
            A float matrix of shape (n_samples, n_features) is taken for the profiles, as the second
            view in scikit-learn's PLS. With ``pairs`` or ``pretrained``, labels are accepted and ignored.
        profiles : array-like of float or DataFrame, shape (n_samples, n_features), default=None
            One profile per row of X, in any unit. NaN and infinities are allowed. ``Metadata_*``
            columns of a DataFrame are left out.

        Returns
        -------
        MoCoPEmbedder

        Raises
        ------
        ValueError
            When there is neither a profile nor a pretrained model, when rows are invalid, when lengths
            differ, or when fewer than two distinct molecules remain.
        """
        self._validate_params()
        if (
            any(isinstance(d, bool) or not isinstance(d, Integral) or d < 1 for d in self.profile_dims)
            or not self.profile_dims
        ):
            raise ValueError(f"profile_dims must be a tuple of positive integers, got {self.profile_dims!r}.")
        if self.resume and self.checkpoint_dir is None:
            raise ValueError("resume=True needs checkpoint_dir, the folder that holds the state of the killed run.")
        device = resolve_device(self.device)
        values = check_molecules(X)
        if y is not None:
            check_consistent_length(values, y)
        start = self._load_pretrained()
        source = self._paired_profiles(values, y, profiles, has_model=start is not None)
        if source is None:
            assert start is not None
            self._adopt(start)
            return self
        if start is not None:
            _require_profile_network(start)
            order = _matching_columns(source.n_features, source.feature_names, start, "The profile matrix")
            source = source if order is None else source.select_features(order)

        key = self._fit_key(source, start)
        parameters = {name: _as_plain(value) for name, value in self.get_params(deep=False).items()}
        job = Job(
            source=source,
            start=start,
            architecture={name: parameters[name] for name in _ARCHITECTURE}
            | {"profile_dims": tuple(parameters["profile_dims"])}
            | ({"featurizer": start.architecture.featurizer} if start else {}),
            recipe=Recipe(
                temperature=0.1 if isinstance(self.temperature, str) else float(self.temperature),
                learn_temperature=isinstance(self.temperature, str),
                replicates=self.replicates,
                max_epochs=self.max_epochs,
                batch_size=self.batch_size,
                learning_rate=float(self.learning_rate),
                weight_decay=float(self.weight_decay),
                warmup_fraction=float(self.warmup_fraction),
                patience=self.patience,
                train_heads=self.train_heads,
                precision=self.precision,
                seed=of_first_rank(base_seed(self.random_state)),
            ),
            profile_transformer=self.profile_transformer,
            standardize=start.standardize if start else self.standardize,
            invalid=self.invalid,
            validation_fraction=self.validation_fraction,
            device=device,
            n_jobs=self.n_jobs,
            checkpoint=None if self.checkpoint_dir is None else Path(self.checkpoint_dir) / f"{key}.safetensors",
            resume=self.resume,
            parameters=parameters,
            verbose=bool(self.verbose),
        )
        try:
            model = once(self.memory, f"fit-{key}", pretrain, job)
        except Interrupted as interruption:
            model = interruption.model
        self._adopt(model)
        return self

    def _load_pretrained(self) -> PretrainedModel | None:
        """Return the model of ``pretrained``, checked against the other parameters."""
        if self.pretrained is None or isinstance(self.pretrained, PretrainedModel):
            model = self.pretrained
        elif isinstance(self.pretrained, BaseEstimator):
            model = getattr(getattr(self.pretrained, "estimator", self.pretrained), "model_", None)
            if not isinstance(model, PretrainedModel):
                raise ValueError(
                    f"pretrained={self.pretrained!r} is not a fitted estimator of this package. scikit-learn's clone, "
                    "which pipelines and searches use, returns it unfitted: pass its model_, a model file, or "
                    "FrozenEstimator(embedder)."
                )
        else:
            model = PretrainedModel.load(self.pretrained, self.standardize)
        if model is not None:
            defaults = type(self)().get_params(deep=False)
            stored = model.architecture.as_dict() | {"standardize": describe_callable(model.standardize)}
            for name in (*_ARCHITECTURE, "standardize"):
                mine = getattr(self, name)
                mine = list(mine) if isinstance(mine, tuple) else describe_callable(mine)
                default = list(defaults[name]) if isinstance(defaults[name], tuple) else defaults[name]
                if mine not in (default, stored[name]):
                    raise ValueError(
                        f"{name}={mine!r} contradicts the pretrained model, which has {stored[name]!r}. Leave {name} "
                        "at its default, or pretrain anew."
                    )
            mine, theirs = _plain_repr(self.profile_transformer), repr(model.profile_transformer)
            if mine not in ("None", theirs):
                raise ValueError(
                    f"profile_transformer={mine} contradicts the pretrained model, which has {theirs}. Leave "
                    "profile_transformer at None, or pretrain anew."
                )
        return model

    def _paired_profiles(self, values: list[Any], y: Any, profiles: Any, *, has_model: bool) -> PairedProfiles | None:
        """The first source of profiles that is given, or None when a model alone is."""
        if profiles is not None:
            return PairedProfiles(values, profiles)
        if isinstance(self.pairs, tuple):
            if len(self.pairs) != 2:
                raise ValueError(f"pairs must be (molecules, profiles), got a tuple of {len(self.pairs)}.")
            return PairedProfiles(*self.pairs)
        if self.pairs is not None:
            return self.pairs if isinstance(self.pairs, PairedProfiles) else open_pairs(self.pairs)
        shape, kind = _shape_and_kind(y)
        if len(shape) == 2 and kind == "f":
            if shape[1] < _NARROW:
                warnings.warn(
                    f"y, a float matrix of {shape[1]} columns, is taken for the profiles of X. If it holds targets, "
                    "give the profiles by profiles= or pairs=, or freeze a fitted embedder with "
                    "sklearn.frozen.FrozenEstimator.",
                    UserWarning,
                    stacklevel=3,
                )
            return PairedProfiles(values, y)
        if has_model:
            return None
        given = "nothing" if y is None else f"y of shape {tuple(shape)}, which looks like labels"
        raise ValueError(
            f"MoCoPEmbedder needs profiles to learn from, or a pretrained model, but got {given}. Do one of: "
            "(1) fit(X, profiles=P) with one profile per row of X; (2) MoCoPEmbedder(pairs=...) with a file or "
            "PairedProfiles; (3) fit(X, P) with a two-dimensional float P; (4) MoCoPEmbedder(pretrained=...). "
            "An already fitted embedder goes into a pipeline as sklearn.frozen.FrozenEstimator(embedder)."
        )

    def _fit_key(self, source: PairedProfiles, start: PretrainedModel | None) -> str:
        """Digest of all that decides what a fit returns; without a cache and checkpoints, nobody asks for it."""
        if self.memory is None and self.checkpoint_dir is None:
            return ""
        skipped = (*_NO_EFFECT_ON_FIT, "pairs", "pretrained")
        parameters = {
            name: value
            for name, value in self.get_params(deep=True).items()
            if name not in skipped and not name.startswith("pretrained__")
        }
        return digest_of_pickle([__version__, source.digest, start and start.digest, parameters])

    def _adopt(self, model: PretrainedModel) -> None:
        self.model_ = model
        self.profile_transformer_ = model.profile_transformer
        self.history_ = model.history
        self.n_iter_ = model.n_iter
        self.best_score_ = model.best_score
        self.digest_ = model.digest
        self.molecule_keys_ = np.array(model.molecule_keys, dtype=str)
        self._module = model.module()

    # -- embedding ----------------------------------------------------------------------------

    def transform(self, X: Any) -> np.ndarray:
        """Embed molecules.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)

        Returns
        -------
        ndarray of float32, shape (n_samples, embedding_dim or projection_dim)
            Row i belongs to row i of X. Rows that are no molecules are NaN with ``invalid="nan"``.

        Raises
        ------
        ValueError
            Naming the first ten rows that are no molecules, with ``invalid="raise"``.
        """
        check_is_fitted(self)
        return self._embed(check_molecules(X), self.output)

    def transform_profiles(self, P: Any) -> np.ndarray:
        """Map profiles into the shared space, where ``output="projection"`` puts molecules.

        Parameters
        ----------
        P : array-like of float or DataFrame, shape (n_profiles, n_features)
            As in ``fit``. Columns of a DataFrame are matched by name when the model has names.

        Returns
        -------
        ndarray of float32, shape (n_profiles, projection_dim)
            Unit vectors.

        Raises
        ------
        ValueError
            When P has another width than was fitted, or lacks columns.
        """
        check_is_fitted(self)
        return self._project(self._scale_profiles(P, "P"))

    def score(self, X: Any, y: Any = None, *, profiles: Any = None) -> float:
        """Retrieval between molecules and profiles: 1 is perfect, 0 is chance.

        One minus twice the normalised rank, the mean of both directions, among the distinct molecules
        of X, each with the mean of its profiles; so folds of different size compare.

        Parameters
        ----------
        X : list, array, Series or one column of str or Mol, shape (n_samples,)
        y : array-like of float, shape (n_samples, n_features), default=None
            The profiles, unless ``profiles`` is given.
        profiles : array-like of float or DataFrame, shape (n_samples, n_features), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        values = check_molecules(X)
        profiles = y if profiles is None else profiles
        if profiles is None:
            raise ValueError("score needs the profiles of X: score(X, profiles=P) or score(X, P).")
        check_consistent_length(values, profiles)
        scaled = self._scale_profiles(profiles, "profiles")
        identity = canonical_smiles(values, self.model_.standardize)
        valid = np.array([smiles is not None for smiles in identity])
        molecules = self._embed(values, "projection")
        if not valid.any():
            raise ValueError("No row of X is a valid molecule.")
        _, first, group = np.unique(np.array(identity, dtype=object)[valid], return_index=True, return_inverse=True)
        return retrieval_score(molecules[valid][first], self._project(average_by_group(scaled[valid], group)))

    def _scale_profiles(self, P: Any, name: str) -> np.ndarray:
        _require_profile_network(self.model_)
        matrix, columns = check_profiles(P, name=name)
        order = _matching_columns(matrix.shape[1], columns, self.model_, name)
        return apply_transformer(self.profile_transformer_, matrix if order is None else matrix[:, order])

    def _project(self, scaled: np.ndarray) -> np.ndarray:
        return embed_profiles(self._torch_module(), scaled, resolve_device(self.device), self.precision)

    def _embed(self, values: list[Any], output: str) -> np.ndarray:
        if output == "projection":
            _require_profile_network(self.model_)
        embed = partial(
            embed_molecules,
            self._torch_module().tower(output),
            featurizer=self.model_.architecture.featurizer,
            standardize=self.model_.standardize,
            invalid=self.invalid,
            device=resolve_device(self.device),
            precision=self.precision,
            n_jobs=self.n_jobs,
        )
        if self.memory is None:
            embedding, reasons = embed(values)
        else:
            unique, inverse = unique_molecules(values)
            standardize = self.model_.standardize
            settings = [output, self.precision, self.invalid, standardize if callable(standardize) else None]
            key = digest_of_pickle([__version__, self.digest_, *settings, *map(_text_or_repr, unique)])
            embedding, reasons = once(self.memory, f"embed-{key}", embed, unique)
            embedding = embedding[inverse]
            reasons = {row: reasons[i] for row, i in enumerate(inverse.tolist()) if i in reasons}
        report_invalid(values, reasons, self.invalid)
        return embedding

    def _torch_module(self) -> TwoTower:
        if not hasattr(self, "_module"):
            self._module = self.model_.module()
        return self._module.to(resolve_device(self.device))

    # -- files --------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a safetensors file, which holds no pickle.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        TypeError
            When the profile transformer cannot be written without pickle.
        """
        check_is_fitted(self)
        self.model_.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **parameters: Any) -> Self:
        """Return the fitted embedder of a model file.

        Parameters
        ----------
        path : str or Path
            Written by ``save``.
        **parameters
            Further parameters of the class, such as ``output`` or ``device``.

        Raises
        ------
        FileNotFoundError, ValueError
            When the file is missing, truncated, altered, of a newer format or of another kind.
        """
        embedder = cls(pretrained=os.fspath(path), **parameters)
        embedder._validate_params()
        model = embedder._load_pretrained()
        assert model is not None
        embedder._adopt(model)
        return embedder

    # -- the scikit-learn contract ------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        """Number of columns of ``transform``, for ``get_feature_names_out``."""
        architecture = self.model_.architecture
        return architecture.embedding_dim if self.output == "encoder" else architecture.projection_dim

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = self.invalid == "nan"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # Weights travel as the arrays in model_: the torch module is rebuilt, on whatever device there is.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_module"}


def _require_profile_network(model: PretrainedModel) -> None:
    if not model.architecture.profile_dims:
        raise ValueError(
            "This model was trained on labels and has no profile network, so there is nothing to contrast with and no "
            'shared space: only transform with output="encoder" is possible. Pretrain an embedder for the rest.'
        )


def _text_or_repr(value: Any) -> str:
    text = as_text(value)
    return text if isinstance(text, str) else f"{type(text).__name__}: {text!r}"


def _plain_repr(transformer: Any) -> str:
    """As ``repr``, numpy scalars among the parameters as the numbers that they are."""
    if not hasattr(transformer, "get_params") or isinstance(transformer, type):
        return repr(transformer)
    numbers = {n: v.item() for n, v in transformer.get_params().items() if isinstance(v, np.generic)}
    return repr(clone(transformer).set_params(**numbers) if numbers else transformer)


def _shape_and_kind(y: Any) -> tuple[tuple[int, ...], str]:
    """Shape and dtype kind of what may be a matrix of profiles."""
    if y is None:
        return (), ""
    if hasattr(y, "columns"):
        y = y[[column for column in y.columns if not str(column).startswith("Metadata_")]]
        kinds = {dtype.kind for dtype in y.dtypes} if hasattr(y, "iloc") else {y.to_numpy().dtype.kind}
        return y.shape, "f" if "f" in kinds and kinds <= set("fiu") else "O"
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    try:
        y = y if isinstance(getattr(y, "dtype", None), np.dtype) else np.asarray(y)
    except ValueError:  # rows of different lengths
        return (len(y),), "O"
    return y.shape, y.dtype.kind


def _matching_columns(n_columns: int, names: list[str] | None, model: PretrainedModel, what: str) -> list[int] | None:
    """Numbers of the columns that the model was fitted on, in its order; None where they are all, and go by place.

    Raises
    ------
    ValueError
        Naming the columns that lack, or both widths when there are no names.
    """
    if names is not None and model.profile_features is not None:
        position = {name: i for i, name in enumerate(names)}
        lacking = [name for name in model.profile_features if name not in position]
        if lacking:
            raise ValueError(
                f"{what} lacks {len(lacking)} of the {model.n_profile_columns} columns the model was fitted on: "
                f"{lacking[:10]}."
            )
        return [position[name] for name in model.profile_features]
    if n_columns != model.n_profile_columns:
        raise ValueError(
            f"{what} has {n_columns} features, but the model was fitted on profiles with "
            f"{model.n_profile_columns} features."
        )
    return None


def _as_plain(value: Any) -> Any:
    """A parameter as it is recorded in model files: plain data, or its repr."""
    value = plain_value(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)) and all(isinstance(item, (Real, str)) for item in value):
        return [_as_plain(item) for item in value]
    return repr(value)[:200]
