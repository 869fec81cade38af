"""Embed a library of any size with Dask: a table with a column of SMILES → the same rows with their embeddings.

    python docs/examples/dask_embed.py mocop.safetensors library.parquet embedding/
    python docs/examples/dask_embed.py mocop.safetensors library.parquet embedding/ 10000 tcp://scheduler:8786

The first takes two worker processes on this machine; the second those of a running cluster, which must see the
files, and cuts the library into 10,000 parts. A part has to fit into a worker's memory: 4 KB a row.
"""

import sys

import dask.dataframe as dd
import pandas as pd
from dask.distributed import Client

from mocop_sklearn import MoCoPEmbedder


def embed(part, model):
    """Embeddings beside the rows of a part; rows that are not molecules are NaN."""
    embedder = MoCoPEmbedder.load(model, invalid="nan")  # milliseconds
    names = embedder.get_feature_names_out()
    Z = pd.DataFrame(embedder.transform(part["smiles"]), index=part.index, columns=names)
    return pd.concat([part, Z], axis=1)


def main(model, library, out, n_parts=2, address=None):
    """Read a parquet file, or a folder of them, and write a folder of parquet files, in the order of the rows."""
    workers = {"address": address} if address else {"n_workers": 2, "threads_per_worker": 1}
    with Client(**workers):
        table = dd.read_parquet(library).repartition(npartitions=int(n_parts))
        names = MoCoPEmbedder.load(model).get_feature_names_out()
        meta = pd.concat([table._meta, pd.DataFrame(columns=names, index=table._meta.index, dtype="float32")], axis=1)
        embedded = table.map_partitions(embed, str(model), meta=meta)
        embedded.to_parquet(out, name_function="part-{:07}.parquet".format)  # Dask's names sort 10 before 2


if __name__ == "__main__":
    main(*sys.argv[1:])
