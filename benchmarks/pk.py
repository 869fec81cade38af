"""Pharmacokinetics and ADME: what pretraining is worth, at 1 to 100 % of the training molecules.

    python benchmarks/pk.py                    the default breadth
    python benchmarks/pk.py --quick            a few sets and epochs, to see that it runs
    python benchmarks/pk.py --sets tdc_herg --arms scratch,fine-tuned --corpora toxcast
    python benchmarks/pk.py --pretrained my.safetensors

A killed run goes on where it ended. Results go to benchmarks/results; report.py makes tables of them.
"""

from __future__ import annotations

from qsar.arms import FURTHER, LARGE, MAIN
from qsar.bench import main, parser
from qsar.tasks import Spec

CURVES = {
    f"tdc_{name}": Spec("classification")
    for name in (
        "hia_hou pgp_broccatelli bbb_martins herg dili cyp2c9_substrate_carbonmangels cyp2d6_substrate_carbonmangels "
        "cyp3a4_substrate_carbonmangels"
    ).split()
} | {
    "tdc_caco2_wang": Spec("regression"),
    "tdc_vdss_lombardo": Spec("regression", log10=True),
    "tdc_half_life_obach": Spec("regression", log10=True),
    "tdc_clearance_microsome_az": Spec("regression"),
}
# Larger sets, and sets of several tasks: all training molecules of the published split only
PUBLISHED = {
    name: Spec(
        "regression",
        fractions=(1.0,),
        pairs="published",
        arms=LARGE,
        log10="pk_" in name,
        drop_overlap="pk_" in name,
    )
    for name in (
        "tdc_lipophilicity_astrazeneca tdc_ppbr_az adme_biogen6 adme_fang_HLM adme_fang_Sol pk_human5_lombardo"
    ).split()
}
ARMS = dict.fromkeys(MAIN, "all") | dict.fromkeys(FURTHER, "diagonal") | {"chemprop": "one"}
QUICK = ["tdc_hia_hou", "tdc_herg", "tdc_caco2_wang"]

if __name__ == "__main__":
    main("pk", CURVES | PUBLISHED, ARMS, QUICK, parser(__doc__).parse_args())
