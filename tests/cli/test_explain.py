"""``mocop explain``: the attributions of the library, as JSON, as a page and as drawings."""

import html
import json

import numpy as np
import pandas as pd
import pytest

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder
from mocop_sklearn.cli import main
from mocop_sklearn.inspection import atom_attributions

ROWS = ["CC(=O)Oc1ccccc1 one", "? <script>", "[Na+].CC(=O)[O-] three"]
MOLECULES = [row.split()[0] for row in ROWS]


@pytest.fixture(scope="module")
def folder(smiles, profiles, tiny, tmp_path_factory):
    """A file of molecules, of a classifier of three classes, of an embedder and of profiles."""
    folder = tmp_path_factory.mktemp("explain")
    (folder / "molecules.smi").write_text("\n".join(ROWS) + "\n")
    classes = pd.Series(np.arange(40) % 3, name="group")
    MoCoPClassifier(hidden_dim=16, embedding_dim=16, max_epochs=1, random_state=0).fit(smiles, classes).save(
        folder / "classes.safetensors"
    )
    frame = pd.DataFrame(profiles, columns=[f"Cells_{i}" for i in range(profiles.shape[1])])
    frame.assign(Metadata_SMILES=smiles).to_csv(folder / "profiles.csv", index=False)
    MoCoPEmbedder(**tiny, structure_weight=0).fit(smiles, frame).save(folder / "cells.safetensors")
    return folder


def run(folder, out, *words, model="classes"):
    start = [str(folder / "molecules.smi"), "-m", str(folder / f"{model}.safetensors"), "-o", str(folder / out)]
    return main(["explain", *start, *words])


def test_json_holds_what_the_library_returns(folder, capsys):
    assert run(folder, "found.json", "--task", "2") == 0
    assert "2 of 3 rows are explained" in (said := capsys.readouterr().err)
    assert "row 1 '?' (not a valid SMILES)" in said
    first, bad, salt = json.loads((folder / "found.json").read_text())
    assert bad == {"row": 1, "smiles": "?", "name": "<script>", "invalid": "not a valid SMILES"}
    assert (first["name"], salt["attributions"][0]) == ("one", None)
    classifier = MoCoPClassifier.load(folder / "classes.safetensors")
    found, scores, references = atom_attributions(classifier, MOLECULES[::2], task=2, return_scores=True)
    np.testing.assert_allclose(first["attributions"], found[0], atol=1e-6)
    np.testing.assert_allclose(salt["attributions"][1:], found[1][1:], atol=1e-6)
    np.testing.assert_allclose([first["score"], salt["reference"]], [scores[0], references[1]], atol=1e-6)


def test_targets_whose_names_are_numbers_are_not_taken_for_classes(folder, smiles):
    labels = pd.DataFrame({"1": np.arange(40) % 2, "0": np.arange(40) // 20, "2": np.arange(40) // 2 % 2})
    tuned = MoCoPClassifier(hidden_dim=8, embedding_dim=8, n_layers=1, max_epochs=1, random_state=0)
    tuned.fit(smiles, labels).save(folder / "targets.safetensors")
    odds = np.log(tuned.predict_proba(MOLECULES[:1]) / (1 - tuned.predict_proba(MOLECULES[:1])))[0]
    for name, expected in zip(labels, odds, strict=True):
        assert run(folder, "target.json", "--task", name, "-q", model="targets") == 0
        assert json.loads((folder / "target.json").read_text())[0]["score"] == pytest.approx(expected, abs=1e-5)
    assert run(folder, "target.html", "--task", "1", "-q", model="targets") == 0
    assert "targets.safetensors: 1, by masking" in (folder / "target.html").read_text()


def test_a_page_holds_all_drawings_and_escapes(folder):
    assert run(folder, "found.html", "--task", "0", "--by", "gradient", "-q") == 0
    text = (folder / "found.html").read_text()
    assert text.count("data:image/svg+xml;base64,") == 2
    assert html.escape("<script>") in text
    assert "<script>" not in text
    assert "not a molecule: not a valid SMILES" in text


def test_a_folder_has_a_drawing_for_each_molecule(folder):
    assert run(folder, "drawings", "--task", "0", "--n-orders", "1") == 0
    assert [path.name for path in sorted((folder / "drawings").iterdir())] == ["row-000000.svg", "row-000002.svg"]


def test_retrieval_of_a_profile(folder):
    words = ["--profiles", str(folder / "profiles.csv"), "--profile-row", "7"]
    assert run(folder, "near.json", *words, model="cells") == 0
    found = json.loads((folder / "near.json").read_text())[0]
    embedder = MoCoPEmbedder.load(folder / "cells.safetensors", output="projection")
    frame = pd.read_csv(folder / "profiles.csv")[7:8]
    vectors = embedder.transform(MOLECULES[:1]), embedder.transform_profiles(frame)
    molecule, profile = (1.5 * v[:, :-4] for v in vectors)  # without local scaling
    cosine = molecule @ profile.T
    assert found["score"] == pytest.approx(cosine.item(), abs=1e-5)


@pytest.mark.parametrize(
    ("words", "model", "message"),
    [
        ([], "classes", "task must be one of the 3 class names [0, 1, 2]"),
        (["--task", "9"], "classes", "[0, 1, 2], got '9'"),
        ([], "cells", "holds an embedder, which predicts no assay"),
        (["--profiles", "profiles.csv", "--profile-row", "40"], "cells", "--profile-row 40, but"),
    ],
)
def test_what_is_refused(folder, words, model, message, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert run(folder, "none.json", *words, model=model) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["row", "score", "invalid"])
def test_columns_that_have_the_name_of_an_entry(folder, name, capsys):
    pd.DataFrame({"SMILES": MOLECULES, name: [7, 8, 9]}).to_csv(folder / "named.csv", index=False)
    words = [str(folder / "named.csv"), "-m", str(folder / "classes.safetensors"), "-o", str(folder / "named.json")]
    assert main(["explain", *words, "--task", "0", "--keep", name]) == 1
    assert f"named.json' would have two entries called {name!r}. Rename one of them" in capsys.readouterr().err
    assert not (folder / "named.json").exists()


@pytest.mark.parametrize("out", ["found.pdf", "molecules.smi", ""])
def test_an_output_of_another_kind_is_wrong_usage(folder, out):
    if out == "":
        (folder / "a.html").mkdir()
        out = "a.html"
    with pytest.raises(SystemExit):
        run(folder, out)
