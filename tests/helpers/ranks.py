"""What the processes of a group do in tests; spawned processes import it by name."""

import os

import torch
import torch.distributed as dist

from mocop_sklearn import MoCoPEmbedder
from mocop_sklearn.nn import infonce
from mocop_sklearn.nn._models import TwoTower
from mocop_sklearn.training._batches import Corpus
from mocop_sklearn.training._contrastive import accumulate_gradients
from mocop_sklearn.utils._distributed import gather

CPU = torch.device("cpu")


def run(rank, world_size, port, tasks, folder):
    """Join the group and leave the results of the tasks, (function, *arguments) each, in the folder."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    try:
        torch.save([function(*args) for function, *args in tasks], folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def gradients(architecture, corpus: Corpus, molecules, rng, weights):
    """Loss and gradients of one batch, from fixed weights."""
    torch.manual_seed(0)
    model = TwoTower(architecture)
    batch = corpus.draw(molecules, rng)
    own = None if weights is None else weights[batch.molecules]
    loss = accumulate_gradients(model, batch, own, CPU, "fp32", infonce)
    return {"loss": loss, **{name: p.grad for name, p in model.named_parameters()}}


def gathered(rows):
    """Rows of all ranks, and the gradient of the sum of squares of all."""
    own = rows[dist.get_rank()].clone().requires_grad_()
    everything = gather(own)
    (everything**2).sum().backward()
    return {"rows": everything.detach(), "gradient": own.grad}


def fit(smiles, profiles, parameters):
    """Weights and history of a fit by all ranks, or what is wrong."""
    try:
        embedder = MoCoPEmbedder(**parameters).fit(smiles, profiles=profiles)
    except ValueError as error:
        return str(error)
    history = [{name: value for name, value in row.items() if "seconds" not in name} for row in embedder.history_]
    return {"weights": embedder.model_.weights, "history": history, "digest": embedder.digest_}
