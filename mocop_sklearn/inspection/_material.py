"""What a report is about: the model, its pairs, further columns, and molecules that are asked about."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from rdkit import rdBase
from sklearn.utils.validation import check_is_fitted

from ..classifier import MoCoPClassifier
from ..display._map import values_to_show
from ..display._plates import strength
from ..embedder import MoCoPEmbedder
from ..model_file._format import FINE_TUNED, MODEL, read_file
from ..model_file._shipped import ShippedModel, list_models, path_of
from ..molecules._canonical import canonical_smiles
from ..molecules._parse import check_molecules
from ..pairs._pairs import PairedProfiles
from ..profiles._scaler import default_scaler
from ..regressor import MoCoPRegressor
from ._evidence import CELL_COUNT, Way, cell_count_alone, retrieval_figures, ways_to_compare
from ._holdout import Corpus, HoldOut, Part, hold_out, read_corpus, read_part

_ROWS_TO_SCALE = 5_000
_MOST_GROUPS = 12
_MOST_MOLECULES = 20_000  # that are asked about
# columns that count cells, by name
_COUNTS = ("rel_cell_count", "cell_count", "count_cells", "count_nuclei", "cellcount", "number_object_number")
STRENGTH = "strength of the profile"


@dataclass
class Material:
    """All that the sections of a report read.

    Attributes
    ----------
    estimator : fitted estimator
        As it was given.
    embedder : MoCoPEmbedder
        With its representation; rows that are not molecules are NaN.
    name : str
        Of the model.
    pairs : PairedProfiles or None
    columns : dict of str to ndarray, shape (n_rows,)
        Further values of the rows of pairs.
    cell_count : str or None
        The column that counts cells.
    molecules : list of str
        Canonical SMILES of the molecules that are asked about.
    n_molecules : int
        Rows that were asked about.
    max_molecules : int
    random_state : int
    n_jobs : int or None
    """

    estimator: Any
    embedder: MoCoPEmbedder
    name: str
    pairs: PairedProfiles | None
    columns: dict[str, np.ndarray]
    cell_count: str | None
    molecules: list[str] = field(default_factory=list)
    n_molecules: int = 0
    max_molecules: int = 2000
    random_state: int = 0
    n_jobs: int | None = None

    @property
    def card(self) -> ShippedModel | None:
        """The card, when the model comes with the package."""
        digest = self.embedder.digest_
        return next((model for model in list_models() if model.digest == digest), None)

    @cached_property
    def corpus(self) -> Corpus:
        """The molecules of pairs."""
        return read_corpus(self.embedder, self.pairs, self.random_state)

    @cached_property
    def split(self) -> HoldOut | None:
        """Which of them the model is judged on."""
        return hold_out(self.corpus, self.max_molecules, self.random_state)

    @cached_property
    def fit(self) -> Part:
        """Profiles that the baselines learn from."""
        assert self.split is not None
        return read_part(self.pairs, self.corpus, self.split.fit)

    @cached_property
    def test(self) -> Part:
        """Profiles that the model is judged on."""
        assert self.split is not None
        return read_part(self.pairs, self.corpus, self.split.test)

    @cached_property
    def ways(self) -> dict[str, Way]:
        """The model, its baselines and its confounders."""
        assert self.pairs is not None
        smiles = self.corpus.smiles
        ways = ways_to_compare(self.embedder, self.fit, self.test, smiles, self.pairs.feature_names, self.n_jobs)
        if self.cell_count is not None:
            counts = self.column(self.cell_count).astype(float)
            alone = cell_count_alone(self.fit, self.test, smiles, counts, self.n_jobs)
            ways |= {} if alone is None else {CELL_COUNT: alone}
        return ways

    @cached_property
    def retrieval(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Figures of each way, and the normalised ranks that they come from."""
        return retrieval_figures(self.ways, self.test.molecule)

    @cached_property
    def strengths(self) -> Callable[[np.ndarray], np.ndarray]:
        """Function of profiles: the root of the mean square of their whitened components."""
        assert self.pairs is not None
        rows = np.arange(len(self.pairs))
        if len(rows) > _ROWS_TO_SCALE:
            rows = np.sort(np.random.default_rng(self.random_state).choice(rows, _ROWS_TO_SCALE, replace=False))
        scaler = default_scaler().fit(self.pairs.read(rows))
        return lambda profiles: strength(np.asarray(scaler.transform(profiles)))

    def column(self, name: str) -> np.ndarray:
        """Values of a column, or of a feature, for the rows of pairs."""
        if name in self.columns:
            return self.columns[name]
        assert self.pairs is not None
        names = self.pairs.feature_names or []
        return self.pairs.select_features([names.index(name)]).profiles[:, 0]


def gather(
    model: Any,
    pairs: Any,
    molecules: Any,
    columns: Any,
    cell_count: str | None,
    *,
    max_molecules: int,
    random_state: int,
    n_jobs: int | None,
) -> Material:
    """Check the inputs of a report.

    Raises
    ------
    ValueError, TypeError
        When the model is not fitted, columns do not fit the pairs, or a column does not exist.
    """
    estimator, embedder, name = _opened(model, n_jobs)
    if pairs is not None and not isinstance(pairs, PairedProfiles):
        pairs = PairedProfiles(*pairs) if isinstance(pairs, tuple) else _pairs_of_path(pairs)
    known = _columns(pairs, columns)
    asked = [] if molecules is None else check_molecules(molecules)
    if len(asked) > _MOST_MOLECULES:
        chosen = np.random.default_rng(random_state).choice(len(asked), _MOST_MOLECULES, replace=False)
        asked = [asked[i] for i in np.sort(chosen).tolist()]
    with rdBase.BlockLogs():
        found = canonical_smiles(asked, embedder.model_.standardize, embedder.max_atoms, n_jobs)
    return Material(
        estimator=estimator,
        embedder=embedder,
        name=name,
        pairs=pairs,
        columns=known,
        cell_count=_count_of_cells(pairs, known, cell_count),
        molecules=sorted({text for text in found if text is not None}),
        n_molecules=len(asked),
        max_molecules=max_molecules,
        random_state=random_state,
        n_jobs=n_jobs,
    )


def _opened(model: Any, n_jobs: int | None) -> tuple[Any, MoCoPEmbedder, str]:
    name = type(model).__name__
    if isinstance(model, (str, os.PathLike)):
        name, model = os.path.basename(os.fspath(model)), _loaded(path_of(model))
    check_is_fitted(model)
    if not hasattr(model, "model_"):
        raise TypeError(
            f"model must be a fitted MoCoPEmbedder, MoCoPClassifier or MoCoPRegressor, or a model file, got {model!r}."
        )
    embedder = MoCoPEmbedder(pretrained=model.model_, invalid="nan", n_jobs=n_jobs).fit(["C"])
    return model, embedder, name


def _loaded(path: Any) -> Any:
    """Return the estimator of a model file, of whichever kind."""
    header, _ = read_file(path, MODEL, FINE_TUNED)
    estimators: dict[str, Any] = {"MoCoPClassifier": MoCoPClassifier, "MoCoPRegressor": MoCoPRegressor}
    return estimators.get(header.get("estimator", ""), MoCoPEmbedder).load(path)


def _pairs_of_path(path: Any) -> PairedProfiles:
    if os.path.isdir(path):
        return PairedProfiles.open(path)
    return PairedProfiles.from_file(path)


def _columns(pairs: PairedProfiles | None, columns: Any) -> dict[str, np.ndarray]:
    given = {} if columns is None else {str(name): values_to_show(columns[name]) for name in columns}
    if pairs is None:
        if given:
            raise ValueError("columns describe the rows of pairs: give pairs, too.")
        return {}
    wrong = [name for name, values in given.items() if values.shape != (len(pairs),)]
    if wrong:
        shape = given[wrong[0]].shape
        raise ValueError(
            f"The column {wrong[0]!r} has shape {shape} but pairs have {len(pairs)} rows: give one value per row."
        )
    given = {name: _numbers_of_text(values) for name, values in given.items()}
    labels = {"source": pairs.sources, "batch": pairs.batches, "plate": pairs.plates, "dose": pairs.doses}
    return {name: values for name, values in labels.items() if values is not None} | given


def _numbers_of_text(values: np.ndarray) -> np.ndarray:
    """Return texts that are all numbers, as in a CSV file, as numbers; a few of them are the names of groups."""
    if values.dtype.kind not in "OUS" or len(np.unique(values.astype(str))) <= _MOST_GROUPS:
        return values
    try:
        return np.array([np.nan if value == "" else float(value) for value in values.tolist()])
    except (TypeError, ValueError):
        return values


def _count_of_cells(pairs: PairedProfiles | None, columns: Mapping[str, Any], wanted: str | None) -> str | None:
    """Return the column or feature that counts cells: the one that is wanted, or the first by its name."""
    if pairs is None:
        return None
    names: Sequence[str] = [*columns, *(pairs.feature_names or ())]
    if wanted is not None and wanted not in names:
        raise ValueError(f"cell_count={wanted!r} is neither a column nor a feature; columns are {list(columns)}.")
    texts = [name for name, values in columns.items() if values.dtype.kind not in "iufb"]
    if wanted in texts:
        raise ValueError(
            f"cell_count={wanted!r} does not hold numbers: its first value is {columns[wanted].tolist()[0]!r}."
        )
    numbers = [name for name in names if name not in texts]
    return wanted or next((name for count in _COUNTS for name in numbers if name.lower().endswith(count)), None)
