"""Embed a library of any size with Ray Data: a table with a column of SMILES → the same rows with their embeddings.

    python docs/examples/ray_embed.py mocop.safetensors library.parquet embedding/
    python docs/examples/ray_embed.py mocop.safetensors library.parquet embedding/ 64 auto

The first takes two worker processes on this machine; the second 64 of the cluster that this machine belongs to, whose
nodes must see the files. On GPUs, give `map_batches` num_gpus=1 too; the embedder takes the GPU it is given.
"""

import sys

import pandas as pd
import ray

from mocop_sklearn import MoCoPEmbedder


class Embed:
    """A worker: it loads the model once, and embeds batch after batch."""

    def __init__(self, model):
        self.embedder = MoCoPEmbedder.load(model, invalid="nan")

    def __call__(self, batch):
        """Embeddings beside the rows of a batch; rows that are no molecules are NaN."""
        names = self.embedder.get_feature_names_out()
        Z = pd.DataFrame(self.embedder.transform(batch["smiles"]), index=batch.index, columns=names)
        return pd.concat([batch, Z], axis=1)


def main(model, library, out, n_workers=2, address="local", batch_rows=4096):
    """Read a parquet file, or a folder of them, and write a folder of parquet files, in the order of the rows."""
    n_workers = int(n_workers)
    ray.init(address, num_cpus=n_workers + 1 if address == "local" else None, include_dashboard=False)
    try:
        ray.data.DataContext.get_current().execution_options.preserve_order = True
        table = ray.data.read_parquet(str(library))
        workers = ray.data.ActorPoolStrategy(size=n_workers)
        embedded = table.map_batches(
            Embed, fn_constructor_args=(str(model),), compute=workers, batch_size=batch_rows, batch_format="pandas"
        )
        embedded.write_parquet(str(out))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
