"""Texts that hold an accident: each is a molecule that stays as it is, or an invalid row with a reason."""

import random

import numpy as np
import pytest
import torch
from rdkit import Chem, RDConfig, rdBase

from mocop_sklearn.molecules._builder import GraphBuilder
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.molecules._parse import InvalidMolecule, read_molecule

CHARACTERS = "CNOPSFIclnosBr[]()=#@+-/\\.%0123456789H~$:*<>|é \t\n\0"
SEEDS = ["C/C=C/C", "C[C@H](N)C(=O)O", "[H]/N=C(/C)N", "[2H]C", "C[N+](C)(C)C.[Cl-]", "CC=CC |t:1|", "CN=[N+]=[N-]"]


def mutated(smiles, rng):
    """Insert, delete or replace one to three characters."""
    characters = list(smiles)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(characters) + 1)
        replaced = characters[place : place + rng.randint(0, 1)]
        characters[place : place + len(replaced)] = rng.choice(["", *CHARACTERS])
    return "".join(characters)


@pytest.fixture(scope="module")
def texts():
    with open(f"{RDConfig.RDDataDir}/NCI/first_5K.smi") as file:
        base = [line.split()[0] for line in file][::25] + SEEDS
    rng = random.Random(0)
    return [mutated(rng.choice(base), rng) for _ in range(400)]


def graph(mol, smiles):
    builder = GraphBuilder("rich")
    builder.add(mol, smiles)
    built = builder.build()
    return sorted(map(tuple, built.atoms.tolist())), sorted(built.edges.tolist())


def test_a_mutated_text_is_a_fixed_point_or_invalid(texts):
    n_valid = 0
    with rdBase.BlockLogs():
        for text in texts:
            try:
                mol, smiles = read_molecule(text)
            except InvalidMolecule:
                continue
            n_valid += 1
            canonical = Chem.MolToSmiles(mol)
            again, smiles_again = read_molecule(canonical)
            assert Chem.MolToSmiles(again) == canonical, text
            assert graph(again, smiles_again) == graph(mol, smiles), text
    assert 20 < n_valid < 380


def test_rows_stay_aligned(texts):
    found = featurize(texts, "rich")
    rows = np.flatnonzero(found.graph_of_value >= 0)
    assert sorted([*rows.tolist(), *found.reasons]) == list(range(len(texts)))
    for row in rows[::10]:
        alone = featurize([texts[row]], "rich").graphs
        together = found.graphs.take(torch.tensor([found.graph_of_value[row]]))
        assert torch.equal(alone.atoms, together.atoms)
        assert torch.equal(alone.edges, together.edges)
