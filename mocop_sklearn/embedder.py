"""``MoCoPEmbedder``: the scikit-learn transformer that learns a molecular embedding from cells."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

from sklearn.utils.validation import check_consistent_length

from ._base._callbacks import heard
from ._base._embedding import FittedEmbedding
from ._base._parameters import (
    COMPONENTS,
    EMBEDDER_CONSTRAINTS,
    ENCODER_SHAPE,
    PAPER,
    check_callbacks,
    check_widths,
    list_of_features,
    load_start,
    pretraining_key,
    recorded_parameters,
    warn_of_networks_left,
)
from .model_file._format import recorded
from .model_file._model import PretrainedModel
from .molecules._parse import check_molecules
from .nn._models import Architecture
from .pairs._pairs import PairedProfiles
from .pairs._sources import leave_out_large, molecules_of, paired_profiles
from .profiles._scaler import ProfileScaler
from .training._contrastive import Recipe
from .training._job import Job
from .training._pretraining import Interrupted, pretrain
from .utils._cache import once
from .utils._device import resolve_device
from .utils._distributed import of_first_rank
from .utils._random import base_seed

_SHAPE = (*ENCODER_SHAPE, "projection_dim", "profile_encoder", "profile_dims", "dropout")
_COMPONENTS = (*COMPONENTS, "profile_encoder")
# Parameters that change where a fit runs and what it prints, but not its result.
_NO_EFFECT_ON_FIT = ("output", "n_jobs", "memory", "checkpoint_dir", "resume", "verbose", "callbacks")


class MoCoPEmbedder(FittedEmbedding):
    """Molecular embedding, pretrained by contrasting molecules with their Cell Painting profiles.

    A graph neural network and a profile network are trained so that a molecule and the profile of the
    cells it was given to lie close together in a shared space (MoCoP, [1]_). ``transform`` then needs
    the molecules only.

    Parameters
    ----------
    pretrained : str, Path, PretrainedModel or fitted estimator, default=None
        Start from this model: a name of ``list_models``, a file or ``"hf://owner/name"`` on the Hugging Face Hub; of a
        fitted ``MoCoPClassifier`` or ``MoCoPRegressor``, what it has learned. Without profiles, ``fit`` trains nothing.
        Shape, featuriser, standardisation and profile transformer come from the model; another value is an error.
    pairs : str, Path, PairedProfiles or (molecules, profiles), default=None
        An external corpus to pretrain on. A path names a table of wells, or a folder that ``mocop build`` made. ``X``
        and ``y`` of ``fit`` are then only checked.
    unlabeled : list, array or column of str or Mol, str, Path or PairedProfiles, default=None
        Molecules without profiles for the structure objective; each step takes 2 × ``batch_size`` of them. A path names
        a file of molecules. Without any profiles, the structure objective is all that is trained, and the model has no
        shared space, also if that of ``pretrained`` has one; a second embedder can then take it to profiles.
    structure_targets : "descriptors" or scikit-learn transformer, default="descriptors"
        What the structure objective regresses from a molecule alone, beside the contrastive loss: columns, winsorised
        and standardised. RDKit's descriptors (:class:`~mocop_sklearn.molecules.MoleculeDescriptors`), or those of a
        transformer that takes a list of SMILES, such as a teacher (:class:`~mocop_sklearn.molecules.MiniMol`).
    structure_weight : float, default=1.0
        Weight of the mean squared error of the structure objective, on molecules with and without profiles, beside the
        contrastive loss. 0 leaves it out.
    profile_weight : float, default=0.0
        Weight of the mean squared error of the transformed profile, regressed from the representation of the molecule,
        beside the contrastive loss. The regression is not part of the model.
    side_features : str, transformer, list of these or None, default=all names
        Features of molecules that stand beside the network in the shared space: a kernel ridge
        (:class:`~mocop_sklearn.model_file.SideTower`) maps them to profiles, and a cosine is the weighted mean of that
        of the network and that of the ridge; the molecules of validation choose the weight. They change neither
        ``output="encoder"`` nor ``best_score_``, which is that of the network. The names are ``"descriptors"``
        (RDKit's), ``"ecfp"`` (2,048 Morgan counts), ``"fcfp"`` (those of pharmacophoric roles), ``"atom_pairs"`` and
        ``"torsions"`` (512 counts of each). A transformer takes a list of SMILES. None or an empty list: nothing stands
        beside the network.
    local_scaling : bool, default=True
        Whether cosines in the shared space are corrected for hubs, profiles and molecules that are near to most others
        (:class:`~mocop_sklearn.model_file.LocalScaling`). The vectors have four columns more. It changes neither
        ``output="encoder"`` nor ``best_score_``.
    profile_transformer : scikit-learn transformer, default=None
        Fitted on the profiles of training molecules (at most 512 MiB of them, drawn at random) and applied
        to all. It sees arrays, without the names of their columns. None is
        ``ProfileScaler(n_components=64, whitening=0.75)``: impute, scale robustly, clip, drop constant columns, and
        keep 64 principal components, whitened in part (:class:`~mocop_sklearn.profiles.ProfileScaler`).
    standardize : {"parent", None} or callable, default="parent"
        ``"parent"``: largest fragment, neutralised, no tautomers. A callable maps Mol to Mol.
    invalid : {"raise", "nan"}, default="raise"
        What happens to rows that are not molecules (and, in ``fit``, to profiles without any finite value). With
        ``"nan"``, ``fit`` leaves them out and ``transform`` returns rows of NaN, with one warning. In a pipeline, wrap
        the next estimator in :class:`~mocop_sklearn.SkipInvalid`, so that such rows get no prediction.
    max_atoms : int, default=2000
        Rows with more atoms, all fragments together and hydrogens left out, are not accepted as molecules. They are
        refused before they are parsed: 10,000 may take 3 seconds, and 32,767, the largest limit, more than a minute.
    featurizer : {"rich", "paper"} or Featurizer, default="rich"
        ``"paper"``: the 75 atom features of [1]_. ``"rich"`` adds chirality, ring sizes and bonds. A
        :class:`~mocop_sklearn.molecules.Featurizer` has fields of your own choice.
    encoder : {"gine", "ggnn", "gin", "gatv2", "pna", "attentivefp", "gps"} or callable, default="gine"
        The network of molecules. ``"gine"`` has residual convolutions with bonds
        (:class:`~mocop_sklearn.nn.ResidualGraphEncoder`), ``"ggnn"`` is the gated graph network of [1]_, the others are
        torch-geometric's. A callable maps the widths of atom and bond features to a module with ``out_features`` whose
        ``forward`` maps a :class:`~mocop_sklearn.nn.GraphBatch` to an array of shape (n_molecules, out_features), as
        does a ``functools.partial`` of :class:`~mocop_sklearn.nn.PyGEncoder`.
    n_layers : int, default=4
        Number of convolutions. ``n_layers``, ``hidden_dim`` and ``embedding_dim`` only apply to encoders with a name.
    hidden_dim : int, default=128
        Width of the atoms' states.
    embedding_dim : int, default=512
        Width of the molecular representation.
    projection_dim : int, default=128
        Width of the shared space.
    profile_encoder : {"mlp"} or callable, default="mlp"
        The network of profiles: linear layers with ReLU between. A callable maps the number of features to a module
        with ``out_features``.
    profile_dims : tuple of int, default=(256, 128)
        Widths of the layers of ``"mlp"``.
    dropout : float, default=0.1
    train_heads : bool, default=True
        False leaves the projection heads at their random initial weights, as the authors' release does.
    loss : {"infonce", "siglip"}, callable or None, default="infonce"
        Symmetric InfoNCE, or the sigmoid loss of each pair; other rows of the same molecule in a batch are not
        negatives. A callable has the signature of :func:`~mocop_sklearn.nn.infonce`. None contrasts nothing: with
        ``profile_weight``, the encoder learns to predict profiles ("multitask" in [1]_), which stream from ``pairs``,
        and the model has no shared space.
    temperature : float or "learned", default=0.1
        Divides the cosines; "learned" starts at 0.1.
    replicates : {"sample", "source", "mean", "mix"} or int, default="sample"
        Rows of X that are the same molecule are replicates. The profile of a molecule in an epoch is: one of them at
        random; one of a random source, if ``pairs`` name the source of each row; the mean of all; a random mix of four;
        or the mean of that many, drawn anew.
    max_epochs : int, default=100
        An epoch is one pass over the distinct molecules. With 0, the encoder stays untrained, a baseline.
    batch_size : int, default=128
        Molecules per step, of all processes together. The last partial batch is dropped. Beyond 2,048 molecules per
        process, gradients are cached, so that memory does not grow.
    learning_rate : float, default=1e-3
        Peak of the schedule.
    weight_decay : float, default=0.01
        Weight decay of AdamW.
    warmup_fraction : float, default=0.05
        Share of all steps in which the rate rises linearly. Then it falls to zero along a cosine.
    validation_fraction : float, default=0.1
        Share of the molecules, split by the first block of the InChIKey, that chooses the best epoch.
        With 0, or where either part would hold fewer than two molecules, the last epoch is kept.
    selection : {"score", "top1"}, default="score"
        What the best epoch has the highest of: the validation score, or, as in the authors' release, the share of
        validation molecules that are first in pools of 256, both directions together.
    patience : int, default=None
        Stop after this many epochs without a better one.
    n_estimators : int, default=1
        Networks, each with its own random numbers: ``output="encoder"`` has their representations side by side, and a
        cosine in the shared space is the mean of theirs. A model of several that is ``pretrained`` gives each its own;
        a warning says when it has more of them.
    output : {"encoder", "projection"}, default="encoder"
        What ``transform`` returns: the encoder's representation, or the unit vector in the shared space.
    device : str, default="auto"
        ``"auto"`` takes the GPU when there is one: NVIDIA's (``"cuda"``), or Apple's (``"mps"``).
    precision : {"auto", "fp32", "bf16"}, default="auto"
        ``"auto"``: bfloat16 autocast on an NVIDIA GPU that has it, else float32.
    n_jobs : int, default=None
        Number of processes that parse molecules and, on a CPU, embed them. Each has its share of the rows. They stay
        for a while, so only the first embedding waits for them to start. With two or more, a molecule that ends its
        process, or takes longer than 20 seconds, is an invalid row. With one, it ends or holds up the program, because
        RDKit's C++ code cannot be interrupted.
    memory : str, Path or joblib.Memory, default=None
        Cache of fits and embeddings, shared among processes. A fit with the same
        inputs is taken from the cache, also with ``random_state=None``. A function among the parameters is known by its
        name, so clear the cache after you edit one. Entries are model files; a fit whose profile transformer cannot be
        written to one is not cached, with a warning.
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
        With scikit-learn 1.9 or later, ``set_callbacks`` takes its callbacks, too; one that asks to stop ends training.

    Attributes
    ----------
    model_ : PretrainedModel
        The weights and everything else that a model file holds.
    profile_transformer_ : transformer
    history_ : list of dict
        One row per epoch: epoch, loss, structure_loss (of ``unlabeled``), learning_rate, temperature, validation_loss,
        validation_score (as ``score``, of the network alone), validation_top1, validation_top10, seconds,
        seconds_waiting (for data). Without profiles or ``loss``, validation_score is the share of the variance that is
        explained, of the structure targets or of the profiles.
    n_iter_ : int
        Epochs run.
    best_score_ : float
        Validation score of the kept weights; NaN without validation molecules.
    digest_ : str
        SHA-256 of the weights and of everything else that determines an embedding.
    molecule_keys_ : ndarray of str
        Sorted connectivity keys (InChIKey, first block) of all molecules whose profiles pretraining has seen.
    structure_keys_ : ndarray of str
        The same of molecules that pretraining has seen as structures only.

    See Also
    --------
    mocop_sklearn.SkipInvalid : Gives no prediction for rows of NaN.
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
    (2, 512)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = EMBEDDER_CONSTRAINTS
    # Profiles are routed by default, so that nobody has to call set_fit_request.
    __metadata_request__fit: ClassVar = {"profiles": True}
    __metadata_request__score: ClassVar = {"profiles": True}

    def __init__(
        self,
        *,
        pretrained: Any = None,
        pairs: Any = None,
        unlabeled: Any = None,
        structure_targets: Any = "descriptors",
        structure_weight: float = 1.0,
        profile_weight: float = 0.0,
        side_features: Any = ("descriptors", "ecfp", "fcfp", "atom_pairs", "torsions"),
        local_scaling: bool = True,
        profile_transformer: Any = None,
        standardize: Any = "parent",
        invalid: str = "raise",
        max_atoms: int = 2_000,
        featurizer: Any = "rich",
        encoder: Any = "gine",
        n_layers: int = 4,
        hidden_dim: int = 128,
        embedding_dim: int = 512,
        projection_dim: int = 128,
        profile_encoder: Any = "mlp",
        profile_dims: tuple[int, ...] = (256, 128),
        dropout: float = 0.1,
        train_heads: bool = True,
        loss: Any = "infonce",
        temperature: float | str = 0.1,
        replicates: str | int = "sample",
        max_epochs: int = 100,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.05,
        validation_fraction: float = 0.1,
        selection: str = "score",
        patience: int | None = None,
        n_estimators: int = 1,
        output: str = "encoder",
        device: str = "auto",
        precision: str = "auto",
        n_jobs: int | None = None,
        memory: Any = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        resume: bool = False,
        random_state: Any = None,
        verbose: int = 0,
        callbacks: Any = (),
    ):
        self.pretrained = pretrained
        self.pairs = pairs
        self.unlabeled = unlabeled
        self.structure_targets = structure_targets
        self.structure_weight = structure_weight
        self.profile_weight = profile_weight
        self.side_features = side_features
        self.local_scaling = local_scaling
        self.profile_transformer = profile_transformer
        self.standardize = standardize
        self.invalid = invalid
        self.max_atoms = max_atoms
        self.featurizer = featurizer
        self.encoder = encoder
        self.n_layers = n_layers
        self.hidden_dim = hidden_dim
        self.embedding_dim = embedding_dim
        self.projection_dim = projection_dim
        self.profile_encoder = profile_encoder
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
        self.selection = selection
        self.patience = patience
        self.n_estimators = n_estimators
        self.output = output
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.memory = memory
        self.checkpoint_dir = checkpoint_dir
        self.resume = resume
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

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
        return cls(**({"profile_transformer": ProfileScaler(), **PAPER} | overrides))

    # -- fitting ------------------------------------------------------------------------------

    @heard
    def fit(self, X: Any, y: Any = None, *, profiles: Any = None) -> Self:
        """Pretrain on molecules and their profiles, on bare molecules, or load a pretrained model.

        The profiles are the first of these that is given: ``profiles``, the parameter ``pairs``, a
        two-dimensional float ``y``. Without any, the molecules of ``unlabeled`` are trained on, and without these
        ``pretrained`` is loaded.

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
            When there is no profile, no bare molecule and no pretrained model, when rows are invalid, when lengths
            differ, or when fewer than two distinct molecules remain.
        """
        self._check_parameters()
        values = check_molecules(X)
        if y is not None:
            check_consistent_length(values, y)
        start = self._load_start()
        unlabeled = None if self.unlabeled is None else molecules_of(self.unlabeled, self.max_atoms, self.invalid)
        has_other = start is not None or unlabeled is not None
        source = paired_profiles(values, y, profiles, self.pairs, has_other=has_other)
        if source is None and unlabeled is None:
            assert start is not None
            self._adopt(start)
            return self
        if source is not None:
            source = leave_out_large(source, self.max_atoms, self.invalid)
        if start is not None and source is not None and start.architecture.has_profile_network:
            order = start.profile_columns(source.n_features, source.feature_names, "The profile matrix")
            source = source if order is None else source.select_features(order)
        warn_of_networks_left(start, self.n_estimators)
        key = pretraining_key(self, source, unlabeled, start, _NO_EFFECT_ON_FIT)
        job = self._job(source, unlabeled, start, key)
        try:
            model = once(self.memory, f"fit-{key}", job.cache_entry, pretrain, job)
        except Interrupted as interruption:
            model = interruption.model
        self._adopt(model)
        return self

    def _check_parameters(self) -> None:
        check_widths("profile_dims", self.profile_dims)
        check_callbacks(self.callbacks)
        if self.resume and self.checkpoint_dir is None:
            raise ValueError("resume=True needs checkpoint_dir, the folder that holds the state of the killed run.")
        if self.unlabeled is not None and self.structure_weight == 0:
            raise ValueError("unlabeled needs a structure_weight above 0: nothing else is learned from bare molecules.")
        if self.loss is None and (self.profile_weight == 0 or self.selection != "score"):
            raise ValueError('loss=None needs a profile_weight above 0 and selection="score": it contrasts nothing.')
        resolve_device(self.device)

    def _load_start(self) -> PretrainedModel | None:
        """Return the model of ``pretrained``, checked against the other parameters."""
        model = load_start(self, _SHAPE, _COMPONENTS)
        if model is not None and self.profile_transformer is not None:
            model.require_transformer(self.profile_transformer)
        return model

    def _job(
        self, source: PairedProfiles | None, unlabeled: list[Any] | None, start: PretrainedModel | None, key: str
    ) -> Job:
        return Job(
            source=source,
            unlabeled=unlabeled,
            structure_targets=self.structure_targets,
            side_features=list_of_features(self.side_features),
            local_scaling=bool(self.local_scaling),
            start=start,
            architecture=self._architecture(source is not None, start),
            recipe=self._recipe(),
            n_networks=int(self.n_estimators),
            profile_transformer=self.profile_transformer,
            standardize=start.standardize if start else self.standardize,
            invalid=self.invalid,
            validation_fraction=self.validation_fraction,
            device=resolve_device(self.device),
            n_jobs=self.n_jobs,
            checkpoint=None if self.checkpoint_dir is None else Path(self.checkpoint_dir) / f"{key}.safetensors",
            resume=self.resume,
            memory=self.memory,
            parameters=recorded_parameters(self, start),
            verbose=bool(self.verbose),
            callbacks=tuple(self.callbacks),
            network=self._tasks.network,
            attributes_of=self._attributes_of,
        )

    def _architecture(self, has_profiles: bool, start: PretrainedModel | None) -> Architecture:
        """Return the shape of the network, as far as it is known before the profiles are transformed."""
        if start is not None and start.architecture.has_profile_network:
            return start.architecture if has_profiles else start.architecture.of_structures()
        shape = {name: getattr(self, name) for name in _SHAPE} | {"profile_dims": tuple(self.profile_dims)}
        numbers = {name: recorded(value) for name, value in shape.items() if name not in _COMPONENTS}
        architecture = Architecture(**(shape | numbers | {"profile_dims": tuple(numbers["profile_dims"])}))
        if start is None:
            architecture = architecture.completed()
        else:
            kept = {name: getattr(start.architecture, name) for name in (*ENCODER_SHAPE, "n_structure_targets")}
            architecture = replace(architecture, **kept)
        return architecture if has_profiles else architecture.without_profile_network()

    def _recipe(self) -> Recipe:
        learned = isinstance(self.temperature, str)
        return Recipe(
            loss=self.loss,
            temperature=0.1 if learned else float(self.temperature),
            learn_temperature=learned,
            replicates=self.replicates,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            learning_rate=float(self.learning_rate),
            weight_decay=float(self.weight_decay),
            warmup_fraction=float(self.warmup_fraction),
            selection=self.selection,
            patience=self.patience,
            train_heads=bool(self.train_heads),
            precision=self.precision,
            seed=of_first_rank(base_seed(self.random_state)),
            structure_weight=float(self.structure_weight),
            profile_weight=float(self.profile_weight),
        )
