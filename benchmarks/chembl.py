"""ChEMBL and other bioactivity: what pretraining is worth, at 1 to 100 % of the training molecules.

    python benchmarks/chembl.py                the default breadth
    python benchmarks/chembl.py --quick        a few sets and epochs, to see that it runs
    python benchmarks/chembl.py --pretrained my.safetensors

A killed run goes on where it ended. Results go to benchmarks/results; report.py makes tables of them.
"""

from __future__ import annotations

from qsar.arms import FURTHER, LARGE, MAIN
from qsar.bench import main, parser
from qsar.tasks import Spec

MLP = "embedding + MLP [distilled]"
# of hundreds of tasks, for which forests and support vector machines take long
WIDE = ("scratch", "fine-tuned [distilled]", MLP, "ECFP + forest", "cell count + linear")
SETS = {
    "bio_chembl2k": Spec("classification"),
    # large, or of hundreds of tasks: all training molecules only, and fewer pairs of split and seed
    "bio_broad6k": Spec("classification", fractions=(1.0,), pairs="published", arms=(*LARGE, MLP)),
    "bio_toxcast617": Spec("classification", fractions=(1.0,), pairs="published", arms=WIDE),
    "bio_hofmarcher209": Spec("classification", fractions=(1.0,), pairs="diagonal", arms=WIDE),
    "bio_moshkov250": Spec("classification", fractions=(1.0,), pairs="diagonal", arms=WIDE),
    "ace_moleculeace25": Spec("regression", label="y", by="meta_target", fractions=(1.0,), pairs="one", arms=LARGE),
}
# [toxcast] is among the further arms; these show what is left of it without the relatives of a task's protein
FAMILIES = [
    f"{name} [{corpus}]"
    for corpus in ("toxcast other families", "toxcast thinned")
    for name in ("fine-tuned", "embedding + SVM")
]
ARMS = dict.fromkeys(MAIN, "all") | dict.fromkeys((*FURTHER, *FAMILIES, "cell count + linear"), "diagonal")
ARMS |= {MLP: "all", "chemprop": "one"}
QUICK = ["bio_chembl2k"]

if __name__ == "__main__":
    main("chembl", SETS, ARMS, QUICK, parser(__doc__).parse_args())
