"""Which wells are negative controls, and by which rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..datasets import JUMP_NEGCON
from ._labels import Labels
from ._matching import Selection
from ._metadata import column_labels, metadata_of
from ._structures import is_dmso

CONTROL_COLUMN = "Metadata_IsNegcon"
STRUCTURE_RULE = "structure is DMSO alone"
_NAMES_OF_DMSO = ("DMSO", "dimethyl sulfoxide", "dimethylsulfoxide", "dimethyl sulphoxide")
# Conventions of JUMP and of the Broad Institute: values that mark a negative control, by column; case does not matter.
_CONVENTIONS = {
    "metadata_control_type": ("negcon", "negative", "negative control"),
    "metadata_pert_type": ("negcon", "ctl_vehicle"),
    "metadata_jcp2022": (JUMP_NEGCON,),
    "metadata_broad_sample": _NAMES_OF_DMSO,
    "metadata_pert_iname": _NAMES_OF_DMSO,
    "metadata_pert_name": _NAMES_OF_DMSO,
    "metadata_compound": _NAMES_OF_DMSO,
    "metadata_compound_name": _NAMES_OF_DMSO,
    "metadata_common_name": _NAMES_OF_DMSO,
}
# Columns that say of each control whether it is a negative one.
_KINDS_OF_CONTROL = "metadata_control_type"
_KINDS_OF_WELL = ("metadata_pert_type", "metadata_broad_sample_type")


def find_controls(
    wells: Any, structures: Labels, column: str | None, label: Sequence[str], where: str
) -> tuple[np.ndarray, dict[str, int], list[Selection]]:
    """Find the negative controls among wells.

    With a column, or with ``Metadata_IsNegcon``, that column decides. Else a well is a control when one of the
    conventions of JUMP and Broad says so, or when its stated structure is dimethyl sulfoxide and nothing else.

    Parameters
    ----------
    wells : DataFrame
        Metadata.
    structures : Labels, shape (n_wells,)
        Structures as stated; empty where there is none.
    column : str or None
        The column that marks controls.
    label : sequence of str
        Values of it that mark a control; without them it holds true and false.
    where : str
        The table, in messages.

    Returns
    -------
    controls : ndarray of bool, shape (n_wells,)
    rules : dict of str to int
        How many wells each rule found; a well may be found by several rules.
    selections : list of Selection
        What ``label`` was matched with.
    """
    if column is None and CONTROL_COLUMN not in wells.columns:
        if label:
            raise ValueError(
                f"{where} has no column {CONTROL_COLUMN!r} for control_label: name the column with control_column."
            )
        found = _by_convention(wells, structures)
        return np.logical_or.reduce([*found.values()]), {rule: int(n.sum()) for rule, n in found.items() if n.any()}, []
    column = column or CONTROL_COLUMN
    marked = metadata_of(wells, column, where)
    if not label:
        controls = _true_or_false(marked, column, where)
        return controls, {column: int(controls.sum())}, []
    texts = column_labels(marked)
    controls = texts.which(frozenset(label).__contains__)
    rule = f"{column} is {' or '.join(label)}"
    return controls, {rule: int(controls.sum())}, [Selection.of("control_label", column, label, texts)]


def _true_or_false(marked: Any, column: str, where: str) -> np.ndarray:
    truth = {"true": True, "false": False}  # a text file has texts
    values = [truth.get(value.lower(), value) if isinstance(value, str) else value for value in marked.tolist()]
    strange = [value for value in values if not isinstance(value, (bool, np.bool_))]
    if strange:
        raise ValueError(
            f"{where} holds {strange[0]!r} in the column of controls {column!r}, which must be true or false: name the "
            "values that mark a control with control_label."
        )
    return np.array(values, dtype=bool)


def _by_convention(wells: Any, structures: Labels) -> dict[str, np.ndarray]:
    """Wells that each rule finds, by the text of the rule."""
    columns = {str(c).lower(): c for c in wells.columns if str(c).lower() in (*_CONVENTIONS, *_KINDS_OF_WELL)}
    texts = {name: column_labels(wells[column]).renamed(str.lower) for name, column in columns.items()}
    marks = {name: frozenset(value.lower() for value in values) for name, values in _CONVENTIONS.items()}
    found = {f"{columns[name]} is {values[0]}": texts[name].which(marks[name].__contains__)
             for name, values in _CONVENTIONS.items() if name in texts}  # fmt: skip
    dmso = structures.which(is_dmso)
    for name in _KINDS_OF_WELL:
        if name in texts:
            # positive controls are controls, too: no kind of control and no structure may speak against it
            may_be = ~structures.which(bool) | dmso
            if _KINDS_OF_CONTROL in texts:
                may_be &= ~texts[_KINDS_OF_CONTROL].which(bool)
            found[f"{columns[name]} is control"] = texts[name].which(lambda text: text == "control") & may_be
    return found | {STRUCTURE_RULE: dmso}
