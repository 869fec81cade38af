"""What notebooks show of fitted estimators and of pairs."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, PairedProfiles, build_pairs

TINY = {"max_epochs": 1, "n_layers": 1, "hidden_dim": 8, "embedding_dim": 12, "random_state": 0}
CELLS = {"projection_dim": 6, "side_features": None, "structure_weight": 0, "validation_fraction": 0}
SMILES = ["CCO", "CCN", "CCC", "CCCl"]


@pytest.fixture(scope="module")
def embedder():
    return MoCoPEmbedder(**TINY, **CELLS).fit(SMILES, profiles=np.eye(4))


def test_a_fitted_embedder_says_what_it_has_learned(embedder):
    html = embedder._repr_html_()
    assert "sk-top-container" in html  # scikit-learn's own comes first
    assert "<td>4 seen with a profile, 0 as structures only</td>" in html
    assert f"<td>{sum(w.size for w in embedder.model_.weights.values()):,}</td>" in html
    assert f"<td>{embedder.digest_[:12]}</td>" in html
    assert embedder._repr_mimebundle_()["text/html"].endswith(html[-100:])
    assert "Fitted MoCoPEmbedder" not in MoCoPEmbedder()._repr_html_()


def test_the_display_option_of_scikit_learn_holds(embedder):
    with config_context(display="text"):
        assert not hasattr(embedder, "_repr_html_")
        assert list(embedder._repr_mimebundle_()) == ["text/plain"]


def test_classes_are_escaped():
    classifier = MoCoPClassifier(**TINY, n_estimators=2).fit(SMILES, ["<script>", "b", "b", "<script>"])
    html = classifier._repr_html_()
    assert "<td>&lt;script&gt;, b</td>" in html
    assert "<td>4 seen, pretraining included</td>" in html
    assert "in each network</td>" in html


def test_pairs_show_their_labels_escaped():
    frame = pd.DataFrame({"Metadata_Plate": ["<P1>", "P2", "", "P2"], "a<b": 1.0, "c": [1.0, 2.0, 3.0, 4.0]})
    html = PairedProfiles(SMILES, frame, doses=[1, 20, np.nan, 5])._repr_html_()
    assert "<td>3: (unknown), &lt;P1&gt;, P2</td>" in html
    assert "<td>2: a&lt;b, c</td>" in html
    assert "<td>1 to 20</td>" in html
    assert "sources" not in html


def test_stored_pairs_tell_the_fate_of_their_wells(tmp_path):
    wells = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": [f"A{i:02d}" for i in range(1, 7)],
                          "Metadata_SMILES": ["CCO", "CCN", "CCC", None, "CCCl", "not"]})  # fmt: skip
    wells = wells.join(pd.DataFrame(np.random.default_rng(0).normal(size=(6, 3)), columns=["Cells_a", "Cells_b", "d"]))
    wells.to_csv(tmp_path / "P1.csv", index=False)
    pairs = build_pairs(tmp_path / "pairs", [tmp_path / "P1.csv"], normalizer=None)
    html = pairs._repr_html_()
    assert f"<td>{pairs.digest[:12]}</td>" in html
    for name, n in pairs.report_["fates"].items():
        assert not n or f"{n} {name.replace('_', ' ')}" in html


def test_pairs_that_are_not_at_hand_stay_closed():
    html = PairedProfiles(SMILES, np.eye(4)).without_rows()._repr_html_()
    assert html == "<code>PairedProfiles(4 rows, 4 features, without its rows)</code>"
