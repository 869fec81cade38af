"""Counts of hashed substructures, as transformers of molecules, and the names of tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from rdkit import Chem
from sklearn.base import clone

from ..utils._sklearn import Interval
from ._tables import MoleculeDescriptors, MoleculeTable, each


class FingerprintCounts(MoleculeTable):
    """Base of transformers that count hashed substructures of a molecule."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MoleculeTable._parameter_constraints,
        "fp_size": [Interval(Integral, 1, None, closed="left")],
        "log": ["boolean"],
    }

    def __init__(
        self,
        *,
        fp_size: int = 2048,
        log: bool = True,
        standardize: Any = "parent",
        invalid: str = "raise",
        n_jobs: int | None = None,
        memory: Any = None,
    ):
        self.fp_size = fp_size
        self.log = log
        super().__init__(standardize=standardize, invalid=invalid, n_jobs=n_jobs, memory=memory)

    def _names(self) -> list[str]:
        return [f"{self._prefix()}{i}" for i in range(self.fp_size)]

    def _numbers(self, molecules: list[Chem.Mol]) -> list[Any]:
        counts = each(molecules, self._generator().GetCountFingerprintAsNumPy)
        return [np.log1p(c) if self.log and not isinstance(c, Exception) else c for c in counts]

    @abstractmethod
    def _prefix(self) -> str:
        """What the names of the columns begin with."""

    @abstractmethod
    def _generator(self) -> Any:
        """Return RDKit's generator of the fingerprint."""


class MorganCounts(FingerprintCounts):
    """Counts of circular substructures, hashed: Morgan or ECFP counts (Rogers and Hahn, J. Chem. Inf. Model. 50, 742).

    Parameters
    ----------
    radius : int, default=2
        Bonds around an atom. 2 is ECFP4.
    fp_size : int, default=2048
        Number of columns.
    log : bool, default=True
        Whether to return log(1 + count).
    pharmacophore : bool, default=False
        Whether atoms are told apart by their roles (donor, acceptor, aromatic, halogen, basic, acidic) and not by
        element: with radius 2, FCFP4.
    standardize, invalid, n_jobs, memory
        As in :class:`MoleculeDescriptors`.

    Attributes
    ----------
    n_features_out_ : int

    Examples
    --------
    >>> from mocop_sklearn.molecules import MorganCounts
    >>> float(MorganCounts(log=False).fit(["CCO"]).transform(["CCO"]).sum())
    6.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **FingerprintCounts._parameter_constraints,
        "radius": [Interval(Integral, 0, None, closed="left")],
        "pharmacophore": ["boolean"],
    }

    def __init__(
        self,
        *,
        radius: int = 2,
        fp_size: int = 2048,
        log: bool = True,
        pharmacophore: bool = False,
        standardize: Any = "parent",
        invalid: str = "raise",
        n_jobs: int | None = None,
        memory: Any = None,
    ):
        self.radius = radius
        self.pharmacophore = pharmacophore
        super().__init__(
            fp_size=fp_size, log=log, standardize=standardize, invalid=invalid, n_jobs=n_jobs, memory=memory
        )

    def _prefix(self) -> str:
        return "feature_morgan" if self.pharmacophore else "morgan"

    def _generator(self) -> Any:
        from rdkit.Chem.rdFingerprintGenerator import GetMorganFeatureAtomInvGen, GetMorganGenerator

        roles = {"atomInvariantsGenerator": GetMorganFeatureAtomInvGen()} if self.pharmacophore else {}
        return GetMorganGenerator(radius=int(self.radius), fpSize=int(self.fp_size), **roles)


class AtomPairCounts(FingerprintCounts):
    """Counts of pairs of atoms and the bonds between them, hashed (Carhart et al., J. Chem. Inf. Comput. Sci. 25, 64).

    Parameters
    ----------
    fp_size : int, default=2048
        Number of columns.
    log : bool, default=True
        Whether to return log(1 + count).
    standardize, invalid, n_jobs, memory
        As in :class:`MoleculeDescriptors`.

    Attributes
    ----------
    n_features_out_ : int

    Examples
    --------
    >>> from mocop_sklearn.molecules import AtomPairCounts
    >>> float(AtomPairCounts(log=False).fit(["CCO"]).transform(["CCO"]).sum())
    3.0
    """

    def _prefix(self) -> str:
        return "atom_pair"

    def _generator(self) -> Any:
        from rdkit.Chem.rdFingerprintGenerator import GetAtomPairGenerator

        return GetAtomPairGenerator(fpSize=int(self.fp_size))


class TorsionCounts(FingerprintCounts):
    """Counts of chains of four bonded atoms, hashed (Nilakantan et al., J. Chem. Inf. Comput. Sci. 27, 82).

    Parameters
    ----------
    fp_size : int, default=2048
        Number of columns.
    log : bool, default=True
        Whether to return log(1 + count).
    standardize, invalid, n_jobs, memory
        As in :class:`MoleculeDescriptors`.

    Attributes
    ----------
    n_features_out_ : int

    Examples
    --------
    >>> from mocop_sklearn.molecules import TorsionCounts
    >>> float(TorsionCounts(log=False).fit(["CCCCO"]).transform(["CCCCO"]).sum())
    2.0
    """

    def _prefix(self) -> str:
        return "torsion"

    def _generator(self) -> Any:
        from rdkit.Chem.rdFingerprintGenerator import GetTopologicalTorsionGenerator

        return GetTopologicalTorsionGenerator(fpSize=int(self.fp_size))


# Three more kinds of substructures help a kernel ridge, and 512 columns of each are enough.
TABLES: dict[str, Callable[..., MoleculeTable]] = {
    "descriptors": MoleculeDescriptors,
    "ecfp": MorganCounts,
    "fcfp": partial(MorganCounts, pharmacophore=True, fp_size=512),
    "atom_pairs": partial(AtomPairCounts, fp_size=512),
    "torsions": partial(TorsionCounts, fp_size=512),
}


def table_of(feature: Any, **settings: Any) -> Any:
    """Return the transformer of molecules that a name of ``TABLES`` means, or a clone of the one that is given.

    Raises
    ------
    ValueError
        When it is neither.
    """
    check_features("features", [feature])
    return TABLES[feature](**settings) if isinstance(feature, str) else clone(feature)


def check_features(name: str, features: Iterable[Any]) -> None:
    """Raise ``ValueError`` unless a parameter holds names of ``TABLES`` and transformers only."""
    for feature in features:
        if not (feature in TABLES if isinstance(feature, str) else hasattr(feature, "transform")):
            raise ValueError(f"{name} holds {feature!r}, but it takes {sorted(TABLES)} and transformers of SMILES.")
