"""The page of a model: its figures are those of the metrics, its texts are escaped, and it needs no other file."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context

from mocop_sklearn import MoCoPClassifier, MoCoPEmbedder, PairedProfiles, build_pairs
from mocop_sklearn.baselines import ProfileKernelRidge, ProfileNeighbors
from mocop_sklearn.cli import main
from mocop_sklearn.datasets import load_comas
from mocop_sklearn.display import DomainDisplay
from mocop_sklearn.inspection import ApplicabilityDomain, report
from mocop_sklearn.metrics import retrieval_report
from mocop_sklearn.model_selection import overlap
from mocop_sklearn.molecules import canonical_smiles
from mocop_sklearn.profiles import ProfileScaler

pytest.importorskip("matplotlib")
NETWORK = {"n_layers": 1, "hidden_dim": 16, "embedding_dim": 16, "projection_dim": 8, "profile_dims": (16, 8)}
TINY = NETWORK | {"max_epochs": 1, "batch_size": 16, "side_features": None, "structure_weight": 0, "random_state": 0}
EVIL = '"><script>alert(1)</script>$\\foo'


@pytest.fixture(scope="module")
def comas():
    """Rows of 48 molecules of two libraries, of which one has plates."""
    data = load_comas(as_frame=True)
    placed = data.metadata["Metadata_Plate"] != ""
    chosen = [*sorted(set(data.smiles[placed]))[:36], *sorted(set(data.smiles[~placed]))[:12]]
    rows = data.frame[data.smiles.isin(chosen).to_numpy()].reset_index(drop=True)
    features = data.feature_names[:60]
    return rows.assign(Metadata_Source=rows["Metadata_Dataset"]), features


@pytest.fixture(scope="module")
def embedder(comas):
    rows, features = comas
    known = rows["Metadata_SMILES"].isin(sorted(set(rows["Metadata_SMILES"]))[::2])
    return MoCoPEmbedder(**TINY).fit(rows.loc[known, "Metadata_SMILES"].tolist(), profiles=rows.loc[known, features])


@pytest.fixture(scope="module")
def pairs(comas):
    rows, features = comas
    labels = ["Metadata_Source", "Metadata_Plate", "Metadata_Well"]
    return PairedProfiles(rows["Metadata_SMILES"].tolist(), rows[features + labels], doses=rows["Metadata_Conc_uM"])


@pytest.fixture(scope="module")
def found(comas, embedder, pairs, tmp_path_factory):
    rows = comas[0]
    path = tmp_path_factory.mktemp("report") / "report.html"
    asked = ["CCO", "not a molecule", "c1ccc2ccccc2c1", rows["Metadata_SMILES"][0]]
    return report(embedder, pairs, asked, path=path, columns=rows, color=["source", "Metadata_Toxic"], title=EVIL)


@pytest.fixture(scope="module")
def held_out(comas, found):
    """Rows of the molecules that the model is judged on, and the others."""
    rows, features = comas
    smiles = pd.Series(rows["Metadata_SMILES"])
    canonical = dict(zip(sorted(set(smiles)), canonical_smiles(sorted(set(smiles))), strict=True))
    own = smiles.map(canonical).isin(found.held_out).to_numpy()
    parts = [(smiles[part].tolist(), rows.loc[part, features].to_numpy(np.float32)) for part in (own, ~own)]
    return parts[0], parts[1], own


class Checker(HTMLParser):
    """Elements of a page, which must be nested; their attributes and their texts."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_page(html):
    """The page is well-formed, runs nothing and fetches nothing."""
    page = Checker(html)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "src" or value.startswith("data:image/svg+xml;base64,")
        assert name != "href" or value.startswith("#")
    assert ("http-equiv", "Content-Security-Policy") in page.attributes
    return page


class TestFigures:
    def test_model_and_baselines_have_the_scores_of_their_methods(self, embedder, found, held_out):
        (test, profiles), (others, of_others), _ = held_out
        assert found.figures["held_out"] == "unseen"
        assert not overlap(embedder, found.held_out).any()
        assert overlap(embedder, others).all()
        ridge = ProfileKernelRidge().fit(others, of_others)
        neighbors = ProfileNeighbors().fit(others, of_others)
        retrieval = found.figures["retrieval"]
        for name, estimator in {
            "this model": embedder, "kernel ridge on structures": ridge, "nearest neighbours": neighbors,
        }.items():  # fmt: skip
            assert retrieval[name]["score"] == pytest.approx(estimator.score(test, profiles), abs=1e-9)
            assert f"<td>{retrieval[name]['score']:.3f}</td>" in found.html
        difference = retrieval["this model"]["score"] - retrieval["kernel ridge on structures"]["score"]
        assert retrieval["difference"]["score"] == pytest.approx(difference, abs=1e-9)

    def test_shares_are_those_of_the_retrieval_report(self, embedder, found, held_out):
        smiles, profiles = held_out[0]
        scaled = pd.DataFrame(embedder.profile_transformer_.transform(profiles))
        scaled = scaled.groupby(canonical_smiles(smiles)).mean()
        projector = MoCoPEmbedder(pretrained=embedder, output="projection").fit(smiles)
        vectors = projector._project(np.array(scaled, dtype=np.float32))
        expected = retrieval_report(projector.transform(scaled.index.tolist()), vectors)
        for key in ("top1", "top10", "normalized_rank"):
            assert found.figures["retrieval"]["this model"][key] == pytest.approx(expected[key], abs=1e-9)

    def test_within_plates_is_the_mean_over_plates(self, comas, embedder, found, held_out):
        (smiles, profiles), _, own = held_out
        rows = comas[0][own].reset_index(drop=True)
        scores, sizes = [], []
        for plate, group in rows.groupby("Metadata_Plate"):
            of_plate = np.array(smiles)[group.index].tolist()
            if plate and len(set(of_plate)) > 1:
                scores.append(embedder.score(of_plate, profiles[group.index]))
                sizes.append(len(set(of_plate)))
        within = found.figures["confounders"]["within"]
        assert within["plate"]["this model"]["score"] == pytest.approx(np.average(scores, weights=sizes), abs=1e-9)
        assert within["plate"]["this model"]["n_groups"] == len(sizes)
        assert within["source"]["this model"]["n_groups"] == 2

    def test_cell_count_is_matched_by_its_difference(self, comas, found, held_out):
        (smiles, _), (others, _), own = held_out
        counts = comas[0]["Metadata_Rel_Cell_Count"].to_numpy(float)
        ridge = ProfileKernelRidge(profile_transformer=ProfileScaler(), cv=2).fit(others, counts[~own, None])
        measured = pd.Series(ridge.transform_profiles(counts[own, None])[:, 0]).groupby(canonical_smiles(smiles)).mean()
        apart = np.abs(ridge.predict(measured.index.tolist()) - measured.to_numpy()[None])
        own_distance = np.diag(apart)
        ranks = [((apart < d).sum(axis) + ((apart == d).sum(axis) - 1) / 2).mean()
                 for axis, d in ((1, own_distance[:, None]), (0, own_distance[None]))]  # fmt: skip
        expected = 1 - 2 * np.mean(ranks) / (len(apart) - 1)
        alone = found.figures["confounders"]["alone"]["cell count alone"]["score"]
        assert alone == pytest.approx(expected, abs=2e-3)  # ranks tie within rounding
        assert "<code>Metadata_Rel_Cell_Count</code>" in found.html

    def test_domain_is_that_of_the_molecules_seen(self, found, held_out):
        domain = ApplicabilityDomain().fit(held_out[1][0])
        asked = ["CCO", "c1ccc2ccccc2c1"]
        assert found.figures["domain"]["threshold"] == pytest.approx(domain.offset_)
        assert found.figures["domain"]["n"] == 3
        assert (domain.predict(asked) == -1).all()
        assert DomainDisplay.from_estimator(domain, asked, reference=held_out[0][0]).inside_ == 0
        assert "1 of 4 rows are repeated or not molecules" in found.html

    def test_texts_that_are_numbers_are_counts(self, fitted, smiles, profiles):
        # a nullable column of numbers is one of numbers, and a missing text belongs to no group
        columns = {
            "Cell_Count": np.arange(40.0).astype(str),
            "few": ["1", "2"] * 20,
            "gaps": pd.Series(["a", "b", pd.NA, "b"] * 10, dtype="string"),
            "nullable": pd.Series([*range(39), pd.NA], dtype="Int64"),
        }
        pairs = PairedProfiles(smiles, profiles)
        found = report(fitted, pairs, columns=columns, color=["few", "gaps"], within=["few", "gaps"])
        assert "cell count alone" in found.figures["confounders"]["alone"]
        for name in ("few", "gaps"):
            assert found.figures["confounders"]["within"][name]["this model"]["n_groups"] == 2
        with config_context(transform_output="pandas"):  # whatever transformers return in general
            other = report(fitted, pairs, columns=columns, cell_count="nullable", color="nullable")
        assert "cell count alone" in other.figures["confounders"]["alone"]
        assert other.figures["retrieval"]["difference"] == found.figures["retrieval"]["difference"]


class TestPage:
    def test_needs_nothing_and_escapes_its_title(self, found):
        check_page(found.html)
        assert found.path.read_text(encoding="utf-8") == found.html
        assert "<h1>&quot;&gt;&lt;script&gt;alert(1)" in found.html

    def test_has_all_sections(self, found):
        titles = ("The model", "Training", "Retrieval", "Confounders", "Wells and plates", "Hit sheets", "Domain")
        assert [title for title in titles if f"<h2>{title}</h2>" not in found.html] == []

    def test_texts_of_files_are_escaped(self, smiles, profiles, tmp_path):
        wells = pd.DataFrame(profiles[:, :4], columns=[f"a{EVIL}", "b", "c", "d"])
        wells["Metadata_Plate"] = [f"{EVIL}{i % 2}" for i in range(len(smiles))]
        wells["Metadata_Source"] = [f"_{EVIL}{i % 3}" for i in range(len(smiles))]
        wells["Metadata_Well"] = [f"A{1 + i // 6:02d}" for i in range(len(smiles))]
        wells["Metadata_SMILES"] = smiles
        wells.to_csv(tmp_path / "P<1>.csv", index=False)
        evil = {"licence": EVIL, "notes": EVIL, "normalizer": None}
        pairs = build_pairs(tmp_path / "pairs", [tmp_path / "P<1>.csv"], **evil)
        known = pairs[:20]
        embedder = MoCoPEmbedder(**TINY, pairs=known).fit(known.molecules)
        embedder.save(tmp_path / "<model>.safetensors")
        found = report(tmp_path / "<model>.safetensors", pairs, columns={EVIL: np.array(["<b>", "$"] * 20)}, color=EVIL)
        check_page(found.html)
        assert found.figures["wells"]["fates"] == pairs.report_["fates"]
        assert found.figures["wells"]["n_plates"] == len(set(pairs.plates))

    def test_the_model_has_seen_everything(self, smiles, profiles):
        embedder = MoCoPEmbedder(**TINY).fit(smiles, profiles=profiles)
        found = report(embedder, (smiles, profiles), max_molecules=20)
        check_page(found.html)
        assert found.figures["held_out"] == "seen"
        assert "The model has seen all of the" in found.html
        assert "All of these molecules were seen in training: the score says nothing of new ones." in found.html
        assert "with 95 percent confidence" not in found.html
        # without plates, sources and cell counts
        assert found.figures["confounders"]["within"] == {}
        assert "cell count alone" not in found.figures["retrieval"]
        absent = ("Plates and wells are not named", "No plate, source or batch", "No usable column that counts cells",
                  "No molecules were asked about", "the fate of other wells is unknown")  # fmt: skip
        assert [text for text in absent if text not in found.html] == []

    def test_molecules_that_the_model_has_not_seen_are_not_called_training(self, found, smiles, profiles):
        other = report("distilled", (smiles, profiles), ["CCO"])
        for text, own in (("nearest of training", found.html), ("nearest of the pairs", other.html)):
            assert [text in html for html in (found.html, other.html)] == [
                html is own for html in (found.html, other.html)
            ]

    def test_too_few_molecules(self, fitted, smiles, profiles):
        found = report(fitted, (smiles[:5], profiles[:5]))
        assert "too few to judge a model on" in found.html
        assert found.held_out == []

    def test_a_profile_of_which_only_the_dose_is_known_is_not_judged(self, smiles, profiles):
        empty = profiles.copy()
        empty[30] = np.nan
        pairs = PairedProfiles(smiles, empty, doses=np.ones(40)).with_dose()
        embedder = MoCoPEmbedder(**TINY, pairs=pairs[:20]).fit(smiles)
        assert report(embedder, pairs).figures["retrieval"]["this model"]["n_queries"] == 19

    def test_an_ensemble_has_the_columns_of_all_networks(self, smiles, profiles):
        embedder = MoCoPEmbedder(**TINY, n_estimators=2).fit(smiles, profiles=profiles)
        assert f"<td>{embedder.transform(smiles[:1]).shape[1]} columns</td>" in report(embedder).html

    def test_fine_tuned_model(self, smiles, labels, tmp_path):
        names = np.array(["<no>", "yes"])[labels]
        classifier = MoCoPClassifier(n_layers=1, hidden_dim=8, max_epochs=1)
        classifier.fit(smiles, pd.DataFrame({"<toxic>": names})["<toxic>"]).save(tmp_path / "model.safetensors")
        found = report(tmp_path / "model.safetensors", molecules=smiles)
        check_page(found.html)
        assert "<td>MoCoPClassifier</td>" in found.html
        assert "<td>&lt;toxic&gt;</td>" in found.html
        assert "<td>&lt;no&gt;, yes</td>" in found.html
        assert "No pairs were given" in found.html


class TestErrors:
    def test_columns(self, fitted, smiles, profiles):
        pairs = PairedProfiles(smiles, profiles)
        with pytest.raises(ValueError, match=r"'x' has shape \(3,\) but pairs have 40 rows"):
            report(fitted, pairs, columns={"x": [1, 2, 3]})
        with pytest.raises(ValueError, match="give pairs, too"):
            report(fitted, columns={"x": [1]})
        with pytest.raises(ValueError, match="color='x' is not a column"):
            report(fitted, pairs, color="x")
        with pytest.raises(ValueError, match="within='x' is not a column"):
            report(fitted, pairs, within="x")
        with pytest.raises(ValueError, match="cell_count='x' is neither a column nor a feature"):
            report(fitted, pairs, cell_count="x")
        with pytest.raises(ValueError, match="cell_count='x' does not hold numbers: its first value is 'a'"):
            report(fitted, pairs, columns={"x": ["a"] * 40}, cell_count="x")

    def test_model_and_sizes(self, fitted, smiles, profiles):
        with pytest.raises(TypeError, match="model must be a fitted"):
            report(ProfileNeighbors().fit(smiles, profiles))
        with pytest.raises(ValueError, match="max_molecules=3 must be at least 20"):
            report(fitted, max_molecules=3)
        with pytest.raises(ValueError, match="features"):
            report(fitted, (smiles, profiles[:, :5]), max_molecules=20)


class TestCommand:
    def test_equals_the_library(self, comas, embedder, found, tmp_path, capsys):
        rows, features = comas
        rows[[name for name in rows if name.startswith("Metadata_")] + features].to_csv(tmp_path / "w.csv", index=False)
        embedder.save(tmp_path / "m.safetensors")
        out = tmp_path / "r.html"
        words = ["report", str(tmp_path / "m.safetensors"), str(tmp_path / "w.csv"), "-o", str(out)]
        assert main([*words, "--color", "Metadata_Toxic", "--within", "Metadata_Run"]) == 0
        check_page(out.read_text(encoding="utf-8"))
        printed = capsys.readouterr().out
        for name, row in found.figures["retrieval"].items():
            assert name == "difference" or f"{name:<34}{row['score']:7.3f}" in printed

    def test_errors_speak_the_words_of_the_shell(self, model_file, smiles, profiles, tmp_path, capsys):
        wells = pd.DataFrame(profiles).add_prefix("f").assign(Metadata_SMILES=smiles)
        wells.to_csv(tmp_path / "w.csv", index=False)
        words = ["report", str(model_file), str(tmp_path / "w.csv"), "-o", str(tmp_path / "r.html")]
        assert main([*words, "--cell-count", "x"]) == 1
        assert "--cell-count 'x' is neither a column nor a feature" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            main([*words[:-1], "r.pdf"])
