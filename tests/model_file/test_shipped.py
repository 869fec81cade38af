"""The models that come with the package: found by name, unchanged, and as good as their cards say."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR

from mocop_sklearn import MoCoPEmbedder, MoCoPRegressor, list_models
from mocop_sklearn.cli import main
from mocop_sklearn.datasets import load_biogen_adme
from mocop_sklearn.model_selection import overlap
from mocop_sklearn.molecules import BlockScaler

MODELS = list_models()
# mean and three columns of five molecules: aspirin, caffeine, sodium acetate, ibuprofen, imatinib
SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
    "CC(=O)[O-].[Na+]",
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
]
REFERENCE = {
    "distilled": [
        [-0.3510, 0.1127, -0.3026, -1.6722],
        [-0.4398, 3.0762, 0.0575, -0.2404],
        [-1.6365, -0.9010, -0.3712, -2.8150],
        [-0.2005, 0.4846, 0.2242, -1.2902],
        [0.0419, -0.7722, -0.5695, 0.4632],
    ],
    "cells": [
        [-0.2203, 0.9982, -0.7271, -0.1076],
        [-0.2520, -0.2702, -0.6205, 0.4563],
        [-0.7985, 0.4396, -2.7554, -0.0365],
        [-0.2412, 0.2383, -1.1721, -0.0743],
        [0.1443, 0.2543, -0.3593, 0.5530],
    ],
}
PEARSON = 0.71  # 0.735 here; descriptors with the same head: 0.682
# of COMAS
SEEN = "Brc1ccc(-c2nnc3sc(CN4CCc5ccccc5C4)cn23)cc1"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_model_is_what_its_card_says(model):
    embedder = MoCoPEmbedder(pretrained=model.name).fit(SMILES)
    assert embedder.digest_ == model.digest
    assert model.size < 5e6
    assert len(embedder.molecule_keys_) == model.n_molecules
    assert len(embedder.structure_keys_) == model.n_structures
    for text in ("licence", "Limits", "How it was made", model.name):
        assert text in model.card


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_vectors_are_those_of_the_release(model):
    vectors = MoCoPEmbedder(pretrained=model.name).fit(SMILES).transform(SMILES)
    np.testing.assert_allclose(
        np.column_stack([vectors.mean(axis=1), vectors[:, :3]]), REFERENCE[model.name], atol=2e-3
    )


def test_a_pipeline_reaches_its_score_on_the_bundled_set():
    """Biogen's human liver microsomes, published scaffold split, Pearson correlation."""
    data = load_biogen_adme(endpoint="HLM")
    train, test = data.split == "train", data.split == "test"
    smiles = np.array(data.smiles, dtype=object)
    model = make_pipeline(MoCoPEmbedder(pretrained="distilled"), BlockScaler(), SVR(C=3, gamma=1.0))
    center, spread = data.target[train].mean(), data.target[train].std()
    model.fit(smiles[train], (data.target[train] - center) / spread)
    assert np.corrcoef(model.predict(smiles[test]), data.target[test])[0, 1] > PEARSON


def test_seen_molecules_are_known_by_hashed_keys():
    embedder = MoCoPEmbedder(pretrained="distilled").fit(SMILES)
    assert not overlap(embedder, SMILES).any()
    # a compound of COMAS took part as a structure; one that nobody has made did not
    seen = overlap(embedder, [SEEN, "CCCCCCCCCCCCCC(CCCCCCCCCC)CCCCCCC"], seen="structure")
    assert seen.tolist() == [True, False]


def test_other_estimators_and_the_command_line_take_names(tmp_path, capsys):
    tuned = MoCoPRegressor(pretrained="distilled", max_epochs=0, random_state=0).fit(SMILES, np.arange(5.0))
    assert tuned.predict(SMILES).shape == (5,)
    (tmp_path / "five.smi").write_text("\n".join(SMILES) + "\n")
    out = tmp_path / "five.npy"
    assert main(["embed", str(tmp_path / "five.smi"), "-m", "distilled", "-o", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), MoCoPEmbedder(pretrained="distilled").fit(SMILES).transform(SMILES))
    capsys.readouterr()
    assert main(["models"]) == 0
    assert MODELS[0].digest in capsys.readouterr().out
    assert main(["models", "distilled"]) == 0
    assert capsys.readouterr().out.startswith("# distilled")
    assert main(["info", "distilled"]) == 0
    assert MODELS[0].digest in capsys.readouterr().out


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(FileNotFoundError, match=r"No model file at 'distiled', and no model of that name.*'distilled'"):
        MoCoPEmbedder(pretrained="distiled").fit(SMILES)


def test_a_file_of_that_name_takes_precedence(tmp_path, monkeypatch, fitted):
    monkeypatch.chdir(tmp_path)
    fitted.save("distilled")
    assert MoCoPEmbedder(pretrained="distilled").fit(SMILES).digest_ == fitted.digest_


def test_a_folder_of_that_name_does_not(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    expected = overlap("cells", [SEEN, "CC"], seen="structure").tolist()
    for name in ("cells", "other"):
        (tmp_path / name).mkdir()
    assert MoCoPEmbedder(pretrained="cells").fit(SMILES).digest_ == {m.name: m.digest for m in MODELS}["cells"]
    assert overlap("cells", [SEEN, "CC"], seen="structure").tolist() == expected
    assert main(["info", "cells"]) == 0
    for absent, message in (("other", "'other' is a directory"), ("./cells", "'cells' is a directory")):
        with pytest.raises(ValueError, match=message):
            MoCoPEmbedder(pretrained=absent).fit(SMILES)
    with pytest.raises(ValueError, match="'other' holds no stored pairs"):
        overlap("other", SMILES)
