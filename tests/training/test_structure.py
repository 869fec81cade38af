"""The structure objective: what is regressed from bare molecules, alone and beside profiles."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, PairedProfiles
from mocop_sklearn.model_selection import overlap
from mocop_sklearn.molecules import MoleculeDescriptors, MorganCounts, canonical_smiles
from mocop_sklearn.molecules._featurize import featurize
from mocop_sklearn.molecules._parse import connectivity_key, parse_molecule
from mocop_sklearn.pairs._grouping import split_molecules
from mocop_sklearn.training import _structure
from mocop_sklearn.training._structure import StructureCorpus, squared_error


@pytest.fixture(scope="module")
def small(tiny):
    return {"encoder": "gine", **tiny, "learning_rate": 3e-3}


def size_and_rings(smiles):
    return np.array([[len(s), s.count("1")] for s in smiles], dtype=float)


def test_structure_alone_learns_what_it_regresses(smiles, small):
    settings = small | {"max_epochs": 60, "validation_fraction": 0.0}
    embedder = MoCoPEmbedder(unlabeled=smiles, structure_targets=MorganCounts(fp_size=16), **settings).fit(smiles)
    losses = [row["structure_loss"] for row in embedder.history_]
    assert losses[-1] < 0.35 * losses[0]
    assert "temperature" not in embedder.history_[0]
    assert embedder.transform(smiles).shape == (40, 32)
    with pytest.raises(ValueError, match="trained on labels or on structures and has no profile network"):
        embedder.set_params(output="projection").transform(smiles)


@pytest.mark.parametrize("enough", [4096, 6], ids=["all", "evenly spaced"])
def test_score_of_structure_alone_is_the_explained_variance(smiles, small, enough, monkeypatch):
    monkeypatch.setattr(_structure, "_VALIDATED", enough)
    settings = small | {"max_epochs": 1, "validation_fraction": 0.3}
    model = MoCoPEmbedder(unlabeled=smiles, **settings).fit(smiles).model_
    held = sorted(canonical_smiles(held_out(smiles, settings)))
    assert len(held) == 12
    held = held if enough > 12 else held[::2]
    network = model.module().structure_network().eval()
    with torch.no_grad():
        outputs = network(featurize(held, "rich").graphs.collate()).numpy()
    targets = model.structure_targets.scaled(MoleculeDescriptors().fit(held).transform(held))
    explained = 1 - ((outputs - targets) ** 2).sum() / ((targets - targets.mean(axis=0)) ** 2).sum()
    assert model.best_score == pytest.approx(explained, rel=1e-3)


def test_targets_are_part_of_the_model(smiles, small, tmp_path):
    embedder = MoCoPEmbedder(unlabeled=smiles, **small).fit(smiles)
    targets = embedder.model_.structure_targets
    assert targets.transformer == "descriptors"
    assert targets.names == MoleculeDescriptors().get_feature_names_out().tolist()
    embedder.save(tmp_path / "model.safetensors")
    loaded = MoCoPEmbedder.load(tmp_path / "model.safetensors")
    assert loaded.model_.structure_targets.names == targets.names
    np.testing.assert_array_equal(loaded.model_.structure_targets.scale, targets.scale)
    assert loaded.digest_ == embedder.digest_
    np.testing.assert_array_equal(loaded.structure_keys_, embedder.structure_keys_)


def test_seen_as_structure_is_apart_from_seen_with_a_profile(smiles, profiles, small):
    embedder = MoCoPEmbedder(unlabeled=smiles, **small).fit(smiles[:20], profiles=profiles[:20])
    assert len(embedder.molecule_keys_) == 20
    assert len(embedder.structure_keys_) == 20
    assert overlap(embedder, smiles).tolist() == [True] * 20 + [False] * 20
    assert overlap(embedder, smiles, seen="structure").all()
    assert not overlap(embedder, ["CCCCCCCCCCCO"], seen="structure").any()


def test_structure_first_then_profiles(smiles, profiles, small):
    first = MoCoPEmbedder(unlabeled=smiles, **small).fit(smiles)
    start = MoCoPEmbedder(pretrained=first.model_, **small | {"max_epochs": 0}).fit(smiles, profiles=profiles)
    np.testing.assert_array_equal(start.transform(smiles), first.transform(smiles))
    joint = MoCoPEmbedder(pretrained=first, unlabeled=smiles, **small).fit(smiles, profiles=profiles)
    assert {"structure_loss", "temperature"} <= set(joint.history_[0])
    assert joint.history_[0]["structure_loss"] < first.history_[0]["structure_loss"]  # the head is kept
    assert -1 <= joint.score(smiles, profiles=profiles) <= 1
    np.testing.assert_array_equal(joint.model_.structure_targets.mean, first.model_.structure_targets.mean)


def test_the_head_stays_when_the_objective_ends(smiles, profiles, small):
    first = MoCoPEmbedder(unlabeled=smiles, **small).fit(smiles)
    cells = MoCoPEmbedder(pretrained=first, structure_weight=0, **small).fit(smiles, profiles=profiles)
    name = "structure_head.weight"
    np.testing.assert_array_equal(cells.model_.weights[name], first.model_.weights[name])
    assert cells.model_.structure_targets.names == first.model_.structure_targets.names


def test_structures_alone_end_the_shared_space_of_the_start(smiles, profiles, small, tmp_path):
    """The heads that project, and the ridge beside them, belong to the encoder as it was."""
    first = MoCoPEmbedder(structure_weight=0, **small).fit(smiles[:20], profiles=profiles[:20])
    second = MoCoPEmbedder(pretrained=first, unlabeled=smiles, **small).fit(smiles)
    assert not second.model_.architecture.has_profile_network
    assert not np.array_equal(second.transform(smiles), first.transform(smiles))
    with pytest.raises(ValueError, match="has no profile network"):
        second.score(smiles, profiles=profiles)
    second.save(tmp_path / "model.safetensors")
    loaded = MoCoPEmbedder(pretrained=tmp_path / "model.safetensors").fit(smiles)
    np.testing.assert_array_equal(loaded.transform(smiles), second.transform(smiles))
    np.testing.assert_array_equal(loaded.molecule_keys_, first.molecule_keys_)
    third = MoCoPEmbedder(pretrained=second, **small).fit(smiles, profiles=profiles)
    assert -1 <= third.score(smiles, profiles=profiles) <= 1


def of_another_size(smiles):
    return 1e4 * size_and_rings(smiles)


def test_other_targets_with_the_same_names_have_a_scale_and_a_head_of_their_own(smiles, small):
    settings = small | {"max_epochs": 1, "validation_fraction": 0.0}
    one, other = FunctionTransformer(size_and_rings), FunctionTransformer(of_another_size)
    first = MoCoPEmbedder(unlabeled=smiles, structure_targets=one, **settings).fit(smiles)
    again, changed = (
        MoCoPEmbedder(pretrained=first, unlabeled=smiles[:30], structure_targets=targets, **settings).fit(smiles).model_
        for targets in (one, other)
    )
    assert again.structure_targets.names == changed.structure_targets.names
    np.testing.assert_array_equal(again.structure_targets.mean, first.model_.structure_targets.mean)
    expected = np.array(of_another_size(np.unique(smiles[:30]).tolist())).mean(axis=0)
    np.testing.assert_allclose(changed.structure_targets.mean, expected, rtol=0.1)


def test_processes_and_a_cache_do_not_make_other_targets(smiles, small, tmp_path):
    settings = small | {"max_epochs": 0, "validation_fraction": 0.0}
    first = MoCoPEmbedder(unlabeled=smiles, structure_targets=MorganCounts(fp_size=4), **settings).fit(smiles)
    for targets, same in (
        (MorganCounts(fp_size=4, n_jobs=1, memory=str(tmp_path)), True),
        (MorganCounts(fp_size=4, n_jobs=1, radius=1), False),
    ):
        second = MoCoPEmbedder(pretrained=first, unlabeled=smiles[:30], structure_targets=targets, **settings)
        head = second.set_params(random_state=1).fit(smiles).model_.weights["structure_head.weight"]
        assert np.array_equal(head, first.model_.weights["structure_head.weight"]) is same


def test_a_model_of_labels_is_a_start_for_profiles(smiles, profiles, labels, small):
    shape = {name: small[name] for name in ("encoder", "n_layers", "hidden_dim", "embedding_dim", "random_state")}
    classifier = MoCoPClassifier(max_epochs=1, **shape).fit(smiles, labels)
    start = MoCoPEmbedder(pretrained=classifier, **small | {"max_epochs": 0}).fit(smiles, profiles=profiles)
    assert start.model_.architecture.has_profile_network
    plain = MoCoPEmbedder(pretrained=classifier).fit(smiles)
    np.testing.assert_array_equal(start.transform(smiles), plain.transform(smiles))


def test_structures_do_not_change_which_profiles_are_drawn(smiles, profiles, small):
    """A weight that is next to nothing changes next to nothing."""
    settings = small | {"dropout": 0.0, "encoder": "ggnn", "structure_weight": 1e-12}
    plain = MoCoPEmbedder(**settings).fit(smiles, profiles=profiles)
    beside = MoCoPEmbedder(**settings, unlabeled=smiles).fit(smiles, profiles=profiles)
    for row, other in zip(plain.history_, beside.history_, strict=True):
        assert other["loss"] == pytest.approx(row["loss"], rel=1e-4)


def test_validation_molecules_are_not_trained_on(smiles, profiles, small):
    """What is regressed for the validation part does not matter."""
    settings = small | {"validation_fraction": 0.25}
    held = set(held_out(smiles, settings))

    def spoiled(texts):
        return np.where(np.isin(texts, list(held))[:, None], 1e3, size_and_rings(texts))

    plain, other = (
        MoCoPEmbedder(unlabeled=smiles, structure_targets=FunctionTransformer(table), **settings).fit(
            smiles, profiles=profiles
        )
        for table in (size_and_rings, spoiled)
    )
    for name, weight in plain.model_.weights.items():
        np.testing.assert_array_equal(weight, other.model_.weights[name])


def held_out(smiles, settings):
    """Molecules of the validation part."""
    keys = [connectivity_key(parse_molecule(s)) for s in smiles]
    _, validation = split_molecules(keys, settings["validation_fraction"], settings["random_state"])
    return [smiles[i] for i in validation]


def test_unlabeled_takes_files_pairs_and_columns(smiles, profiles, small, tmp_path):
    (tmp_path / "bare.smi").write_text("\n".join(smiles) + "\n")
    digests = {
        MoCoPEmbedder(unlabeled=bare, **small).fit(smiles).digest_
        for bare in (smiles, np.array(smiles), tmp_path / "bare.smi", PairedProfiles(smiles, profiles))
    }
    assert len(digests) == 1


def test_bad_rows_are_named_or_left_out(smiles, small):
    bare = [*smiles, "not a molecule"]
    with pytest.raises(ValueError, match=r"1 of 41 rows of unlabeled are not valid molecules:\n  row 40"):
        MoCoPEmbedder(unlabeled=bare, **small).fit(smiles)
    with pytest.warns(UserWarning, match="1 of 41 rows of unlabeled"):
        skipped = MoCoPEmbedder(unlabeled=bare, invalid="nan", **small).fit(smiles)
    assert skipped.digest_ == MoCoPEmbedder(unlabeled=smiles, **small).fit(smiles).digest_
    with pytest.raises(ValueError, match="needs at least two molecules"):
        MoCoPEmbedder(unlabeled=["CCO", "OCC"], **small).fit(smiles)
    targets = FunctionTransformer(lambda texts: np.ones((3, 2)))
    with pytest.raises(ValueError, match="must return one row for each of 40 molecules"):
        MoCoPEmbedder(unlabeled=smiles, structure_targets=targets, **small).fit(smiles)


def _sizes(smiles):
    return np.array([[len(text), text.count("C")] for text in smiles])


def _nullable(smiles):
    table = pd.DataFrame(_sizes(smiles), columns=["length", "carbons"]).astype("Float64")
    table.iloc[0, 0] = pd.NA
    return table


@pytest.mark.parametrize("function", [_sizes, _nullable, lambda smiles: csr_array(_sizes(smiles))])
def test_targets_and_features_come_in_any_table_of_numbers(smiles, profiles, small, function):
    transformer = make_pipeline(FunctionTransformer(function), StandardScaler(with_mean=False))
    settings = small | {"structure_targets": transformer, "side_features": [transformer], "max_epochs": 0}
    embedder = MoCoPEmbedder(**settings).fit(smiles, profiles=profiles)
    assert embedder.model_.structure_targets.names == ["x0", "x1"]
    assert np.isfinite(embedder.set_params(output="projection").transform(smiles)).all()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda smiles: np.ones(len(smiles)), r"one row for each of \d+ molecules, but it returned .* \(\d+,\)"),
        (lambda smiles: np.ones((3, 2)), r"one row for each of \d+ molecules, but it returned .* \(3, 2\)"),
        (lambda smiles: [["a"] for _ in smiles], "must return numbers for molecules"),
    ],
)
def test_a_transformer_that_gives_no_table_of_numbers_is_named(smiles, profiles, small, function, message):
    transformer = FunctionTransformer(function)
    for name, value in (("structure_targets", transformer), ("side_features", [transformer])):
        with pytest.raises(ValueError, match=f"{name}=FunctionTransformer.*{message}"):
            MoCoPEmbedder(**small | {"max_epochs": 0, name: value}).fit(smiles, profiles=profiles)


def test_missing_targets_are_left_out_of_the_loss():
    outputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    targets = torch.tensor([[0.0, float("nan")], [float("nan"), 6.0]])
    assert float(squared_error(outputs, targets)) == pytest.approx((1 + 4) / 2)


def test_resuming_is_bit_equal(smiles, profiles, small, tmp_path):
    settings = {"unlabeled": smiles, **small, "max_epochs": 4}
    whole = MoCoPEmbedder(**settings).fit(smiles, profiles=profiles)
    folder = tmp_path / "states"
    MoCoPEmbedder(**settings, checkpoint_dir=folder).fit(smiles, profiles=profiles)
    resumed = MoCoPEmbedder(**settings, checkpoint_dir=folder, resume=True).fit(smiles, profiles=profiles)
    assert resumed.digest_ == whole.digest_


def test_the_cache_tells_structures_apart(smiles, profiles, small, tmp_path):
    settings = {**small, "memory": tmp_path}
    with_all = MoCoPEmbedder(unlabeled=smiles, **settings).fit(smiles, profiles=profiles)
    with_half = MoCoPEmbedder(unlabeled=smiles[:20], **settings).fit(smiles, profiles=profiles)
    again = MoCoPEmbedder(unlabeled=smiles, **settings).fit(smiles, profiles=profiles)
    assert again.digest_ == with_all.digest_ != with_half.digest_


def test_every_molecule_is_drawn_before_one_is_drawn_again(smiles):
    graphs = featurize(smiles, "rich").graphs
    corpus = StructureCorpus(graphs, torch.arange(40.0)[:, None])
    drawn = [t[:, 0].tolist() for parts in corpus.batches(np.random.default_rng(0), 5, 16) for _, t in parts]
    assert sorted(np.concatenate(drawn)[:40]) == list(range(40))
    assert all(len(part) == 16 for part in drawn)


def test_cached_gradients_are_those_of_one_pass(smiles, profiles, small, monkeypatch):
    settings = {**small, "dropout": 0.0, "encoder": "ggnn", "batch_size": 32, "max_epochs": 1, "structure_weight": 2.0}
    whole = MoCoPEmbedder(**settings).fit(smiles, profiles=profiles)
    monkeypatch.setattr("mocop_sklearn.training._batches.MOLECULES_PER_PASS", 12)
    parts = MoCoPEmbedder(**settings).fit(smiles, profiles=profiles)
    assert parts.history_[0]["loss"] == pytest.approx(whole.history_[0]["loss"], rel=1e-5)
    for name, weight in whole.model_.weights.items():
        np.testing.assert_allclose(parts.model_.weights[name], weight, atol=2e-4, err_msg=name)


def test_weight_zero_leaves_the_objective_out(smiles, profiles, small):
    model = MoCoPEmbedder(**small, structure_weight=0).fit(smiles, profiles=profiles).model_
    assert model.structure_targets is None
    assert not [name for name in model.weights if name.startswith("structure_head")]
    with pytest.raises(ValueError, match="unlabeled needs a structure_weight above 0"):
        MoCoPEmbedder(**small, structure_weight=0, unlabeled=smiles).fit(smiles, profiles=profiles)
