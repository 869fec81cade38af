"""What tests of the command line share: a small network, molecules of which some are none, and files of them."""

import gzip

import pandas as pd

TINY = {"max_epochs": 2, "n_layers": 1, "hidden_dim": 8, "embedding_dim": 12, "projection_dim": 6, "batch_size": 16}
TINY |= {"profile_dims": (10, 8), "random_state": 0}
MOLECULES = [
    "CCO",
    "c1ccccc1",
    "CC(=O)O",
    "not a molecule",
    "CCN",
    "CCO",
    "",
    "C1CC",
    "CC(C)O",
    "[Na+].CC(=O)[O-]",
    "N",
]
BAD = [3, 6, 7]


def flags(**parameters):
    """Parameters as words on a command line."""
    words = []
    for name, value in parameters.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else [value])]
    return words


def write_molecules(folder, suffix):
    """The molecules as a file of one kind; a name that is itself a SMILES follows in .smi files."""
    path = folder / f"molecules{suffix}"
    lines = "".join(f"{smiles.replace(' ', '_')}\tO{i} acid\n" for i, smiles in enumerate(MOLECULES))
    table = pd.DataFrame({"Metadata_Name": range(len(MOLECULES)), "Metadata_SMILES": MOLECULES})
    if suffix == ".smi":
        path.write_text(lines)
    elif suffix == ".smi.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif suffix == ".parquet":
        table.replace("", None).to_parquet(path, row_group_size=3)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix.startswith(".tsv") else ",")
    return str(path)
