"""Embed a library of any size with Ray Data: a table with a column of SMILES → the same rows with their embeddings.

    python docs/examples/ray_embed.py mocop.safetensors library.parquet embedding/
    python docs/examples/ray_embed.py mocop.safetensors library.parquet embedding/ 64 auto

The first takes two worker processes on this machine; the second 64 of the cluster that this machine belongs to, whose
nodes must see the files. The library is embedded by row groups, one of which has to fit into a worker's memory: 4 KB a
row. On GPUs, give `map` num_gpus=1 too; the embedder takes the GPU it is given.
"""

import os
import sys
from pathlib import Path

import pandas as pd
import pyarrow.dataset
import ray

from mocop_sklearn import MoCoPEmbedder


class Embed:
    """A worker: it loads the model once, and embeds row group after row group."""

    def __init__(self, model, out):
        self.embedder = MoCoPEmbedder.load(model, invalid="nan")
        self.out = Path(out)

    def __call__(self, row):
        """Write embeddings beside the rows of a group; rows that are not molecules are NaN."""
        rows = row["group"].to_table().to_pandas(ignore_metadata=True)
        names = self.embedder.get_feature_names_out()
        Z = pd.DataFrame(self.embedder.transform(rows["smiles"]), columns=names)
        # A worker that is killed leaves no half of a file, and another writes it again.
        unfinished = self.out / f"part-{row['number']:07}.unfinished"
        pd.concat([rows, Z], axis=1).to_parquet(unfinished)
        os.replace(unfinished, unfinished.with_suffix(".parquet"))
        return {"number": row["number"]}


def main(model, library, out, n_workers=2, address="local"):
    """Read a parquet file, or a folder of them, and write a new folder of parquet files, in the order of the rows."""
    n_workers = int(n_workers)
    files = pyarrow.dataset.dataset(library).get_fragments()
    groups = [group for file in files for group in file.split_by_row_group()]
    Path(out).mkdir(parents=True)
    ray.init(address, num_cpus=n_workers if address == "local" else None, include_dashboard=False)
    try:
        # Ray may change the order of rows that it reads and writes itself; parts that are numbered here keep it.
        parts = [{"number": number, "group": group} for number, group in enumerate(groups)]
        workers = ray.data.ActorPoolStrategy(size=n_workers)
        paths = tuple(str(Path(path).resolve()) for path in (model, out))
        table = ray.data.from_items(parts, override_num_blocks=len(parts))
        table.map(Embed, fn_constructor_args=paths, compute=workers).materialize()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
