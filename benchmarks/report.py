"""Make docs/benchmarks.md, and the tables of README.md and docs/evidence.md, from the figures in benchmarks/results.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import claims
import numpy as np
import pictures
from common import RESULTS, ROOT, mean_std, provenance, table
from domain import rows_of as domain_rows
from qsar.section import section as qsar_section
from qsar.summary import compared
from retrieval import UNSCALED, pools_of, retrieval_table, sizes_table
from scaling_laws import MOST_EPOCHS, N_FEATURES, N_LABELLED
from scaling_laws import shown as scaling_table

RETRIEVAL = """
Molecules are held out by the first block of the InChIKey. Figures are means of both directions, with the standard
deviation of the seeds. The score is 1 − 2 × normalised rank among all held-out molecules; the last column is the
score of molecules (molecule → profile) whose Tanimoto similarity to all of training is below 0.4. `default` is
`MoCoPEmbedder()`, `paper` is `MoCoPEmbedder.paper(max_epochs=200)`, `ridge` is `ProfileKernelRidge` with the kernel
or the features named, and `5 nearest neighbours` is `ProfileNeighbors()`. The strength of the regularisation is
chosen by cross-validation on training molecules. All correct cosines for hubs, except the paper, the gated network,
and what says `without local scaling`. `from distilled` starts from the model of that name, with a learning rate of
3e-4. MiniMol was pretrained on labelled assays, `distilled` is its student. `paper` on COMAS is of an earlier run, in
which scores were not measured.
""".strip()
FROZEN = """
Mean of twelve ADME and toxicity sets of TDC (AUROC of 8, Spearman's correlation of 4) by share of the training
molecules, three seeds, published splits. SVM: RBF kernel on blocks of columns that weigh alike. ECFP: logarithms of
counts. *Forest and SVM*: their mean, of classes that of the ranks. *PLS*: 2, 4 or 6 components, by cross-validation.
`structures` is the encoder of `cells` before it saw profiles, and `cells_paired` after it, both made again;
`cells_shuffled` saw the profiles of other molecules, `cells_less_structure` went on with a tenth of the weight on
structures, and `cells_alone` began from random weights and saw profiles only (`benchmarks/models/cells.py --controls`).
No molecule of these sets took part in the pretraining of `distilled` and `cells`. MiniMol, and `distilled` through it,
have seen labelled assays.
""".strip()
DOMAIN = """
Mean absolute error of an SVM on the embedding of `distilled`, inside and outside of `ApplicabilityDomain()` and
`ApplicabilityDomain("embedding", embedder="distilled")` with their default parameters, fitted to the molecules of
training. Each molecule is tested once, in five parts of whole Bemis-Murcko scaffolds. The sets were chosen by what they
measure: a physical property, metabolism, and potency at one protein. Errors have the unit of the labels (logarithms).
""".strip()
FROZEN_MOLECULEACE = """
Mean RMSE of the 25 targets of MoleculeACE (pKi or pEC50, published splits with activity cliffs; lower is better, so a
difference below 0 is a gain), one random part of the training molecules. SVM as above. No molecule of these sets took
part in the pretraining of `distilled`.
""".strip()
FROZEN_LARGER = """
Mean of eighteen larger sets of TDC, PharmaBench and MoleculeNet (AUROC, Spearman's correlation) with a tenth of the
training molecules, and of the twelve of them of up to 8,000 molecules with all; one random part, published splits. No
test molecule of these sets took part in the pretraining of `distilled`.
""".strip()
CORPORA_IN_WORDS = {
    "COMAS": "Cell Painting profiles that come with the package (`load_comas`), 15 % of the molecules held out.",
    "NCI-60": (
        "Growth of 60 tumour cell lines: cellular response profiles, not morphology. 10 % of the molecules held out."
    ),
}


def one_table(title: str, figures: dict[str, Any], text: str, header: list[str], rows: list[list[str]]) -> list[str]:
    """A section of one table, with how it was measured."""
    return [f"## {title}", "", provenance(figures), "", *text.splitlines(), "", *table(header, rows), ""]


def retrieval(figures: dict[str, Any]) -> list[str]:
    """Tables of retrieval, one per corpus and pool, and of the downstream tasks."""
    lines = ["## Retrieval of measured profiles", "", provenance(figures), ""]
    lines += [*RETRIEVAL.splitlines(), ""]
    for corpus, runs in figures["retrieval"].items():
        share = figures["seen_by_the_student"][corpus]
        seen = f"`distilled` has seen the bare structures, without profiles, of {share:.0%} of these."
        lines += [f"### {corpus}", "", f"{CORPORA_IN_WORDS[corpus]} {seen}", ""]
        scaled = {arm: own for arm, own in runs.items() if UNSCALED not in arm}
        for pool in pools_of(runs):
            shown = runs if pool == "all" else scaled
            sizes = [int(run[pool]["n_candidates"]) for own in runs.values() for run in own]
            size = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
            lines += [f"Pool: {pool}, {size} held-out molecules.", "", *table(*retrieval_table(shown, pool)), ""]
        if parts := sizes_table(scaled):
            lines += ["By share of the corpus that was learned from; the same molecules are held out.", ""]
            lines += [*table(*parts), ""]
    lines += [
        "Random forests on published splits, test molecules removed from pretraining: AUROC; for caco2, Spearman's"
    ]
    lines += ["rank correlation.", ""]
    tasks = figures["tasks"]
    arms = [name for name in next(iter(tasks.values())) if name != "removed_from_pretraining"]
    lines += [
        *table(["task", *arms], [[task, *(f"{row[arm]:.3f}" for arm in arms)] for task, row in tasks.items()]),
        "",
    ]
    return lines


def frozen(figures: dict[str, Any], title: str = "Frozen representations", text: str = FROZEN) -> list[str]:
    """Tables of frozen representations with one head."""
    fractions = list(next(iter(figures["means"].values())))
    rows = [[arm, *(f"{row[f]:.3f}" for f in fractions)] for arm, row in figures["means"].items()]
    return [
        f"## {title}",
        "",
        provenance(figures),
        "",
        *text.splitlines(),
        "",
        *table(["arm", *fractions], rows),
        "",
        "Paired differences: the mean over the sets with its 95 % interval (Student, the sets as units), and the "
        "number of sets with a difference above 0.",
        "",
        *table(
            ["difference", *fractions],
            [[name, *map(compared, own.values())] for name, own in figures["differences"].items()],
        ),
        "",
    ]


def domain(figures: dict[str, Any]) -> list[str]:
    """Table of errors inside and outside of the applicability domain."""
    return one_table("Applicability domain", figures, DOMAIN, *domain_rows(figures["sets"]))


def throughput(figures: dict[str, Any]) -> list[str]:
    """Tables of rates."""
    size = ", ".join(f"{name} {value:.0f}" for name, value in figures["bytes_per_molecule"].items())
    lines = ["## Speed", "", provenance(figures), ""]
    lines += [
        f"{figures['molecules']} structures with {figures['atoms_per_molecule']:.1f} atoms on average; bytes per "
        f"featurised molecule: {size}.",
        "",
    ]
    titles = {
        "smiles_to_graph": "SMILES → graph, one process",
        "smiles_to_graph_nci": "SMILES → graph, one process, NCI structures",
        "smiles_to_embedding": "SMILES → vector",
        "student": "SMILES → vector, the model `distilled` and its teacher, one process",
        "pretraining_pairs": "Pretraining pairs",
        "training_precision": "Pretraining pairs of the default recipe, by precision",
    }
    titles = {key: title for key, title in titles.items() if key in figures}
    for key, title in titles.items():
        rows = [[name, *(f"{value:,.2f}" for value in row.values())] for name, row in figures[key].items()]
        reference = list(next(iter(figures[key].values())))[1].removeprefix("ratio_to_")
        lines += [f"{title}.", "", *table(["", "per second", f"÷ {reference}"], rows), ""]
    panels = {
        f"{title}, per second": {name: row["per_second"] for name, row in figures[key].items()}
        for key, title in titles.items()
    }
    pictures.rates(panels, ROOT / "docs" / "throughput.svg")
    return [*lines, "![rates](throughput.svg)", ""]


def first_vectors(figures: dict[str, Any]) -> list[str]:
    """Size of the wheel, and seconds until the first vectors."""
    wheel, models, data = (figures[name] / 1e6 for name in ("wheel", "models", "data"))
    text = (
        f"The wheel has {wheel:.1f} MB: {models:.1f} MB of models, {data:.1f} MB of data. Seconds of a new process, "
        f"median of five, for {figures['n_molecules']:,} structures of {figures['molecules']}: imports, then reading "
        "the model and embedding."
    )
    rows = [[name, *(f"{value:.2f}" for value in own.values())] for name, own in figures["seconds"].items()]
    return one_table("First vectors", figures, text, ["model", "imports", "vectors"], rows)


def library(figures: dict[str, Any]) -> list[str]:
    """Rate and memory of embedding a library, by its size."""
    rows = [[f"{value:,.0f}" for value in run.values()] for run in figures["runs"]]
    text = (
        f"The paper's network, {figures['n_jobs']} processes; {figures['distinct']:,} structures of "
        f"{figures['source']}, repeated in random order. Peak memory of all processes without pages of files, "
        "less the memory before, and less the array of 1,024 float32 per molecule that is returned."
    )
    return one_table(
        "Embedding a large library",
        figures,
        text,
        ["molecules", "per second", "output, MiB", "memory beyond it, MiB"],
        rows,
    )


def loop(figures: dict[str, Any]) -> list[str]:
    """Share of the pretraining loop that is forward and backward pass and step."""
    rows = [
        [
            r["recipe"],
            f"{r['batch_size']:,}",
            f"{r['pairs_per_second']:,.0f}",
            f"{100 * (1 - r['share_of_bound']):.1f} %",
        ]
        for r in figures["runs"]
    ]
    text = (
        "Elsewhere: the share of the loop that is not forward pass, backward pass and step, by the same steps on "
        "batches that were made before."
    )
    return one_table(
        f"The pretraining loop on {'a GPU' if figures['machine']['gpu'] else 'a CPU'}",
        figures,
        text,
        ["recipe", "batch", "pairs/s", "elsewhere"],
        rows,
    )


def finetuning_speed(figures: dict[str, Any]) -> list[str]:
    """Table of training rates beside chemprop."""
    rows = [
        [
            f"{row['batch_size']}",
            *(f"{rate:,.0f}" for rate in row["molecules_per_second"].values()),
            f"{row['epoch_ratio']:.1f}",
            f"{row['fit_ratio']:.1f}",
        ]
        for row in figures["rounds"]
    ]
    text = (
        f"{figures['molecules']} molecules, one binary task, both with their default network; molecules per second of "
        f"an epoch, graphs made before; and whole fits of {figures['epochs']} epochs from SMILES. Medians of "
        "interleaved rounds."
    )
    return one_table(
        "Fine-tuning speed",
        figures,
        text,
        ["batch", *figures["rounds"][0]["molecules_per_second"], "ratio", "ratio of whole fits"],
        rows,
    )


def scale(figures: dict[str, Any]) -> list[str]:
    """Tables of a corpus of JUMP's size, and of parts of it."""
    lines = ["## A corpus of JUMP-CP's size", "", provenance(figures), ""]
    lines += [
        "Simulated plates on the plate maps and structures of JUMP-CP (`benchmarks/simulation`). Memory is the "
        "peak of the process and its children; pages of files, such as the store's, are not "
        "counted. A build reads raw plates, normalises, filters and stores them, in two processes.",
        "",
    ]
    built, trained = [], []
    for share, phases in sorted(figures["runs"].items(), key=lambda item: float(item[0])):
        report, build = phases["build"]["report"], phases["build"]
        built.append(
            [
                share,
                *(f"{n:,}" for n in (report["molecules"], report["fates"]["stored"], report["features"])),
                f"{build['seconds']:,.0f} s",
                f"{build['peak_gib']:.2f} GiB",
                f"{build['gb']:.2f} GB",
                f"{phases['open']['open_seconds']:.3f} s",
            ]
        )
        for recipe in ("default", "paper"):
            run = phases[recipe]
            trained.append(
                [
                    share,
                    recipe,
                    f"{run['steps']}",
                    f"{run['pairs_per_second']:,.0f}",
                    f"{run['microseconds_per_pair']:.0f}",
                    f"{run['waiting_share']:.1%}",
                    f"{run['peak_gib']:.2f} GiB",
                    f"{run['seconds_before_training']:.0f} s",
                ]
            )
    header = ["share", "molecules", "wells", "features", "build", "memory", "disk", "opening"]
    lines += [
        *table(header, built),
        "",
        "Pretraining from the store; at full size `paper` reads its profiles from the disk, elsewhere they fit into "
        "memory once transformed. Phases were measured one by one, the training without other load.",
        "",
    ]
    header = ["share", "recipe", "steps", "pairs/s", "µs a pair", "waiting for data", "memory", "before the first step"]
    return [*lines, *table(header, trained), ""]


def assembled(figures: dict[str, Any]) -> list[str]:
    """Table of the files of profiles that became a corpus a block at a time."""
    rows = []
    for name, run in figures["runs"].items():
        report, build = run["build"]["report"], run["build"]
        rows.append(
            [
                name.split()[1],
                f"{run['make']['gb']:.2f} GB",
                f"{report['molecules']:,}",
                f"{report['fates']['stored']:,}",
                f"{build['peak_gib']:.2f} GiB",
                f"{run['nothing']['peak_gib']:.2f} GiB",
                f"{build['cpu_seconds']:,.0f} s",
                f"{run['mb_per_cpu_second']:.0f} MB/s",
            ]
        )
    header = ["numbers in", "file", "molecules", "wells", "memory", "of it imports", "build", "rate"]
    text = (
        "Random numbers for the wells of JUMP-CP, in one row group. Memory is as above. The build parses each molecule "
        "once, whatever the size of the file. Time is what the one process computed: the machine had other work beside "
        "it."
    )
    return one_table("One assembled file, as JUMP publishes them", figures, text, header, rows)


def paper_tenth(figures: dict[str, Any]) -> list[str]:
    """What a tenth of the paper's protocol takes, and how it went on after kills."""
    rows = [
        [
            name,
            f"{step['minutes']:.1f}",
            f"{step['core_minutes']:.1f}" if "core_minutes" in step else "–",
            f"{step['peak_gib']:.2f} GiB",
            step.get("killed", "–"),
            step.get("kept", "–"),
        ]
        for name, step in figures["steps"].items()
    ]
    text = (
        f"{figures['plates']} simulated plates of JUMP-CP with 3,475 features; {figures['molecules']:,} molecules with "
        f"{figures['tasks']:,} tasks in the form of ChEMBL 20. One process, on cores that other work shared. SIGKILL "
        "ended each step once, and the same command was given again. Memory is the peak of the proportional set size "
        "of all processes, pages of files among it. Minutes are those of all runs together; `of a core` is what the "
        "run that ended the step computed."
    )
    return one_table(
        "A tenth of the paper's protocol, killed in each step",
        figures,
        text,
        ["step", "minutes", "of a core", "memory", "killed", "kept when it went on"],
        rows,
    )


def scale_out(figures: dict[str, Any]) -> list[str]:
    """Ray and Dask with a worker that was killed."""
    rows = [
        [
            name.split()[0],
            f"{run['molecules']:,}",
            f"{run['seconds']:,.0f} s",
            f"{run['molecules'] / run['seconds']:,.0f}",
            f"{run['killed_after']} of {run['parts']}",
            f"{run['before_gib']:.2f} GiB",
            f"{run['peak_gib']:.2f} GiB",
        ]
        for name, run in figures["runs"].items()
    ]
    text = (
        f"`docs/examples/ray_embed.py` and `dask_embed.py` with the model `{figures['model']}` on structures of "
        f"{figures['source']} behind alkyl chains, two workers of one thread. One worker got SIGKILL when so many "
        "parts were written. All rows came out, in order; those that are not molecules, and no others, are NaN; and "
        "2,000 rows have the values of one process. Memory is the peak of the proportional set size of all processes, "
        "`before` until the first part was written. The machine had other work beside it."
    )
    return one_table(
        "Ray and Dask, with a worker that is killed",
        figures,
        text,
        ["", "molecules", "time", "per second", "killed after", "before", "peak"],
        rows,
    )


def simulated(figures: dict[str, Any]) -> list[str]:
    """Table of retrieval on a simulated corpus, beside the planted optimum."""
    rows = [
        [
            arm,
            pool,
            f"{np.mean([run['n_candidates'] for run in runs]):.0f}",
            mean_std(run["top1"] for run in runs),
            f"{np.mean([run['chance_top1'] for run in runs]):.3f}",
            mean_std(run["normalized_rank"] for run in runs),
        ]
        for arm, pools in figures["retrieval"].items()
        for pool, runs in pools.items()
    ]
    text = (
        f"{figures['training_molecules']:,} molecules in {figures['training_wells']:,} wells to train on, "
        f"{figures['epochs']} epochs of the default recipe with plain cosines; a tenth of the molecules held out, of "
        "which the active ones are searched. Pools: all of them, by the mean of their wells; those of one source, or "
        "of one plate, by the wells there; and as many as on a plate, one well each, from plates of all kinds."
    )
    return one_table(
        "A simulated tenth of JUMP-CP, and the planted optimum",
        figures,
        text,
        ["arm", "pool", "candidates", "top-1", "chance", "normalised rank"],
        rows,
    )


def gridsearch(figures: dict[str, Any]) -> list[str]:
    """What a grid search with a cache costs beside its pretrainings."""
    seconds = figures["seconds"]
    least = seconds["pretrainings"]
    rows = [[name, f"{s:.1f}", f"{s / least:.2f}"] for name, s in seconds.items()]
    text = (
        f"{figures['n_candidates']} pretrainings on {figures['n_molecules']} molecules, {figures['max_epochs']} epochs "
        f"each, alone and in a grid search with {figures['n_folds']} folds and `memory`; and what its random forests "
        "cost alone."
    )
    return one_table("A grid search with a cache", figures, text, ["", "seconds", "÷ pretrainings"], rows)


def scaling_laws(figures: dict[str, Any]) -> list[str]:
    """Retrieval and transfer by the size of a simulated corpus."""
    text = (
        f"Parts of JUMP, simulated on its structures and plate maps with {N_FEATURES} features; each training sees "
        f"{figures['pairs_seen']:,} pairs, of at most {MOST_EPOCHS} epochs. A tenth of the molecules of the largest "
        "part is held out of all, and the active ones are retrieved: all of them, and within plates. Planted biology: "
        "R² of a support vector machine on the frozen representation of half of the held-out molecules (at most "
        f"{N_LABELLED}), on the others. Beside the network of the default stand descriptors and ECFP."
    )
    return one_table(
        "Retrieval and transfer against the size of the corpus, simulated",
        figures,
        text,
        *scaling_table(figures["recipes"]),
    )


def main() -> None:
    sections: dict[str, Callable[[dict[str, Any]], list[str]]] = {
        "retrieval": retrieval,
        "frozen": frozen,
        "frozen_moleculeace": partial(frozen, title="Frozen representations on MoleculeACE", text=FROZEN_MOLECULEACE),
        "frozen_larger": partial(frozen, title="Frozen representations on larger sets", text=FROZEN_LARGER),
        "domain": domain,
        "throughput": throughput,
        "first_vectors": first_vectors,
        "library": library,
        "loop": loop,
        "gpu": loop,
        "finetuning_speed": finetuning_speed,
        "scale": scale,
        "assembled": assembled,
        "paper_tenth": paper_tenth,
        "scale_out": scale_out,
        "simulated": simulated,
        "scaling_laws": scaling_laws,
        "gridsearch": gridsearch,
    }
    lines = [
        "# Benchmarks",
        "",
        "Made by `python benchmarks/report.py` from `benchmarks/results`; not typed by hand.",
        "",
    ]
    for title, name in {"Pharmacokinetics and ADME": "pk", "ChEMBL and other bioactivity": "chembl"}.items():
        lines += qsar_section(title, name, RESULTS, ROOT / "docs")
    for name, section in sections.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            lines += section(json.loads(path.read_text()))
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(lines).rstrip() + "\n")
    claims.fill()
    print("written: docs/benchmarks.md, and the tables of", *(path.name for path in claims.DOCUMENTS))


if __name__ == "__main__":
    main()
