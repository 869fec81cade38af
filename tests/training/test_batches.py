"""Drawing replicates, from memory and from disk."""

from collections import Counter

import numpy as np
import pytest
import torch
from rdkit import Chem
from scipy.stats import chisquare, kstest

from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.nn import infonce
from mocop_sklearn.training._batches import Corpus, StreamedProfiles
from mocop_sklearn.utils._parallel import ahead

# ---------------------------------------------------------------------------------------------
# Drawing
# ---------------------------------------------------------------------------------------------


def profiles_of(batch):
    return torch.cat([profiles for _, profiles in batch.passes])


MOLECULES = ["CCO", "c1ccccc1", "CCN", "CC(=O)O"]
N_REPLICATES = [3, 1, 5, 2]


@pytest.fixture
def molecule_of_row():
    """Molecule of each of eleven wells, in no order."""
    return np.random.default_rng(0).permutation(np.arange(4).repeat(N_REPLICATES))


@pytest.fixture
def corpus(molecule_of_row):
    """Profiles that say their row and their molecule."""
    profiles = np.stack([np.arange(11), molecule_of_row], axis=1).astype(np.float32)
    return Corpus.from_rows(featurize(MOLECULES, "paper").graphs, torch.from_numpy(profiles), molecule_of_row)


def test_draw_takes_each_replicate_as_often_and_no_other(corpus, molecule_of_row):
    rng = np.random.default_rng(0)
    counts = np.zeros(11)
    for _ in range(3000):
        molecules = rng.permutation(4)
        ((_, profiles),), identity, *_ = corpus.draw(molecules, rng)
        assert identity.tolist() == molecules.tolist()
        assert profiles[:, 1].tolist() == molecules.tolist()
        np.add.at(counts, profiles[:, 0].long().numpy(), 1)
    for molecule, n in enumerate(N_REPLICATES):
        own = counts[molecule_of_row == molecule]
        assert own.sum() == 3000
        assert len(own) == n
        assert n == 1 or chisquare(own).pvalue > 0.001


def test_draw_gives_the_graphs_in_order(corpus):
    order = np.array([2, 0, 3])
    ((graph, _),), *_ = corpus.draw(order, np.random.default_rng(0))
    expected = featurize([MOLECULES[i] for i in order], "paper").graphs.collate()
    assert torch.equal(graph.x, expected.x)
    assert graph.atoms_per_molecule.tolist() == [3, 3, 4]


def test_draw_is_deterministic(corpus):
    one, again, other = (profiles_of(corpus.draw(np.arange(4), np.random.default_rng(seed))) for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_averaged(corpus, molecule_of_row):
    expected = torch.stack([corpus.profiles[torch.from_numpy(molecule_of_row == i)].mean(dim=0) for i in range(4)])
    averaged = corpus.averaged()
    assert len(averaged) == 4
    torch.testing.assert_close(averaged.profiles, expected)
    ((_, profiles),), *_ = averaged.draw(np.array([3, 1]), np.random.default_rng(0))
    torch.testing.assert_close(profiles, expected[[3, 1]])
    torch.testing.assert_close(averaged.averaged().profiles, expected)


def uneven(n_per_source=(9, 1), n_molecules=2):
    """Molecules whose wells are unevenly spread over sources; each profile is one-hot for its row."""
    source = np.tile(np.repeat(np.arange(len(n_per_source)), n_per_source), n_molecules)
    molecule = np.repeat(np.arange(n_molecules), sum(n_per_source))
    order = np.random.default_rng(0).permutation(len(source))
    profiles = torch.eye(len(source))
    graphs = featurize(MOLECULES[:n_molecules], "paper").graphs
    corpus = Corpus.from_rows(graphs, profiles, molecule[order], source_of_row=source[order])
    return corpus, molecule[order], source[order]


def weights_of_rows(corpus, replicates, n=4000, seed=0):
    """How much each row has part in n draws of every molecule, shape (n, n_molecules, n_rows)."""
    rng = np.random.default_rng(seed)
    drawn = profiles_of(corpus.draw(np.tile(np.arange(len(corpus)), n), rng, replicates))
    return drawn.reshape(n, len(corpus), -1).numpy()


@pytest.mark.parametrize("replicates", ["sample", "source", "mix", 2, 4, 10, 13])
def test_every_profile_is_a_mean_of_replicates_of_its_molecule(replicates):
    corpus, molecule, _ = uneven()
    w = weights_of_rows(corpus, replicates, n=300)
    assert (w >= 0).all()
    np.testing.assert_allclose(w.sum(axis=2), 1, rtol=1e-5)
    for i in range(2):
        assert (w[:, i][:, molecule != i] == 0).all()


def test_sources_are_as_likely_and_within_them_the_replicates():
    corpus, molecule, source = uneven((9, 1, 3))
    counts = weights_of_rows(corpus, "source").sum(axis=0)  # (n_molecules, n_rows)
    for i in range(2):
        of_source = [counts[i, source == j].sum() for j in range(3)]
        assert sum(of_source) == 4000
        assert chisquare(of_source).pvalue > 0.001
        for j in (0, 2):
            assert chisquare(counts[i, (molecule == i) & (source == j)]).pvalue > 0.001


def test_nine_wells_of_one_source_count_as_one_of_another():
    corpus, _, source = uneven((9, 1))
    by_source, by_well = (
        weights_of_rows(corpus, how).sum(axis=0)[:, source == 1].sum() for how in ("source", "sample")
    )
    assert chisquare([by_source, 8000 - by_source]).pvalue > 0.001
    assert chisquare([by_well, 8000 - by_well], [800, 7200]).pvalue > 0.001


def test_without_sources_all_replicates_are_as_likely(corpus, molecule_of_row):
    drawn = profiles_of(corpus.draw(np.full(5000, 2), np.random.default_rng(0), "source"))[:, 0]
    counts = Counter(drawn.tolist())
    assert set(counts) == set(np.flatnonzero(molecule_of_row == 2))
    assert chisquare([*counts.values()]).pvalue > 0.001


@pytest.mark.parametrize("k", [2, 3, 4, 5, 10])
def test_a_mean_of_so_many(k):
    corpus, molecule, _ = uneven((9, 1))
    w = weights_of_rows(corpus, k)
    np.testing.assert_allclose(w[w > 0], 1 / k, rtol=1e-6)  # all different, as there are ten
    assert ((w > 0).sum(axis=2) == k).all()
    for i in range(2):  # every replicate is as likely to be among them
        often = (w[:, i][:, molecule == i] > 0).sum(axis=0)
        np.testing.assert_allclose(often, 400 * k, atol=4 * np.sqrt(4000 * k / 10 * (1 - k / 10)))


@pytest.mark.parametrize("k", [4, 12])
def test_more_than_there_are_repeats_them_evenly(k):
    corpus, _, _ = uneven((2, 1))
    w = weights_of_rows(corpus, k, n=500) * k
    for i in range(2):
        counts = w[:, i][:, w[:, i].sum(axis=0) > 0].round().astype(int)
        assert counts.shape == (500, 3)
        assert (counts.sum(axis=1) == k).all()
        assert counts.min() >= k // 3 - 1
        assert counts.max() <= k // 3 + 2


@pytest.mark.parametrize("replicates", [2, 4, "mix"])
def test_several_are_spread_over_the_sources(replicates):
    n_per_source = (8, 8) if replicates == 2 else (4, 4, 4, 4)
    corpus, _, source = uneven(n_per_source, n_molecules=3)
    w = weights_of_rows(corpus, replicates, n=200)
    for j in range(len(n_per_source)):
        assert ((w[:, :, source == j] > 0).sum(axis=2) == 1).all()


def test_mixes_have_flat_dirichlet_weights():
    corpus, _, source = uneven((1, 1, 1, 1), n_molecules=1)
    w = weights_of_rows(corpus, "mix")[:, 0]
    assert ((w > 0).sum(axis=1) == 4).all()
    for j in range(4):  # a part of four of a flat Dirichlet distribution has the density 3 (1 - w)²
        assert kstest(w[:, source == j].ravel(), lambda x: 1 - (1 - x) ** 3).pvalue > 0.001
    assert np.corrcoef(w.T)[0, 1] == pytest.approx(-1 / 3, abs=0.06)


@pytest.mark.parametrize("replicates", ["sample", "source", "mix", 3])
def test_a_sole_replicate_is_drawn_as_it_is(replicates, corpus, molecule_of_row):
    row = np.flatnonzero(molecule_of_row == 1)[0]
    drawn = profiles_of(corpus.draw(np.ones(50, dtype=int), np.random.default_rng(0), replicates))
    np.testing.assert_allclose(drawn, np.tile([row, 1], (50, 1)), rtol=1e-6)


def test_rows_that_are_left_out_are_never_drawn():
    molecule = np.array([-1, 0, 1, -1, 0, -1])
    graphs = featurize(MOLECULES[:2], "paper").graphs
    profiles = torch.tensor([[np.nan], [1], [2], [np.nan], [3], [np.nan]])
    corpus = Corpus.from_rows(graphs, profiles, molecule)
    for replicates in ("sample", "mix", 2):
        drawn = profiles_of(corpus.draw(np.tile([0, 1], 50), np.random.default_rng(0), replicates))
        assert torch.isfinite(drawn).all()
    assert corpus.averaged().profiles.ravel().tolist() == [2, 2]


def test_a_molecule_has_the_mean_weight_of_its_rows():
    molecule = np.array([0, 1, -1, 0, 1, 1])
    weight = np.array([1, 2, 100, 4, 0, 7], dtype=np.float32)
    corpus = Corpus.from_rows(
        featurize(MOLECULES[:2], "paper").graphs, torch.zeros(6, 1), molecule, weight_of_row=weight
    )
    assert corpus.weights.tolist() == [2.5, 3.0]
    assert corpus.averaged().weights.tolist() == [2.5, 3.0]


@pytest.mark.parametrize(("n", "batch_size", "sizes"), [(4, 2, [2, 2]), (4, 3, [3]), (4, 10, [4]), (4, 4, [4])])
def test_an_epoch_has_every_molecule_once(corpus, n, batch_size, sizes):
    batches = list(corpus.batches(np.random.default_rng(0), batch_size))
    assert [len(batch.molecules) for batch in batches] == sizes
    seen = torch.cat([batch.molecules for batch in batches]).tolist()
    assert len(seen) == len(set(seen))
    for ((graph, profiles),), identity, *_ in batches:
        assert graph.atoms_per_molecule.tolist() == [Chem.MolFromSmiles(MOLECULES[i]).GetNumAtoms() for i in identity]
        assert profiles[:, 1].tolist() == identity.tolist()


# ---------------------------------------------------------------------------------------------
# Streaming
# ---------------------------------------------------------------------------------------------


def streamed(corpus):
    matrix = corpus.profiles.numpy()
    profiles = StreamedProfiles(lambda rows: matrix[rows], matrix.shape, torch.device("cpu"))
    return Corpus(corpus.graphs, profiles, corpus.rows, corpus.ptr, corpus.source_ptr, corpus.source_start)


@pytest.mark.parametrize("replicates", ["sample", "source", "mix", 3])
def test_streamed_profiles_are_the_same(corpus, replicates):
    for epoch in range(3):
        ours, theirs = ([*c.batches(np.random.default_rng(epoch), 2, replicates)] for c in (corpus, streamed(corpus)))
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one.molecules, other.molecules)
            for (graph, profiles), (other_graph, other_profiles) in zip(one.passes, other.passes, strict=True):
                assert torch.equal(profiles, other_profiles)
                assert torch.equal(graph.x, other_graph.x)


def test_averages_of_streamed_profiles(corpus):
    averaged = streamed(corpus).averaged()
    assert torch.equal(averaged.profiles, corpus.averaged().profiles)
    on_cpu = streamed(corpus).to(torch.device("cpu"))
    assert torch.equal(on_cpu.averaged().profiles, averaged.profiles)


def test_averages_of_more_rows_than_a_block():
    n = np.array([5000, 1, 3, 4096, 4097, 2])
    molecule = np.random.default_rng(0).permutation(np.repeat(np.arange(6), n))
    profiles = torch.randn(len(molecule), 3, generator=torch.Generator().manual_seed(0))
    graphs = featurize([*MOLECULES, "CCCC", "CCCCC"], "paper").graphs
    means = Corpus.from_rows(graphs, profiles, molecule).averaged().profiles
    expected = torch.stack([profiles[torch.from_numpy(molecule == i)].mean(dim=0) for i in range(6)])
    torch.testing.assert_close(means, expected, rtol=1e-4, atol=1e-5)


def test_ahead_makes_one_item_before_it_is_asked_for():
    made = []

    def items():
        for i in range(4):
            made.append(i)
            yield i

    upcoming = ahead(items())
    assert not made
    assert [next(upcoming), next(upcoming)] == [0, 1]
    assert max(made) <= 2
    assert list(upcoming) == [2, 3]


def test_an_error_while_reading_ahead_is_raised():
    def items():
        yield 0
        raise OSError("the disk is gone")

    upcoming = ahead(items())
    assert next(upcoming) == 0
    with pytest.raises(OSError, match="the disk is gone"):
        next(upcoming)


# ---------------------------------------------------------------------------------------------
# Weights
# ---------------------------------------------------------------------------------------------


def test_weights_of_molecules_are_their_shares_in_the_loss():
    molecules = torch.nn.functional.normalize(torch.tensor([[2.0, 0.5], [0.0, 1.0], [1.5, -0.5]]), dim=1)
    profiles = torch.nn.functional.normalize(torch.tensor([[1.0, 0.3], [-0.5, 1.0], [0.2, -1.5]]), dim=1)
    s = 3.0 * (molecules @ profiles.T).double().numpy()
    each = [
        np.log(np.exp(s[i]).sum()) - s[i, i] + np.log(np.exp(s[:, i]).sum()) - s[i, i] for i in range(3)
    ]  # of rows and columns

    def loss(weights):
        return float(infonce(molecules, profiles, torch.tensor(3.0), torch.arange(3), weights))

    assert loss(torch.tensor([1.0, 0.0, 3.0])) == pytest.approx((each[0] + 3 * each[2]) / (2 * 4), rel=1e-5)
    assert loss(None) == pytest.approx(sum(each) / 6, rel=1e-5)
    assert loss(torch.full((3,), 0.3)) == pytest.approx(loss(None), rel=1e-6)
    assert loss(torch.tensor([5.0, 0, 0])) == pytest.approx(each[0] / 2, rel=1e-5)
