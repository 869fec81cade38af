"""The parent of a molecule: its main fragment, neutral where it can be."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.rdMolDescriptors import CalcExactMolWt

# Counter-ions and solvents, as their neutral forms without stereochemistry. They are the parent of nothing but
# mixtures of themselves. After the salts of drugs in use (Stahl and Wermuth, Handbook of Pharmaceutical Salts) and the
# residual solvents of ICH Q3C; acids that are drugs themselves, as benzoic and salicylic acid, are left out.
_COMMON = """
    O Cl Br I F N [Na+] [K+] [Li+] [Ca+2] [Mg+2] [Zn+2] [Al+3] [Cs+] [Ag+] [Ba+2] [Na] [K] [Li] [NH4+]
    O=S(=O)(O)O O=P(O)(O)O O=[N+]([O-])O [O-][Cl+3]([O-])([O-])O O=C(O)O N#CS OB(O)O F[P-](F)(F)(F)(F)F F[B-](F)(F)F
    CS(=O)(=O)O CCS(=O)(=O)O Cc1ccc(S(=O)(=O)O)cc1 O=S(=O)(O)c1ccccc1 O=S(=O)(O)C(F)(F)F O=S(=O)(O)CCO
    O=S(=O)(O)CCS(=O)(=O)O O=S(=O)(O)c1cccc2ccccc12 O=S(=O)(O)c1ccc2ccccc2c1 O=S(=O)(O)c1cccc2c1cccc2S(=O)(=O)O
    CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2 COS(=O)(=O)O CCOS(=O)(=O)O
    CC(=O)O O=CO O=C(O)C(F)(F)F O=C(O)C(=O)O O=C(O)CC(=O)O O=C(O)CCC(=O)O O=C(O)C=CC(=O)O O=C(O)C(O)C(O)C(=O)O
    O=C(O)CC(O)(CC(=O)O)C(=O)O O=C(O)CC(O)C(=O)O CC(O)C(=O)O O=C(O)CO O=C(O)C(O)c1ccccc1
    O=C(O)C(O)C(O)C(O)C(O)CO OCC(O)C(O)C(O)C(O)C(=O)O O=C(O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O
    CNCC(O)C(O)C(O)C(O)CO NC(CO)(CO)CO OCCNCCO NCCO OCCN(CCO)CCO CCN(CC)CC CCNCC C[N+](C)(C)CCO CC(C)(C)N
    C1CCC(NC2CCCCC2)CC1 NCCN c1ccc(CNCCNCc2ccccc2)cc1
    CCCC[N+](CCCC)(CCCC)CCCC CC[N+](CC)(CC)CC C[N+](C)(C)C
    CO CCO CC(C)O CCCO CCCCO CC(C)=O CCC(C)=O CC#N C1CCOC1 C1COCCO1 CCOCC COC(C)(C)C CCOC(C)=O CS(C)=O CN(C)C=O
    CC(=O)N(C)C ClCCl ClC(Cl)Cl ClC(Cl)(Cl)Cl c1ccccc1 Cc1ccccc1 CCCCCC CCCCC C1CCCCC1 CN1CCCC1=O OCCO COCCOC
"""


def main_fragment(smiles: str) -> str:
    """Return the main fragment of a canonical SMILES.

    Well-known counter-ions and solvents lose to anything else; then the fragment with most heavy atoms is the parent,
    then the heaviest, then the first in alphabetical order.
    """
    return min(set(smiles.split(".")), key=_rank)


def neutral(mol: Chem.Mol) -> Chem.Mol:
    """Return a molecule without the charges that hydrogens can take away."""
    return _uncharger().uncharge(mol)


def without_common(smiles: str) -> str:
    """Leave out the fragments of any SMILES that are well-known; return it whole where not just one other is left."""
    others = {fragment for fragment in smiles.split(".") if not _is_common(fragment)}
    return others.pop() if len(others) == 1 else smiles


def _rank(smiles: str) -> tuple[bool, int, float, str]:
    fragment = Chem.MolFromSmiles(smiles)
    return _is_common(smiles), -fragment.GetNumHeavyAtoms(), -CalcExactMolWt(fragment), smiles


@lru_cache(maxsize=10_000)
def _is_common(smiles: str) -> bool:
    """Whether a SMILES by itself is a well-known counter-ion or solvent."""
    if len(smiles) > 100:  # longer than any way to write one of them
        return False
    mol = Chem.MolFromSmiles(smiles)
    return mol is not None and _identity(mol) in _common_identities()


def _identity(mol: Chem.Mol) -> str:
    return Chem.MolToSmiles(neutral(mol), isomericSmiles=False)


@cache
def _common_identities() -> frozenset[str]:
    return frozenset(_identity(Chem.MolFromSmiles(smiles)) for smiles in _COMMON.split())


@cache
def _uncharger() -> Any:
    return rdMolStandardize.Uncharger()
