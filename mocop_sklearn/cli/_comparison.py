"""What ``mocop evaluate`` computes: a split of a table, predictions of each model, and their scores."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from ..model_selection import molecule_groups, overlap, scaffold_groups
from ..molecules import MoleculeDescriptors, MorganCounts, canonical_smiles
from ._finetune import fine_tuned
from ._labels import Labels
from ._scores import SCORES, resampled

N_TREES = 300
_TRAIN, _TEST = ("train", "training", "valid", "val", "validation"), ("test",)


@dataclass(frozen=True)
class Split:
    """Rows to train and to test on.

    Attributes
    ----------
    train, test : ndarray of int
    how : str
        How they were chosen.
    n_invalid : int
        Rows that are not molecules; they are in neither part.
    """

    train: np.ndarray
    test: np.ndarray
    how: str
    n_invalid: int


def split_rows(args: argparse.Namespace, labels: Labels) -> Split:
    """Split the rows that are molecules by a column, or at random with whole scaffolds or molecules.

    Raises
    ------
    ValueError
        When the column holds another part than those of training, validation and test, or when a part is empty.
    """
    limits = {name: getattr(args, name) for name in ("max_atoms", "n_jobs") if hasattr(args, name)}
    smiles = canonical_smiles(labels.structures, **limits)
    valid = np.array([text is not None for text in smiles])
    if args.split is None:
        in_test, how = _grouped(args, [text for text in smiles if text is not None])
        test = np.flatnonzero(valid)[in_test]
    else:
        test, how = _named(labels.others[args.split], args.split), f"column {args.split}"
        test = test[valid[test]]
    train = np.setdiff1d(np.flatnonzero(valid), test)
    for name, rows in (("train", train), ("test", test)):
        if not len(rows):
            raise ValueError(f"No molecule to {name} on: {how} leaves none of {valid.sum()}.")
    if args.split is not None:
        _warn_of_molecules_on_both_sides(smiles, train, test, args.split)
    return Split(train, test, how, int((~valid).sum()))


def _grouped(args: argparse.Namespace, smiles: list[str]) -> tuple[np.ndarray, str]:
    """Which molecules are tested: whole groups in random order, until their share is reached."""
    kind, share = args.test
    groups = scaffold_groups(smiles) if kind == "scaffold" else molecule_groups(smiles)
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed_of(args)).permutation(len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order]
    chosen = order[before + sizes[order] / 2 <= share * len(smiles)]
    return np.isin(groups, chosen), f"{share:g} of the rows, whole {kind}s, random state {seed_of(args)}"


def _named(parts: list[str | None], column: str) -> np.ndarray:
    words = [(part or "").strip().lower() for part in parts]
    for row, word in enumerate(words):
        if word not in _TRAIN + _TEST:
            raise ValueError(
                f"Row {row} of the column {column!r} holds {parts[row]!r}, but a split is made of train, valid (which "
                "is trained on, too) and test."
            )
    return np.flatnonzero([word in _TEST for word in words])


def _warn_of_molecules_on_both_sides(smiles: list[Any], train: np.ndarray, test: np.ndarray, column: str) -> None:
    n_both = int(overlap([smiles[row] for row in train], [smiles[row] for row in test], standardize=None).sum())
    if n_both:
        warnings.warn(
            f"{n_both} of the {len(test)} rows to test hold molecules that are trained on, too, by the column "
            f"{column!r}: the scores are too good for new molecules.",
            UserWarning,
            stacklevel=2,
        )


def seed_of(args: argparse.Namespace) -> int:
    """Return the random state of the split and of the forests."""
    seed = getattr(args, "random_state", None)
    return 0 if seed is None else int(seed)


class Comparison:
    """Models that are trained and tested on the same rows of a table.

    Parameters
    ----------
    args : Namespace
    labels : Labels
    split : Split

    Attributes
    ----------
    kind : {"binary", "multiclass", "regression"}
    truth : ndarray of float, shape (n_rows, n_targets)
        Numbers, or places of the classes in alphabetical order; NaN where nothing was measured.
    arms : dict of str to callable
        By the name of a model, a function that trains it and returns predictions for the rows of the test, shape
        (n_test, n_targets): numbers, probabilities of the second class, or classes.
    """

    def __init__(self, args: argparse.Namespace, labels: Labels, split: Split):
        self._args, self._labels, self._split = args, labels, split
        self._classes = sorted({v for column in labels.columns for v in column if v is not None})
        place: Any = {name: i for i, name in enumerate(self._classes)}
        if labels.task == "regression":
            self.kind, place = "regression", {v: v for v in self._classes}
        else:
            self.kind = "binary" if len(self._classes) <= 2 else "multiclass"
        self.truth = np.array([[place.get(v, np.nan) for v in column] for column in labels.columns], dtype=float).T
        start = f"fine-tuned from {args.model}" if args.model else "trained from scratch"
        self.arms: dict[str, Callable[[], np.ndarray]] = {
            start: self._network,
            "ECFP + forest": lambda: self._forest(MorganCounts()),
            "descriptors + forest": lambda: self._forest(MoleculeDescriptors()),
        }

    def n_seen(self) -> int:
        """Return how many molecules of the test part the pretrained model has seen with a profile or label."""
        from ..embedder import MoCoPEmbedder

        return int(overlap(MoCoPEmbedder.load(self._args.model), self._structures(self._split.test)).sum())

    def scores(self, predicted: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
        """Return for each model and score the values of all targets and resamples, (n_targets, 1 + n_resamples)."""
        truth, seed = self.truth[self._split.test], seed_of(self._args)
        return {
            arm: {
                name: np.array([resampled(score, *pair, seed) for pair in zip(truth.T, p.T, strict=True)])
                for name, score in SCORES[self.kind].items()
            }
            for arm, p in predicted.items()
        }

    def _structures(self, rows: np.ndarray) -> list[str | None]:
        return [self._labels.structures[row] for row in rows]

    def _network(self) -> np.ndarray:
        estimator = fine_tuned(self._args, self._labels, self._split.train.tolist())
        structures = self._structures(self._split.test)
        if self.kind == "multiclass":
            return np.array(
                [[self._classes.index(name)] for name in estimator.predict(structures).tolist()], dtype=float
            )
        if self.kind == "regression":
            return np.reshape(estimator.predict(structures), (len(structures), -1))
        probabilities = estimator.predict_proba(structures)
        if len(self._labels.names) > 1:
            return np.asarray(probabilities)
        known = estimator.classes_.tolist()  # the rows to train on may lack one
        second = self._classes[-1]
        return probabilities[:, [known.index(second)]] if second in known else np.zeros((len(structures), 1))

    def _forest(self, features: Any) -> np.ndarray:
        split = self._split
        features = features.set_params(n_jobs=getattr(self._args, "n_jobs", None)).fit(self._structures(split.train))
        train, test = (np.asarray(features.transform(self._structures(rows))) for rows in (split.train, split.test))
        train, test = (np.where(np.isfinite(x), x, np.nan) for x in (train, test))
        return np.stack([self._tree_predictions(train, y, test) for y in self.truth[split.train].T], axis=1)

    def _tree_predictions(self, train: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
        known = ~np.isnan(y)
        if len(np.unique(y[known])) < 2:
            return np.full(len(test), y[known][0] if known.any() else np.nan)
        cls: Any = RandomForestRegressor if self.kind == "regression" else RandomForestClassifier
        forest = cls(N_TREES, random_state=seed_of(self._args), n_jobs=getattr(self._args, "n_jobs", None))
        forest.fit(train[known], y[known])
        return forest.predict_proba(test)[:, 1] if self.kind == "binary" else forest.predict(test)
