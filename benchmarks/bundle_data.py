r"""Write the data that come with the package: mocop_sklearn/datasets/data/*.npz.

The same tables give the same files, bit by bit, with the same zlib.

    python benchmarks/bundle_data.py ../shared/data/comas_profiles.parquet \
        ../shared/data/bioactivity/adme_biogen6.parquet
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from mocop_sklearn.datasets._bundled import BIOGEN_ENDPOINTS

TARGET = Path(__file__).resolve().parent.parent / "mocop_sklearn" / "datasets" / "data"
COMAS_TEXT = ("Dataset", "Plate", "Well", "Well_Id", "SMILES")
COMAS_NUMBERS = ("Run", "Conc_uM", "Induction", "Rel_Cell_Count")


def comas(wells: pd.DataFrame) -> dict[str, np.ndarray]:
    """Arrays of the COMAS profiles: features by column, which compresses better, and metadata."""
    names = [c for c in wells.columns if not c.startswith("Metadata_")]
    dose = wells["Metadata_Well_Id"].str.rpartition("_")[2].astype(float)
    stated = wells["Metadata_Conc_uM"].notna()
    if not (dose[stated] == wells["Metadata_Conc_uM"][stated]).all():
        raise SystemExit("Metadata_Well_Id does not end with Metadata_Conc_uM in all rows that state it")
    wells = wells.assign(Metadata_Conc_uM=dose)
    arrays = {
        "profiles": np.asfortranarray(wells[names].to_numpy(np.float32).astype(np.float16)),
        "feature_names": np.array(names, dtype=str),
        "Metadata_Compound_Id": wells["Metadata_Compound_Id"].to_numpy(np.int32),
        "Metadata_Toxic": wells["Metadata_Toxic"].to_numpy(bool),
    }
    arrays |= {f"Metadata_{c}": wells[f"Metadata_{c}"].fillna("").to_numpy(str) for c in COMAS_TEXT}
    return arrays | {f"Metadata_{c}": wells[f"Metadata_{c}"].to_numpy(np.float64) for c in COMAS_NUMBERS}


def biogen(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Arrays of Biogen's ADME set."""
    return {
        "smiles": table["smiles"].to_numpy(str),
        "split": table["split"].to_numpy(str),
        "target": table[list(BIOGEN_ENDPOINTS)].to_numpy(np.float32),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comas", type=Path, help="comas_profiles.parquet")
    parser.add_argument("biogen", type=Path, help="adme_biogen6.parquet")
    parser.add_argument("--to", type=Path, default=TARGET, help="folder (default: that of the package)")
    arguments = parser.parse_args()
    for name, arrays in (
        ("comas", comas(pd.read_parquet(arguments.comas))),
        ("biogen_adme", biogen(pd.read_parquet(arguments.biogen))),
    ):
        path = arguments.to / f"{name}.npz"
        np.savez_compressed(path, allow_pickle=False, **arrays)
        print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
