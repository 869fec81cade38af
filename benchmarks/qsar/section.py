"""The part of docs/benchmarks.md that the QSAR benchmarks make, and its pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pictures
from common import table

from qsar import published
from qsar.arms import label
from qsar.corpora import SHARES
from qsar.summary import differences, frame, interval, macro_means, main_metric, published_split, shared_cells, show

BESIDE = ("descriptors ⧺ ECFP + SVM", "descriptors + forest", "ECFP + forest", "MiniMol + SVM", "chemprop")
UNTRAINED = "fine-tuned [untrained]"
# Least shares of the cells of the broadest arm: all pairs of split and seed, three of nine, or one
BREADTHS = (0.5, 0.25, 0.0)
LOWER_IS_BETTER = ("mae", "rmse")
READERS = ("+ forest", "+ SVM")  # heads whose differences to arms without an embedding are shown
# The learning curves show these, and those of them that start from a corpus once for each
CURVES = (
    "fine-tuned",
    "scratch",
    "embedding + SVM",
    "embedding ⧺ descriptors ⧺ ECFP + SVM",
    "descriptors ⧺ ECFP + SVM",
    "MiniMol + SVM",
    "ECFP + forest",
    "descriptors + forest",
)


def section(title: str, name: str, results: Path, docs: Path) -> list[str]:
    """Lines of Markdown for one benchmark; none when it has no results."""
    found = frame(results / f"{name}.parquet")
    if not len(found) or main_metric(found).isna().all():
        return []
    lines = [f"## {title}", "", *_what_was_run(found, name)]
    curves = with_curves(found)
    lines += _fractions(curves, name, title, docs)
    lines += _pretrained_less_scratch(curves, name, title, docs)
    lines += _where_it_helps(found)
    lines += _families(found)
    lines += _corpus_sizes(found)
    lines += _beside_published(found)
    lines += _by_arm(found)
    lines += _harness(found)
    lines += _seen(found, frame(results / f"{name}_seen.parquet"))
    return lines


def with_curves(found: pd.DataFrame) -> pd.DataFrame:
    """Rows of the sets that were run at several shares of the training molecules."""
    return found[found.groupby("set")["fraction"].transform("nunique") > 1]


def _what_was_run(found: pd.DataFrame, name: str) -> list[str]:
    rounds = found.groupby("set")[["split", "seed"]].apply(lambda rows: len(rows.drop_duplicates()))
    hours = found["seconds"].sum() / 3600
    return [
        f"`python benchmarks/{name}.py`: {main_metric(found).notna().sum()} fits on {found['set'].nunique()} task "
        f"sets, {hours:.1f} hours of one core; {_number(rounds)} of split and seed a set. Networks are "
        "`MoCoPClassifier` and `MoCoPRegressor` with their default parameters, [chosen by "
        "cross-validation](method.md#how-the-qsar-benchmarks-were-set). Where a split is published, it comes first; "
        "the others are random splits of whole Bemis-Murcko scaffolds with the same share of test molecules. The "
        "seed draws the training fraction, the pretrained encoder and the model. Published splits stay as they are, "
        "also where the parts share molecules (nearly half of Broad6K's test part, some of Hofmarcher's, a few of "
        "hERG's and BBB's); only human PK loses the test rows that are in its training part. Labels of half-life, "
        "VDss and human PK are taken in logarithms.",
        "",
        "In brackets, what the encoder learned from: `distilled` and `cells`, the models that come with the package; "
        "`toxcast`, measured results of ToxCast's assays as a stand-in for the second view (*thinned*, *other "
        "families* and shares are parts of it, below); "
        "`morphology`, measured Cell Painting profiles of about 1,200 structures; `bioassays`, ToxCast, the assays of "
        "Moshkov et al. and ChEMBL's. No test molecule of any split of any set is in pretraining (by the first block "
        "of the InChIKey), nor is an assay that by its name measures an ADME protein or the protein that a task is "
        "named by, as ChEMBL2K's are. Some that measure a family of such proteins, or spell the name otherwise, have "
        "stayed: `NVS_GPCR_rAdrb_NonSelective`, `NVS_GPCR_gMPeripheral_NonSelective`, `ATG_PPRE_CIS` and "
        "`BSK_4H_VEGFRII`. The names of Broad6K's, Moshkov's, Hofmarcher's and MoleculeACE's tasks tell no "
        "protein, so that no assay leaves for them. `distilled` has seen the bare structures of 15 of ToxCast's 858 "
        "test molecules, 14 of Moshkov's 3,234 and 73 of Hofmarcher's 2,114, and none of the other sets. "
        "*(multitask)*: pretrained by predicting the profile; all others by contrasting it with the molecule. "
        "*gated*: the gated network, which was the default encoder, fine-tuned "
        "from tanh for 30 epochs (classes) or 60 (numbers). *scratch* is this network from random weights, the "
        "default of `MoCoPClassifier` and `MoCoPRegressor` without `pretrained`. *untrained*: the network of "
        "`distilled` with random weights and the same recipe, so that what lies between the two is pretraining alone; "
        "between `distilled` and *scratch* lies the network, too.",
        "",
    ]  # fmt: skip


def _number(pairs: pd.Series) -> str:
    least, most = pairs.min(), pairs.max()
    return f"{least} to {most} pairs" if least < most else _count(most, "pair")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("s" if n != 1 else "")


def _labels(found: pd.DataFrame, names: tuple[str, ...] | None = None) -> list[str]:
    arms = found[["arm", "corpus"]].drop_duplicates()
    if names is not None:
        arms = arms[arms["arm"].isin(names)].sort_values("arm", key=lambda s: s.map(names.index), kind="stable")
    return [label(arm, corpus) for arm, corpus in arms.itertuples(index=False)]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g} %"


def _fractions(found: pd.DataFrame, name: str, title: str, docs: Path) -> list[str]:
    covered = found.groupby("label").size()
    every = _labels(found[main_metric(found).notna()])  # an arm may have failed everywhere
    # a table for each breadth, so that an arm of one pair does not take the others of the rest
    levels = [[arm for arm in every if covered[arm] > least * covered.max()] for least in BREADTHS]
    main = levels[0]
    lines = _means(found, main, "main")
    path = docs / f"{name}_curves.svg"
    means = macro_means(found, main)
    shown = [arm for arm in _labels(found, CURVES) if arm in means.index]
    pictures.learning_curves(means.loc[shown], title, "mean of AUROC and Spearman's correlation", path)
    lines += [f"![learning curves]({path.name})", ""]
    if "auprc" in found:
        lines += _means(found, main, "auprc")
    for fewer, more in pairwise(levels):
        if len(more) > len(fewer):
            lines += _means(found, more, "main")
    return lines


def _means(found: pd.DataFrame, labels: list[str], metric: str) -> list[str]:
    """Table of the means of some arms, over the cells that all of them have."""
    cells = shared_cells(found, labels)
    means = macro_means(found, labels, metric)
    if not len(means) or 1.0 not in means:
        return []
    means = means.sort_values(1.0, ascending=False)
    pairs, sets = len(cells[["split_number", "seed"]].drop_duplicates()), cells["set"].nunique()
    classes = cells.loc[cells["auroc"].notna(), "set"].nunique() if "auroc" in cells else 0
    what = "AUROC" if classes == sets else f"AUROC of {classes}, Spearman's correlation of {sets - classes}"
    if metric == "auprc":
        prevalence = cells.loc[cells["fraction"] == 1].groupby("set")["prevalence"].mean().mean()
        sets, what = classes, f"AUPRC; their mean prevalence is {prevalence:.3f}"
    return [
        f"Mean of {_count(sets, 'set')} ({what}) by share of the training molecules, over the cells that all these "
        f"arms have, of {_count(pairs, 'pair')} of split and seed.",
        "",
        *table(
            ["arm", *map(_percent, means.columns)],
            [[arm, *(show(value) for value in row)] for arm, row in means.iterrows()],
        ),
        "",
    ]


def _pretrained_less_scratch(found: pd.DataFrame, name: str, title: str, docs: Path) -> list[str]:
    every = _labels(found)
    networks = [arm for arm in every if arm.startswith(("fine-tuned", "linear probe"))]
    embedded = [arm for arm in every if arm.startswith("embedding") and arm.partition(" [")[0].endswith(READERS)]
    residual = [arm for arm in networks if "gated" not in arm and arm != UNTRAINED]
    lines = [
        "### What pretraining is worth",
        "",
        "Mean paired differences, with 95 % intervals (Student) over the sets, one difference for each: the mean over "
        "its pairs of split and seed. Of one set alone, the interval is over its pairs, corrected for overlapping "
        "splits (Nadeau and Bengio). *Over* is the number of sets and of pairs. *Won* counts the sets with a "
        "difference above 0 at the largest share of training molecules; after it, those whose difference there is "
        "sure, for and against: corrected for overlapping splits and for the number of sets and shares (Holm).",
        "",
    ]  # fmt: skip
    for reference, arms in (
        ("scratch", networks + embedded),
        (UNTRAINED, residual),
        ("embedding + SVM [untrained]", [arm for arm in embedded if arm.startswith("embedding + SVM")]),
        ("untrained + forest", embedded),
        ("ECFP + forest", embedded),
        ("descriptors + forest", embedded),
        ("descriptors ⧺ ECFP + SVM", embedded),
        ("MiniMol + SVM", embedded),
    ):
        if reference in every and arms:
            paired = {arm: differences(found, arm, reference) for arm in arms}
            lines += [f"Less *{reference}*, main score.", "", *_difference_table("arm", paired, "main")]
    if "scratch" not in every or not networks:
        return lines
    if "auprc" in found:
        for reference, arms in (("scratch", networks + embedded), (UNTRAINED, residual)):
            if reference in every and arms:
                paired = {arm: differences(found, arm, reference, "auprc") for arm in arms}
                what = "change of the mean AUPRC of the classification sets in percent of it."
                lines += [f"Less *{reference}*, {what}", "", *_difference_table("arm", paired, "auprc")]
    path = docs / f"{name}_differences.svg"
    shown = {arm: differences(found, arm, "scratch") for arm in networks if arm.startswith("fine-tuned")}
    pictures.paired_differences(shown, f"{title}: pretrained less scratch", "difference of the mean score", path)
    return [*lines, f"![paired differences]({path.name})", ""]


def _where_it_helps(found: pd.DataFrame) -> list[str]:
    """The fine-tuned arm of most fits beside the network from scratch, set by set, the large ones too."""
    fits = found["label"].value_counts()
    arms = [arm for arm in fits.index if arm.startswith("fine-tuned")]
    if not arms or "scratch" not in fits:
        return []
    sets = found.groupby(_merged(found)["set"], sort=False)
    paired = {str(name): differences(own, arms[0], "scratch") for name, own in sets}
    return [
        f"*{arms[0]}* less *scratch*, set by set: AUROC, or Spearman's correlation where there is no AUROC.",
        "",
        *_difference_table("set", paired, "main"),
    ]


def _families(found: pd.DataFrame) -> list[str]:
    """What pretraining on ToxCast is worth without the assays of related proteins."""
    return _by_corpus(
        found,
        ("toxcast other families", "toxcast thinned"),
        "toxcast",
        "Is it the family of the protein?",
        "ToxCast measures relatives of many proteins that tasks are named by. `toxcast other families` is ToxCast "
        "without any assay of a protein of such a family (amine and other G protein-coupled receptors, kinases, "
        "nuclear receptors, transporters, channels, cytochromes, cyclooxygenases); `toxcast thinned` has as many "
        "assays, drawn from all. Each less the same arm from the whole of ToxCast.",
    )


def _corpus_sizes(found: pd.DataFrame) -> list[str]:
    """What the size of the corpus is worth, of arms that were run with parts of it."""
    arms = found.loc[found["corpus"].isin(SHARES), "arm"]
    return _by_corpus(
        found[found["arm"].isin(arms)],
        (*SHARES, "toxcast"),
        "untrained",
        "Does a larger corpus help?",
        "The encoder learned from a part of ToxCast's molecules with all of its assays (a smaller part is within a "
        "larger one), or from all of them. Each less the same arm from random weights.",
    )


def _by_corpus(found: pd.DataFrame, corpora: tuple[str, ...], reference: str, title: str, text: str) -> list[str]:
    """Arms that start from some corpora, each less the same arm from the reference; none without such arms."""
    arms = found.loc[found["corpus"].isin(corpora), ["arm", "corpus", "label"]].drop_duplicates()
    arms = arms.sort_values("corpus", key=lambda s: s.map(corpora.index), kind="stable")
    if not len(arms):
        return []
    paired = {name: differences(found, name, label(arm, reference)) for arm, _, name in arms.itertuples(index=False)}
    return [f"### {title}", "", text, "", *_difference_table("arm", paired, "main")]


def _difference_table(of: str, paired: dict[str, pd.DataFrame], metric: str) -> list[str]:
    paired = {name: own for name, own in paired.items() if len(own)}
    fractions = sorted({f for own in paired.values() for f in own.index})

    def cell(own: pd.DataFrame, fraction: float) -> str:
        if fraction not in own.index:
            return "–"
        row = own.loc[fraction]
        if metric == "main":
            return interval(row["mean"], row["low"], row["high"], 3)
        return interval(row["relative"], row["relative_low"], row["relative_high"], 1) + " %"

    rows = [
        [
            name,
            f"{own['n_sets'].max():.0f}, {own['n'].max():.0f}",
            *(cell(own, fraction) for fraction in fractions),
            "{won:.0f} ({up:.0f}, {down:.0f})".format(**own.iloc[-1]),
        ]
        for name, own in paired.items()
    ]
    return [*table([of, "over", *map(_percent, fractions), "won"], rows), ""]


def _merged(found: pd.DataFrame) -> pd.DataFrame:
    """The parts of a set that is one set per target are one set, of their mean."""
    return found.assign(set=found["set"].str.split("/").str[0])


def on_published_split(found: pd.DataFrame, name: str, metric: str, scale: float = 1.0) -> pd.DataFrame:
    """Mean, standard deviation and number of the seeds of each arm on the published split of a set; may be empty."""
    own = _merged(found)
    own = own[own["set"] == name]
    if metric not in own or not len(own):
        return pd.DataFrame()
    return (published_split(own, metric) * [scale, scale, 1]).droplevel("set")


def _beside_published(found: pd.DataFrame) -> list[str]:
    rows = []
    for name, bar in published.BARS.items():
        scores = on_published_split(found, name, bar.metric, bar.scale)
        if not len(scores):
            continue
        lower = bar.metric in LOWER_IS_BETTER
        best = scores["mean"].idxmin() if lower else scores["mean"].idxmax()
        value = scores.loc[best, "mean"]
        digits = 1 if bar.scale > 1 or (bar.metric == "mae" and bar.floor > 5) else 3
        beaten = [
            word
            for word, limit in (("floor", bar.floor), ("strong", bar.strong), ("best", bar.best))
            if (value <= limit if lower else value >= limit)
        ]
        known = [
            f"{show(limit, digits)} ({who})"
            for limit, who in zip((bar.floor, bar.strong, bar.best), bar.names, strict=True)
        ]
        unit = f"{bar.metric.upper()} × {bar.scale:g}" if bar.scale > 1 else bar.metric.upper()
        spread = "" if np.isnan(scores.loc[best, "std"]) else f" ± {scores.loc[best, 'std']:.{digits}f}"
        rows.append([name, unit, f"{show(value, digits)}{spread}", best, *known, ", ".join(beaten) or "none"])
    if not rows:
        return []
    return [
        "### Beside published results, on the published split",
        "",
        "The best of all our arms, chosen after the fact (so a little lucky), mean ± standard deviation of the seeds, "
        "or of the folds where each has one seed, beside what others report. Leaders of TDC may have seen test "
        "labels, and their leaderboard is not clean. The row of MoleculeACE is the mean of its 25 targets.",
        "",
        *table(["set", "metric", "ours", "arm", "floor", "strong", "best published", "reached"], rows),
        "",
    ]  # fmt: skip


def _by_arm(found: pd.DataFrame) -> list[str]:
    """The sets of InfoAlign, with each of our arms that starts from a shipped model, or stands beside it."""
    shown, rows = {}, []
    for name in published.INFOALIGN:
        bar = published.BARS[name]
        scores = on_published_split(found, name, bar.metric, bar.scale)
        if len(scores):
            shown[f"{name}, {bar.metric.upper()} × {bar.scale:g}"] = scores
    names = (*(arm for arm in _labels(found) if arm.endswith("[distilled]")), "scratch", *BESIDE)
    for arm in names:
        cells = [scores.loc[arm] if arm in scores.index else None for scores in shown.values()]
        if any(cell is not None for cell in cells):
            rows.append(
                [arm, *("–" if cell is None else f"{show(cell['mean'], 1)} ({cell['count']:.0f})" for cell in cells)]
            )
    if not rows:
        return []
    return [
        "### The sets of InfoAlign, arm by arm",
        "",
        "On the published splits, with the number of seeds (published: five). InfoAlign and CHMR stand in the table "
        "above.",
        "",
        *table(["arm", *shown], rows),
        "",
    ]


def _harness(found: pd.DataFrame) -> list[str]:
    rows = []
    pairs = (("ECFP + forest", published.FOREST), ("chemprop", published.CHEMPROP), ("scratch", published.CHEMPROP))
    for arm, others in pairs:
        who = "forest" if others is published.FOREST else "Chemprop"
        for name, (metric, mean, std) in others.items():
            scores = on_published_split(found[found["label"] == arm], name, metric)
            if not len(scores):
                continue
            value = scores.iloc[0]
            ours = show(value["mean"]) + ("" if np.isnan(value["std"]) else f" ± {value['std']:.3f}")
            theirs = show(mean) + ("" if np.isnan(std) else f" ± {std:.3f}")
            rows.append([name, metric.upper(), arm, ours, f"{theirs} ({who})"])
    if not rows:
        return []
    return [
        "### Is the harness sound?",
        "",
        "Simple arms on the published splits, beside published figures of the like. A forest of Morgan fingerprints "
        "is nearly the same model: for numbers, ours tries a tenth of the bits at each branch, and learns half-life "
        "and VDss from logarithms, so it may well be better there. Chemprop from scratch is another network of the "
        "same kind.",
        "",
        *table(["set", "metric", "arm", "here", "published"], rows),
        "",
    ]  # fmt: skip


def _seen(found: pd.DataFrame, seen: pd.DataFrame) -> list[str]:
    if not len(seen):
        return []
    both = pd.concat([found, seen.assign(label=seen["label"] + ", test molecules seen")])
    rows = []
    for name in _labels(seen):
        for fraction, row in differences(both, f"{name}, test molecules seen", name).iterrows():
            shown = interval(row["mean"], row["low"], row["high"], 3)
            rows.append([name, _percent(float(fraction)), f"{row['n_sets']:.0f}, {row['n']:.0f}", shown])
    return [
        "### What it does to leave test molecules in pretraining",
        "",
        "Difference to the same arm with test molecules removed; related assays are left out in both.",
        "",
        *table(["arm", "training molecules", "over", "seen less removed"], rows),
        "",
    ]
