"""``atom_attributions``: how much each atom contributes to a score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from rdkit import Chem
from sklearn.utils import check_scalar
from torch import Tensor

from ..model_selection._keys import check_choice
from ..molecules._featurize import featurize
from ..molecules._graphs import GraphBatch, MoleculeGraphs
from ..molecules._parse import check_molecules, parse_molecule, report_invalid
from ._atoms import given_molecule, places_in_standard
from ._explained import Explained, explained

_ATOMS_PER_BATCH = 2**14
_COPIES_PER_SCORE = 2**13


def atom_attributions(
    estimator: Any,
    X: Any,
    *,
    method: str = "masking",
    profiles: Any = None,
    task: Any = None,
    n_orders: int = 8,
    n_steps: int = 32,
    return_scores: bool = False,
) -> Any:
    r"""Attribute a score of molecules to their atoms.

    The score is what ``estimator`` makes of a molecule:

    - ``MoCoPEmbedder``: the cosine of the molecule and a profile in the shared space, as the network makes it. What
      else belongs to that space (``side_features``, ``local_scaling``) has no part in it.
    - ``MoCoPClassifier``: the log-odds of a task, or the logarithm of the probability of one of several classes, as in
      ``decision_function``. ``MoCoPRegressor``: the predicted number.
    - a Pipeline of a ``MoCoPEmbedder`` and other steps: ``decision_function`` of its classifier, or ``predict_proba``
      where it has none; ``predict`` of its regressor. A fitted search counts as its best estimator.

    ``method="masking"`` takes atoms and their bonds out of the graph, and computes Shapley values [1]_: atoms are put
    back one by one, in ``n_orders`` random orders, and the attribution of an atom is the mean change of the score at
    its turn. The sum over the atoms is

    .. math:: \sum_i a_i = f(\mathrm{molecule}) - f(\mathrm{one\ atom\ without\ features\ and\ bonds}).

    ``method="gradient"`` is the gradient with respect to the atom features, times their difference from those of the
    molecule's mean atom, averaged over ``n_steps`` points between the two (integrated gradients [2]_). The sum over the
    atoms is, up to the error of that integral, the score minus the score of the same graph with mean atoms everywhere.
    It needs a score with a gradient, which a Pipeline has not. Masking is the more reliable of the two: the tests find
    planted substructures by it.

    Atoms that are alike by symmetry have equal attributions.

    Parameters
    ----------
    estimator : MoCoPEmbedder, MoCoPClassifier, MoCoPRegressor, Pipeline or search
        Fitted.
    X : list, array, Series or one column of str or Mol, shape (n_samples,)
    method : {"masking", "gradient"}, default="masking"
    profiles : array-like of float or DataFrame, shape (1, n_features) or (n_samples, n_features), default=None
        For a ``MoCoPEmbedder``: one profile for all molecules, or one for each.
    task : int or str, default=None
        Which score, where there are several: the name of the task or target (``task_names_``) or its number from 0, or
        the class.
    n_orders : int, default=8
        Of masking. Every second order is the reverse of the one before.
    n_steps : int, default=32
        Of the gradient.
    return_scores : bool, default=False
        Whether to return scores and references, too.

    Returns
    -------
    attributions : list of ndarray of float64, each of shape (n_atoms,)
        One array for each row of X, in the order of the atoms of the ``Mol`` that was given, or of
        ``Chem.MolFromSmiles(text)``. An atom that standardisation takes away, such as that of a salt or an explicit
        hydrogen, is NaN; a charge that it neutralises does not matter. None for a row that is not a molecule, if the
        estimator was made with ``invalid="nan"``.
    scores, references : ndarray of float64, shape (n_samples,)
        Only with ``return_scores``: the score of each molecule, and what the sum of its attributions is short of it.

    Raises
    ------
    TypeError
        When the estimator cannot be explained.
    ValueError
        When rows are invalid, when ``profiles`` or ``task`` do not fit the estimator, or when the score has no
        gradient.

    References
    ----------
    .. [1] Štrumbelj, Kononenko. Explaining prediction models and individual predictions with feature contributions.
       Knowl. Inf. Syst. 41, 647, 2014.
    .. [2] Sundararajan, Taly, Yan. Axiomatic attribution for deep networks. ICML 2017, arXiv 1703.01365.

    Examples
    --------
    >>> from mocop_sklearn import MoCoPRegressor
    >>> from mocop_sklearn.inspection import atom_attributions
    >>> smiles = ["C", "CC", "CCC", "CCCC", "CO", "CCO", "CCCO", "CCCCO"]
    >>> oxygens = [text.count("O") for text in smiles]
    >>> regressor = MoCoPRegressor(max_epochs=30, random_state=0).fit(smiles, oxygens)
    >>> (attributions,) = atom_attributions(regressor, ["CCCCCO"])
    >>> int(attributions.argmax())
    5
    """
    check_choice("method", method, ("masking", "gradient"))
    check_scalar(n_orders, "n_orders", Integral, min_val=1)
    check_scalar(n_steps, "n_steps", Integral, min_val=1)
    values = check_molecules(X)
    what = explained(estimator, len(values), profiles, task)
    if method == "gradient" and not what.has_gradient:
        raise ValueError('A Pipeline has no gradient with respect to atoms: take method="masking".')
    source = what.source
    found = featurize(values, what.featurizer, what.standardize, max_atoms=source.max_atoms, n_jobs=source.n_jobs)
    report_invalid(values, found.reasons, source.invalid)
    molecules = {
        row: _Molecule(row, found.graphs.take(torch.tensor([graph])), *_read(row, values[row], what))
        for row, graph in enumerate(found.graph_of_value.tolist())
        if graph >= 0
    }
    what.network.eval()
    parts = (
        _by_masking(what, list(molecules.values()), n_orders)
        if method == "masking"
        else (_by_gradient(what, molecule, n_steps) for molecule in molecules.values())
    )
    attributions: list[np.ndarray | None] = [None] * len(values)
    scores, references = np.full((2, len(values)), np.nan)
    for part in parts:
        molecule = molecules[part.row]
        alike = np.array(Chem.CanonicalRankAtoms(molecule.mol, breakTies=False))
        means = np.bincount(alike, part.atoms) / np.maximum(np.bincount(alike), 1)
        attributions[part.row] = np.append(means[alike], np.nan)[molecule.places]
        scores[part.row], references[part.row] = part.score, part.reference
    return (attributions, scores, references) if return_scores else attributions


@dataclass(frozen=True)
class _Molecule:
    """A row of X: its graph, the molecule of the graph, and the place in it of each atom that was given."""

    row: int
    graph: MoleculeGraphs
    mol: Chem.Mol
    places: np.ndarray

    def copies(self, n: int, device: torch.device) -> GraphBatch:
        """Return the molecule n times."""
        return self.graph.take(torch.zeros(n, dtype=torch.int64)).to(device).collate()


@dataclass(frozen=True)
class _Part:
    """Attributions of a row in the order of its graph, its score, and the reference."""

    row: int
    atoms: np.ndarray
    score: float
    reference: float


def _read(row: int, value: Any, what: Explained) -> tuple[Chem.Mol, np.ndarray]:
    standard = parse_molecule(value, what.standardize, what.source.max_atoms)
    places = places_in_standard(given_molecule(value), standard)
    if places is None:
        raise ValueError(
            f"row {row}: standardize makes {Chem.MolToSmiles(standard)!r} of {value!r:.60}, which has no such part, so "
            "that the atoms cannot be matched: pass the standardised molecule."
        )
    return standard, places


# -- masking ----------------------------------------------------------------------------------


@torch.inference_mode()
def _by_masking(what: Explained, molecules: list[_Molecule], n_orders: int) -> list[_Part]:
    parts: list[_Part] = []
    waiting: list[tuple[_Molecule, np.ndarray, Tensor]] = []
    for i, molecule in enumerate(molecules):
        orders = _orders(molecule.mol, n_orders)
        waiting.append((molecule, orders, _outputs_of_growing(what, molecule, orders)))
        # an estimator after the embedder answers for many rows at once
        if i == len(molecules) - 1 or sum(len(z) for _, _, z in waiting) >= _COPIES_PER_SCORE:
            parts += _shapley_values(what, waiting)
            waiting = []
    return parts


def _orders(mol: Chem.Mol, n_orders: int) -> np.ndarray:
    """Draw orders of the atoms, shape (n_orders, n_atoms); they do not depend on how the atoms are numbered."""
    canonical = np.argsort(list(Chem.CanonicalRankAtoms(mol, breakTies=True)))
    rng = np.random.default_rng(0)
    orders: list[np.ndarray] = []
    for i in range(n_orders):
        orders.append(orders[-1][::-1] if i % 2 else canonical[rng.permutation(len(canonical))])
    return np.array(orders)


def _outputs_of_growing(what: Explained, molecule: _Molecule, orders: np.ndarray) -> Tensor:
    """Outputs for an atom without features, and for the first 1, 2, ... n atoms of each order."""
    n_orders, n_atoms = orders.shape
    turn = torch.as_tensor(np.argsort(orders, axis=1), device=what.device)  # of each atom in each order
    outputs = [what.network(_featureless(molecule.copies(1, what.device)))]
    for copies in torch.arange(n_orders * n_atoms, device=what.device).split(max(1, _ATOMS_PER_BATCH // n_atoms)):
        kept = turn[copies // n_atoms] <= (copies % n_atoms)[:, None]  # (n_copies, n_atoms)
        outputs.append(what.network(molecule.copies(len(copies), what.device).subgraph(kept.flatten())))
    return torch.cat(outputs).float()


def _featureless(graph: GraphBatch) -> GraphBatch:
    """Return one atom without features and without bonds."""
    first = torch.arange(graph.n_atoms, device=graph.x.device) == 0
    atom = graph.subgraph(first)
    return replace(atom, x=torch.zeros_like(atom.x))


def _shapley_values(what: Explained, waiting: list[tuple[_Molecule, np.ndarray, Tensor]]) -> Iterator[_Part]:
    z = torch.cat([z for _, _, z in waiting])
    rows = [torch.full((len(z),), molecule.row, device=what.device) for molecule, _, z in waiting]
    scores = what.score(z, torch.cat(rows)).cpu().numpy().astype(np.float64)
    for molecule, orders, z in waiting:
        own, scores = scores[: len(z)], scores[len(z) :]
        grown = np.column_stack([np.full(len(orders), own[0]), own[1:].reshape(orders.shape)])
        atoms = np.bincount(orders.ravel(), np.diff(grown, axis=1).ravel()) / len(orders)
        yield _Part(molecule.row, atoms, grown[:, -1].mean(), own[0])


# -- gradient ---------------------------------------------------------------------------------


def _by_gradient(what: Explained, molecule: _Molecule, n_steps: int) -> _Part:
    whole = molecule.copies(1, what.device)
    mean = whole.x.mean(dim=0)
    difference = whole.x - mean  # (n_atoms, n_atom_features)
    total = torch.zeros_like(difference)
    shares = (torch.arange(n_steps, device=what.device) + 0.5) / n_steps
    for part in shares.split(max(1, _ATOMS_PER_BATCH // len(difference))):
        x = (mean + part[:, None, None] * difference).flatten(end_dim=1).requires_grad_()
        scores = _score(what, replace(molecule.copies(len(part), what.device), x=x), molecule.row)
        (gradient,) = torch.autograd.grad(scores.sum(), x)
        total += gradient.reshape(len(part), *difference.shape).sum(dim=0)
    atoms = (total * difference).sum(dim=1) / n_steps
    with torch.inference_mode():
        average = replace(whole, x=mean.expand_as(whole.x).contiguous())
        score, reference = (float(_score(what, graph, molecule.row)) for graph in (whole, average))
    return _Part(molecule.row, atoms.cpu().numpy().astype(np.float64), score, reference)


def _score(what: Explained, graph: GraphBatch, row: int) -> Tensor:
    rows = torch.full((graph.n_molecules,), row, device=what.device)
    return what.score(what.network(graph).float(), rows)
