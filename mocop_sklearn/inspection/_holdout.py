"""Which molecules of a corpus a report judges a model on, and which ones its baselines learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import rdBase
from sklearn.model_selection import GroupShuffleSplit

from ..model_selection import molecule_groups, overlap
from ..molecules._canonical import canonical_smiles

_MOST_TEXTS = 20_000  # that are read, of a larger corpus
_MOST_TO_FIT = 4_000  # molecules that a baseline learns from
FEWEST = 5  # molecules on either side of a split


@dataclass(frozen=True)
class Corpus:
    """The molecules of pairs.

    Attributes
    ----------
    smiles : ndarray of str, shape (n_molecules,)
        Canonical SMILES of the distinct molecules, sorted.
    of_row : ndarray of int, shape (n_rows,)
        Molecule of each row of the pairs; -1 where the row is not a molecule or is not among those that are read.
    seen : ndarray of bool, shape (n_molecules,)
        Which of them the model has seen with a profile.
    n_invalid : int
        Rows that are not molecules.
    n_texts : int
        Distinct structures as given; more than the molecules that were read, in a large corpus.
    """

    smiles: np.ndarray
    of_row: np.ndarray
    seen: np.ndarray
    n_invalid: int
    n_texts: int


@dataclass(frozen=True)
class HoldOut:
    """A split of the molecules of a corpus.

    Attributes
    ----------
    fit, test : ndarray of int
        Places in ``Corpus.smiles``.
    kind : {"unseen", "split", "seen"}
        ``"unseen"``: the model has not seen the molecules of ``test``, and the baselines learn from those that it has
        seen. ``"split"``: it has seen none of either. ``"seen"``: it has seen all.
    """

    fit: np.ndarray
    test: np.ndarray
    kind: str


def read_corpus(embedder: Any, pairs: Any, random_state: int) -> Corpus:
    """Read the molecules of pairs; of more than 20,000 distinct structures, a random choice.

    Parameters
    ----------
    embedder : fitted MoCoPEmbedder
    pairs : PairedProfiles
    random_state : int
    """
    texts, place = pairs.distinct_molecules()
    chosen = np.arange(len(texts))
    if len(texts) > _MOST_TEXTS:
        chosen = np.sort(np.random.default_rng(random_state).choice(len(texts), _MOST_TEXTS, replace=False))
    with rdBase.BlockLogs():
        given = [texts[i] for i in chosen.tolist()]
        found = canonical_smiles(given, embedder.model_.standardize, embedder.max_atoms, embedder.n_jobs)
    valid = np.array([text is not None for text in found], dtype=bool)
    smiles, inverse = np.unique(np.array(found, dtype=object)[valid].astype(str), return_inverse=True)
    molecule = np.full(len(texts), -1)
    molecule[chosen[valid]] = inverse
    invalid = np.zeros(len(texts), dtype=bool)
    invalid[chosen[~valid]] = True
    seen = overlap(embedder, smiles.tolist()) if len(smiles) else np.zeros(0, dtype=bool)
    return Corpus(smiles, molecule[place], seen, int(invalid[place].sum()), len(texts))


def hold_out(corpus: Corpus, max_molecules: int, random_state: int) -> HoldOut | None:
    """Choose the molecules that a model is judged on; None when there are too few.

    Molecules of one connectivity are on one side.
    """
    seen, unseen = np.flatnonzero(corpus.seen), np.flatnonzero(~corpus.seen)
    rng = np.random.default_rng(random_state)
    if min(len(seen), len(unseen)) >= FEWEST:
        fit, test, kind = seen, unseen, "unseen"
    else:
        kind = "seen" if len(seen) > len(unseen) else "split"
        pool = seen if kind == "seen" else unseen
        if len(pool) < 2 * FEWEST:
            return None
        groups = molecule_groups(corpus.smiles[pool].tolist(), standardize=None)
        share = max(0.2, FEWEST / len(pool))
        splitter = GroupShuffleSplit(1, test_size=share, random_state=random_state)
        fit, test = (pool[part] for part in next(splitter.split(pool, groups=groups)))
    fit, test = _some(fit, _MOST_TO_FIT, rng), _some(test, max_molecules, rng)
    return HoldOut(fit, test, kind) if min(len(fit), len(test)) >= 2 else None


@dataclass(frozen=True)
class Part:
    """Rows of pairs that belong to some molecules.

    Attributes
    ----------
    molecules : ndarray of int
        Places in ``Corpus.smiles`` of the molecules with a profile that holds a value.
    rows : ndarray of int, shape (n_rows,)
        Rows of the pairs.
    molecule : ndarray of int, shape (n_rows,)
        For each, the place of its molecule in ``molecules``.
    profiles : ndarray of float32, shape (n_rows, n_features)
    """

    molecules: np.ndarray
    rows: np.ndarray
    molecule: np.ndarray
    profiles: np.ndarray


def read_part(pairs: Any, corpus: Corpus, molecules: np.ndarray) -> Part:
    """Read the profiles of some molecules, without those that hold no finite value."""
    rows = np.flatnonzero(np.isin(corpus.of_row, molecules))
    profiles = pairs.read(rows)
    known = pairs[rows].has_values()
    used, molecule = np.unique(corpus.of_row[rows[known]], return_inverse=True)
    return Part(used, rows[known], molecule, profiles[known])


def _some(places: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return places if len(places) <= n else np.sort(rng.choice(places, n, replace=False))
