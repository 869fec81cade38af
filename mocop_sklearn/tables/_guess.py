"""Columns of structures in tables that call them otherwise, found by their content."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._columns import find_structure_column, usual_structure_column

N_SAMPLED = 100  # rows that are looked at
_LEAST_VALID = 0.9  # share of the values that are molecules
_LEAST_ATOMS = 3  # on average: codes such as "CN" and "NO" are valid SMILES, too


def structure_column(
    names: Sequence[Any], smiles: str | None, where: str, head: Callable[[], Mapping[Any, Sequence[Any]]]
) -> Any:
    """Return the column of structures by its name, or else by its content, with a warning that says which it is.

    Parameters
    ----------
    names : sequence
        Names of all columns.
    smiles : str or None
        The name of the column, if it is known.
    where : str
        The table, in messages.
    head : callable
        Returns the first rows of each column that may hold texts. It is called only if no name is known.

    Raises
    ------
    ValueError
        When there is no such column, or more than one by their content.
    """
    if smiles is not None or usual_structure_column(names) is not None:
        return find_structure_column(names, smiles, where)
    found = [name for name, values in head().items() if _holds_structures(values)]
    if len(found) > 1:
        raise ValueError(
            f"{where} holds structures in the columns {found[:10]}. Name one of them: smiles={found[0]!r}."
        )
    if not found:
        return find_structure_column(names, None, where)
    warnings.warn(
        f"No column of {where} has a usual name for structures. They are read from the column {found[0]!r}, whose "
        "values are molecules.",
        UserWarning,
        stacklevel=3,
    )
    return found[0]


def _holds_structures(values: Sequence[Any]) -> bool:
    from rdkit import Chem, rdBase

    texts = [text for value in values if isinstance(value, str) and (text := value.split(maxsplit=1)[:1])]
    if not texts:
        return False
    with rdBase.BlockLogs():
        molecules = [Chem.MolFromInchi(t) if t.startswith("InChI=") else Chem.MolFromSmiles(t) for [t] in texts]
    sizes = [mol.GetNumAtoms() for mol in molecules if mol is not None]
    return len(sizes) >= _LEAST_VALID * len(texts) and sum(sizes) >= _LEAST_ATOMS * len(sizes)
