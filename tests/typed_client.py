"""What a user's typed program sees of the package. mypy checks this file with `make lint`, and a test runs it."""

from pathlib import Path
from typing import assert_type

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, MoCoPRegressor, PairedProfiles, SkipInvalid, list_models
from mocop_sklearn.metrics import normalized_rank
from mocop_sklearn.model_file import ShippedModel
from mocop_sklearn.molecules import canonical_smiles

SMILES = ["CCO", "CCN", "CCCO", "CCCN"]


def main(folder: Path) -> int:
    models = list_models()
    assert_type(models, list[ShippedModel])
    assert_type(models[0].name, str)
    assert_type(canonical_smiles(SMILES), list[str | None])
    assert_type(normalized_rank([0, 1], 10), float)

    embedder = MoCoPEmbedder(pretrained=models[0].name).fit(SMILES)
    assert_type(embedder, MoCoPEmbedder)
    embedder.save(folder / "model.safetensors")
    assert_type(MoCoPEmbedder.load(folder / "model.safetensors"), MoCoPEmbedder)
    assert_type(embedder.digest_, str)

    classifier = MoCoPClassifier(pretrained=embedder, max_epochs=0, random_state=0).fit(SMILES, [1, 0, 1, 0])
    assert_type(classifier, MoCoPClassifier)
    assert_type(classifier.score(SMILES, [1, 0, 1, 0]), float)
    assert_type(MoCoPRegressor(max_epochs=0), MoCoPRegressor)
    assert_type(SkipInvalid(classifier), SkipInvalid)

    pairs = PairedProfiles(SMILES, [[0.0, 1.0]] * len(SMILES))
    assert_type(pairs[:2], PairedProfiles)
    return len(pairs)
