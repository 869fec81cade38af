"""Compounds and wells of JUMP-like plates: from the user's tables, or what stands in for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mocop_sklearn.datasets import JUMP_EMPTY, JUMP_NEGCON
from mocop_sklearn.datasets._planting import N_COLUMNS, N_WELLS, collection, text_array

POSITIVE_CONTROLS = {
    "JCP2022_085227": "CCOC(=O)C1OC1C(=O)NC(CC(C)C)C(=O)NCCC(C)C",  # Aloxistatin
    "JCP2022_037716": "Cc1csc(-c2nnc(Nc3ccc(Oc4ncccc4-c4ccnc(N)n4)cc3)c3ccccc23)c1",  # AMG900
    "JCP2022_025848": "CC1CC2C3CC=C4CC(=O)C=CC4(C)C3(F)C(O)CC2(C)C1(O)C(=O)CO",  # Dexamethasone
    "JCP2022_046054": "O=C(C=Cc1cccnc1)NCCCCC1CCN(C(=O)c2ccccc2)CC1",  # FK-866
    "JCP2022_035095": "c1ccc(-c2nn3c(c2-c2ccnc4cc(OCCN5CCOCC5)ccc24)CCC3)nc1",  # LY2109761
    "JCP2022_064022": "CC(C)NC(=O)N1CCC(N=C2Nc3cc(F)ccc3N(CC(F)F)c3ccc(Cl)cc32)C1",  # NVS-PAK1-1
    "JCP2022_050797": "C=CC1CN2CCC1CC2C(O)c1ccnc2ccc(OC)cc12",  # Quinidine
    "JCP2022_012818": "COc1ncc2cc(C(=O)Nc3cc(C(=O)NCc4cccc(Cl)c4)ccc3Cl)c(=O)[nH]c2n1",  # TC-S-7004
}
_POSITIVE_AMPLITUDE = 1.5
_AMPLITUDE_OF_MAP = 1.5

PLATE_KEY = ["Metadata_Source", "Metadata_Batch", "Metadata_Plate"]
_WELL_COLUMNS = [*PLATE_KEY, "Metadata_PlateType", "Metadata_Well", "Metadata_JCP2022"]
_ACTIVITY_COLUMNS = ["Metadata_JCP2022", "mean_average_precision", "below_corrected_p"]
# what was read from an InChI comes first: readers of compound.csv.gz parse InChI too
_STRUCTURE_COLUMNS = ["Metadata_SMILES_from_InChI", "Metadata_SMILES", "Metadata_InChI"]

_N_SOURCES, _PLATES_PER_BATCH, _WELLS_PER_CONTROL, _N_DMSO = 4, 8, 4, 32  # of a generated layout
WELL_NAMES = [f"{chr(65 + i // N_COLUMNS)}{i % N_COLUMNS + 1:02d}" for i in range(N_WELLS)]

_Path = str | os.PathLike[str]


def _table(path: _Path, columns: Sequence[str]) -> Any:
    frame = pd.read_parquet(path) if Path(path).suffix == ".parquet" else pd.read_csv(path)
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ValueError(
            f"{os.fspath(path)!r} has no column {missing[0]!r}; its first columns are {list(frame.columns[:12])}."
        )
    return frame


def read_compounds(structures: _Path | None, wells: _Path | None, activity: _Path | None) -> dict[str, np.ndarray]:
    """Identifier and structure of every compound of the tables; the positive controls are among them."""
    if structures is None:
        if wells is not None or activity is not None:
            raise ValueError("wells and activity name compounds: give their structures too.")
        smiles = collection()[0]
        known = {f"JCP2022_{i + 1:06d}": text for i, text in enumerate(smiles)}
    else:
        frame = _table(structures, ["Metadata_JCP2022"])
        columns = [column for column in _STRUCTURE_COLUMNS if column in frame]
        if not columns:
            raise ValueError(f"{os.fspath(structures)!r} has none of the columns {', '.join(_STRUCTURE_COLUMNS)}.")
        text = frame[columns].astype(object).bfill(axis=1).iloc[:, 0]
        known = dict(zip(frame["Metadata_JCP2022"].astype(str), text.where(text.notna(), ""), strict=True))
    known = {k: v for k, v in (POSITIVE_CONTROLS | known).items() if k not in (JUMP_NEGCON, JUMP_EMPTY)}
    return {"id": text_array(known), "structure": text_array(known.values())}


def read_layout(path: _Path) -> Any:
    """Wells of the compound plates."""
    frame = _table(path, _WELL_COLUMNS)[_WELL_COLUMNS]
    frame = frame[(frame["Metadata_PlateType"] == "COMPOUND") & frame["Metadata_Batch"].notna()].astype(str)
    if frame.empty:
        raise ValueError(f"{os.fspath(path)!r} has no plate of type COMPOUND with a batch.")
    frame["position"] = frame["Metadata_Well"].map({name: i for i, name in enumerate(WELL_NAMES)})
    unknown = frame.loc[frame["position"].isna(), "Metadata_Well"]
    if len(unknown):
        raise ValueError(f"{os.fspath(path)!r}: Metadata_Well must be A01 to P24, got {unknown.iloc[0]!r}.")
    twice = frame[frame.duplicated([*PLATE_KEY, "Metadata_Well"])]
    if len(twice):
        raise ValueError(f"{os.fspath(path)!r} has two rows of one well: {twice.iloc[0][_WELL_COLUMNS].tolist()}.")
    return frame.astype({"position": int}).sort_values([*PLATE_KEY, "position"], ignore_index=True)


def make_layout(ids: np.ndarray, rng: np.random.Generator) -> Any:
    """Lay all compounds out at every source: the same compounds on a plate, in other wells."""
    controls = [JUMP_NEGCON] * _N_DMSO + list(POSITIVE_CONTROLS) * _WELLS_PER_CONTROL
    treated = rng.permutation([i for i in ids if i not in POSITIVE_CONTROLS])
    per_plate = N_WELLS - len(controls)
    plates = []
    for source in range(1, _N_SOURCES + 1):
        for i in range(0, len(treated), per_plate):
            content = text_array([*controls, *treated[i : i + per_plate]])
            content = text_array([*content, *[JUMP_EMPTY] * (N_WELLS - len(content))])
            number = i // per_plate
            plates.append(
                pd.DataFrame(
                    {
                        "Metadata_Source": f"source_{source}",
                        "Metadata_Batch": f"S{source}_Batch{number // _PLATES_PER_BATCH + 1}",
                        "Metadata_Plate": f"S{source}P{number + 1:04d}",
                        "Metadata_PlateType": "COMPOUND",
                        "Metadata_Well": WELL_NAMES,
                        "Metadata_JCP2022": rng.permutation(content),
                        "position": range(N_WELLS),
                    }
                )
            )
    return pd.concat(plates, ignore_index=True)


def first_plates(
    layout: Any, ids: np.ndarray, n_molecules: int | None, n_plates: int | None, rng: np.random.Generator
) -> Any:
    """Wells of the first plates, with the number of the plate, in the order of plates and positions."""
    plate = layout.groupby(PLATE_KEY, sort=False).ngroup().to_numpy()
    code = pd.Index(ids).get_indexer(layout["Metadata_JCP2022"])
    code[np.isin(code, pd.Index(ids).get_indexer(list(POSITIVE_CONTROLS)))] = -1  # every plate has them
    if (code < 0).all():
        raise ValueError("None of the compounds on the plates has a structure.")
    order, n_seen = plate_order(plate, code, rng)
    n_kept = len(order)
    if n_plates is not None:
        if n_plates > n_kept:
            raise ValueError(f"n_plates={n_plates}, but the layout has {n_kept} compound plates.")
        n_kept = n_plates
    if n_molecules is not None:
        if n_molecules > n_seen[-1]:
            raise ValueError(f"n_molecules={n_molecules}, but the layout has {n_seen[-1]} compounds with a structure.")
        n_kept = min(n_kept, 1 + int(np.searchsorted(n_seen, n_molecules)))
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    layout = layout.assign(plate=rank[plate])
    return layout[layout["plate"] < n_kept].sort_values(["plate", "position"], ignore_index=True)


def plate_order(plate: np.ndarray, compound: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Plates, each the one with most wells of compounds on the plates before it; and the compounds met so far."""
    n_plates, treated = plate.max() + 1, compound >= 0
    shape = n_plates, compound.max() + 1
    wells = sp.csr_array((np.ones(treated.sum()), (plate[treated], compound[treated])), shape=shape)
    plates_of = wells.T.tocsr()
    n_treated = np.bincount(plate[treated], minlength=n_plates)
    tie = rng.random(n_plates) * n_treated / (n_treated.max() + 1)  # less than one well; 0 without compounds
    met, repeats, left = np.zeros(shape[1], dtype=bool), np.zeros(n_plates), np.ones(n_plates, dtype=bool)
    order, n_met = np.zeros((2, n_plates), dtype=int)
    for i in range(n_plates):
        order[i] = np.where(left, repeats + tie, -1.0).argmax()
        left[order[i]] = False
        here = wells.indices[wells.indptr[order[i]] : wells.indptr[order[i] + 1]]
        new = here[~met[here]]
        met[new] = True
        repeats += plates_of[new].sum(axis=0)
        n_met[i] = met.sum()
    return order, n_met


def rows_of(compound: Any, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compounds with a structure that are in these wells, as rows of ``ids``; and each well's place among them."""
    row = pd.Index(ids).get_indexer(compound)
    rows = np.unique(row[row >= 0])
    return rows, np.where(row >= 0, np.searchsorted(rows, row), -1)


def draw_amplitudes(
    ids: np.ndarray, activity: _Path | None, inactive_fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Size of each compound's effect, drawn for all of them so that it does not depend on the plates."""
    if activity is None:
        active = rng.random(len(ids)) >= inactive_fraction
        amplitude = np.where(active, rng.lognormal(0.0, 0.3, len(ids)), 0.0)
    else:
        frame = _table(activity, _ACTIVITY_COLUMNS)
        frame = frame.drop_duplicates("Metadata_JCP2022").set_index("Metadata_JCP2022")
        size = _AMPLITUDE_OF_MAP * frame["mean_average_precision"].where(frame["below_corrected_p"] == 1, 0.0)
        size = size.fillna(0.0).astype(float)
        row = size.index.get_indexer(ids)
        if not (row >= 0).any():
            raise ValueError(f"{os.fspath(activity)!r} lists none of the compounds of structures.")
        amplitude = size.to_numpy()[np.where(row >= 0, row, rng.integers(len(size), size=len(ids)))]
    amplitude[np.isin(ids, list(POSITIVE_CONTROLS))] = _POSITIVE_AMPLITUDE
    return amplitude
