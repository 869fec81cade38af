"""A process that was forked after torch has used several threads."""

import multiprocessing
import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing, torch
from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.datasets import make_paired_profiles

torch.set_num_threads(2)
settings = {"max_epochs": 1, "random_state": 0, "hidden_dim": 32, "embedding_dim": 64, "side_features": None}
data = make_paired_profiles(n_molecules=60, n_features=20, random_state=0)
embedder = MoCoPEmbedder(**settings).fit(data.smiles, data.profiles)
Z = embedder.transform(data.molecules)


def child(queue):
    refit = MoCoPEmbedder(**settings).fit(data.smiles, data.profiles)
    queue.put((embedder.transform(data.molecules), torch.get_num_threads(), refit.n_iter_))


context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=child, args=(queue,))
process.start()
same, n_threads, n_iter = queue.get(timeout=120)
process.join()
assert (same == Z).all() and n_threads == 1 and n_iter == 1
assert torch.get_num_threads() == 2  # the parent keeps its threads
print("done")
"""


@pytest.mark.integration
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_forked_process_embeds_and_trains():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "done", done.stderr
