"""Texts and molecules: how they are read and standardised, and the reasons of those that cannot be."""

import contextlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, RDConfig, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from mocop_sklearn.molecules import _parse as parse_module
from mocop_sklearn.molecules import canonical_smiles
from mocop_sklearn.molecules._featurize import GraphBuilder
from mocop_sklearn.molecules._parse import (
    InvalidMolecule,
    check_standardize,
    parse_molecule,
    unique_molecules,
)
from mocop_sklearn.molecules._text import split_name


def parse(value, standardize="parent"):
    return Chem.MolToSmiles(parse_molecule(value, standardize))


# ---------------------------------------------------------------------------------------------
# Standardising
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("smiles", "parent"),
    [
        ("CCN.Cl", "CCN"),
        ("CC[NH3+].[Cl-]", "CCN"),
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("CC(C)N.CC(C)N.OC(=O)c1ccccc1", "O=C(O)c1ccccc1"),
        ("[NH3+][C@@H](C)C(=O)[O-]", "C[C@H](N)C(=O)O"),
        ("[Na+].[Cl-]", "Cl"),
        ("O.CCO.O", "CCO"),
        ("C[N+](C)(C)CC([O-])=O", "C[N+](C)(C)CC(=O)[O-]"),  # betaine has no neutral form
        ("C[n+]1ccccc1.[I-]", "C[n+]1ccccc1"),
        ("C[N+](=O)[O-]", "C[N+](=O)[O-]"),
        ("CN(=O)=O", "C[N+](=O)[O-]"),
        ("[N-]=[N+]=NC", "CN=[N+]=[N-]"),
        ("OCl(=O)(=O)=O", "[O-][Cl+3]([O-])([O-])O"),
        ("F[P-](F)(F)(F)(F)F.[Na+]", "F[P-](F)(F)(F)(F)F"),
        ("[Fe+2].[CH-]1C=CC=C1.[CH-]1C=CC=C1", "c1cc[cH-]c1"),
        ("[Na+]", "[Na+]"),
        ("[Pt]", "[Pt]"),
        ("Cl[Pt](Cl)([NH3])[NH3]", "[NH3]->[Pt](<-[NH3])([Cl])[Cl]"),
        ("[13CH4]", "[13CH4]"),
        ("[2H]C([2H])O", "[2H]C([2H])O"),
        ("OC1=CC=CC=N1", "Oc1ccccn1"),  # tautomers are left alone
        ("O=C1C=CC=CN1", "O=c1cccc[nH]1"),
    ],
)
def test_parent(smiles, parent):
    assert parse(smiles) == parent
    assert parse(parent) == parent


@pytest.mark.parametrize("standardize", ["parent", None, Chem.Mol])
def test_atom_map_numbers_are_left_out(standardize):
    assert parse("[CH3:1][c:2]1[cH:3]cccc1", standardize) == "Cc1ccccc1"
    assert parse(Chem.MolFromSmiles("[13CH3:7][OH:2]"), standardize) == "[13CH3]O"


@pytest.mark.parametrize(
    ("smiles", "kept"),
    [("CCN.Cl", "CCN.Cl"), ("CC(=O)[O-].[Na+]", "CC(=O)[O-].[Na+]"), ("C1=CC=CC=C1", "c1ccccc1"), ("OCC", "CCO")],
)
def test_standardize_none(smiles, kept):
    assert parse(smiles, None) == kept


def test_standardize_by_a_function():
    def strip(mol):
        return Chem.DeleteSubstructs(mol, Chem.MolFromSmarts("[OX2]"))

    assert parse("CCO", strip) == "CC"
    with pytest.raises(InvalidMolecule, match="molecule without atoms"):
        parse_molecule("O", strip)
    with pytest.raises(InvalidMolecule, match="standardize raised KeyError: 'x'"):
        parse_molecule("O", lambda mol: {}["x"])
    with pytest.raises(InvalidMolecule, match="standardize returned str, not a molecule"):
        parse_molecule("O", Chem.MolToSmiles)


def test_check_standardize():
    for good in (None, "parent", len):
        check_standardize(good)
    for bad in ("charge", 3, True):
        with pytest.raises(ValueError, match="None, 'parent' or a callable"):
            check_standardize(bad)


@pytest.fixture(scope="module")
def library():
    """Three hundred rows of the NCI collection: salts, metals, charges, Kekulé forms."""
    with open(f"{RDConfig.RDDataDir}/NCI/first_5K.smi") as file:
        return [line.split()[0] for line in file][::16]


def graph(mol):
    builder = GraphBuilder("rich")
    builder.add(mol, Chem.MolToSmiles(mol))
    built = builder.build()
    return sorted(map(tuple, built.atoms.tolist())), sorted(built.edges.tolist())


def standardised(smiles):
    """What RDKit's standardiser makes of a molecule, by the long way."""
    fragments, uncharger = rdMolStandardize.LargestFragmentChooser(), rdMolStandardize.Uncharger()
    mol = Chem.MolFromSmiles(smiles)
    return mol and Chem.MolFromSmiles(Chem.MolToSmiles(uncharger.uncharge(fragments.choose(mol))))


def test_the_short_way_gives_the_same_as_the_standardiser(library):
    """Molecules whose text shows that they are their own parent do not pass through it."""
    n_compared = 0
    for smiles in library:
        expected = standardised(smiles)
        if expected is None:
            with pytest.raises(InvalidMolecule):
                parse_molecule(smiles)
            continue
        parsed = parse_molecule(smiles)
        assert Chem.MolToSmiles(parsed) == Chem.MolToSmiles(expected), smiles
        assert graph(parsed) == graph(expected), smiles
        n_compared += 1
    assert n_compared > 300


HYPERVALENT = ["CCOP(=O)OCC", "CS(=O)=O", "OP(=O)c1ccccc1", "CI=O", "CP", "COP(O)O"]


IDLE_STEREO = ["C[C@H](C)O", "C[C@H]1CC1", "OC[C@@H](CO)C", "C[C@@H](O)C(F)F"]


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("smiles", HYPERVALENT + IDLE_STEREO)
def test_hydrogens_that_canonical_smiles_writes_otherwise(smiles, legacy):
    before = Chem.GetUseLegacyStereoPerception()
    Chem.SetUseLegacyStereoPerception(legacy)
    try:
        assert graph(parse_molecule(smiles)) == graph(standardised(smiles))
    finally:
        Chem.SetUseLegacyStereoPerception(before)


def test_parsing_twice_changes_nothing(library):
    for value in library:
        try:
            once = parse_molecule(value)
        except InvalidMolecule:
            continue
        assert parse(once) == Chem.MolToSmiles(once)
        assert graph(parse_molecule(once)) == graph(once)


@given(index=st.integers(0, 10**6), seed=st.integers(1, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_the_order_of_atoms_does_not_matter(library, index, seed):
    smiles = library[index % len(library)]
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return
    shuffled = Chem.MolToRandomSmilesVect(mol, 1, randomSeed=seed)[0]
    assert parse(shuffled) == parse(smiles)
    assert graph(parse_molecule(shuffled)) == graph(parse_molecule(smiles))


# ---------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "CC(=O)Oc1ccccc1C(=O)O",
        "CC(=O)OC1=C(C=CC=C1)C(O)=O",
        "[CH3][C](=[O])[O][c]1[cH][cH][cH][cH][c]1[C](=[O])[OH]",
        "  CC(=O)Oc1ccccc1C(=O)O\n",
        "CC(=O)Oc1ccccc1C(=O)O aspirin",
        np.str_("CC(=O)Oc1ccccc1C(=O)O"),
        "CC(=O)Oc1ccccc1C(=O)O |$Me;;;;;;;;;;;;$|",
        "CC(=O)Oc1ccccc1C(=O)O |(0,0,0.1|",  # RDKit refuses the coordinates of too few atoms
        "CC(=O)Oc1ccccc1C(=O)O |no such extension|",
        "InChI=1S/C9H8O4/c1-6(10)13-8-5-3-2-4-7(8)9(11)12/h2-5H,1H3,(H,11,12)",
        Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"),
        Chem.AddHs(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")),
        Chem.MolFromSmiles("CC(=O)OC1=CC=CC=C1C(O)=O", sanitize=False),
        Chem.RWMol(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")),
    ],
    ids=lambda v: repr(v) if isinstance(v, str) else type(v).__name__,
)
def test_every_way_to_name_a_molecule(value):
    assert parse(value) == "CC(=O)Oc1ccccc1C(=O)O"
    assert parse(value, None) == "CC(=O)Oc1ccccc1C(=O)O"
    assert graph(parse_molecule(value)) == graph(parse_molecule("CC(=O)Oc1ccccc1C(=O)O"))


def test_rdkit_refuses_such_cxsmiles_when_strict():
    """Or the case above would not be one."""
    strict = Chem.SmilesParserParams()
    strict.strictCXSMILES = True
    for extension in ("|(0,0,0.1|", "|no such extension|"):
        assert Chem.MolFromSmiles(f"CC(=O)Oc1ccccc1C(=O)O {extension}", strict) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty string"),
        (" \t", "empty string"),
        (None, "missing value"),
        (float("nan"), "missing value"),
        (np.float32("nan"), "missing value"),
        (pd.NA, "missing value"),
        ("ethanol", "not a valid SMILES"),
        ("CC(", "not a valid SMILES"),
        ("C1CC", "not a valid SMILES"),
        ("InChI=1S/nonsense", "not a valid InChI"),
        ("C(C)(C)(C)(C)C", r"Explicit valence for atom # 0 C, 5, is greater than permitted"),
        ("c1cccc1", "Can't kekulize"),
        (Chem.Mol(), "molecule without atoms"),
        (b"CCO", "neither a SMILES string nor an RDKit molecule but bytes"),
        (3.5, "neither a SMILES string nor an RDKit molecule but float"),
        (np.array(["C", "C"]), "neither a SMILES string nor an RDKit molecule but ndarray"),
        (["C", "C"], "neither a SMILES string nor an RDKit molecule but list"),
        (Chem.MolFromSmarts("[#6]-C"), None),
    ],
)
def test_reasons(value, reason):
    if reason is None:  # a query is read as what it looks like, or refused, but never crashes
        with contextlib.suppress(InvalidMolecule):
            parse_molecule(value)
    else:
        with pytest.raises(InvalidMolecule, match=reason):
            parse_molecule(value)


@pytest.mark.parametrize(
    "smiles", ["O=C(C)OC2=Cs3N=CC=CC3=CC=C2", "OC1=Cs2C=CC=NC2=C(O)NBN1", "CN2N=C->3=C(NC)N=CN=C23"]
)
def test_rings_that_rdkit_writes_unreadably(smiles):
    with pytest.raises(InvalidMolecule, match="Can't kekulize mol"):
        parse_molecule(smiles)
    assert canonical_smiles([smiles, "c1ccsc1"]) == [None, "c1ccsc1"]


def test_a_molecule_of_too_many_atoms(monkeypatch):
    with pytest.raises(InvalidMolecule, match="32768 atoms, more than max_atoms=32767"):
        parse_molecule("C" * 32768)
    monkeypatch.setattr(parse_module, "MAX_ATOMS", 32)  # RDKit takes minutes to write 33,000 atoms
    with pytest.raises(InvalidMolecule, match="33 atoms, more than 32"):
        parse_molecule("C([2H])([2H])" * 11)


@pytest.mark.parametrize(
    "value",
    [
        "CCCCO",
        "CCCCO a name of carbons",
        "[2H]C([H])([2H])CCCO",
        "Cl[Hg]BrC[He]",
        "CCCCO |$CCCC$|",
        "CC.CCO.[H+]",
        "c1ccsc1",
        "InChI=1S/C4H10O/c1-2-3-4-5/h5H,2-4H2,1H3",
        Chem.AddHs(Chem.MolFromSmiles("CCCCO")),
        Chem.MolFromSmiles("CC(=O)[O-].[Na+]"),
    ],
)
def test_max_atoms_counts_what_is_given_without_hydrogens(value):
    if value != "Cl[Hg]BrC[He]":
        parse_molecule(value, None, max_atoms=5)
    with pytest.raises(InvalidMolecule, match="5 atoms, more than max_atoms=4"):
        parse_molecule(value, None, max_atoms=4)


def test_canonical_smiles_has_a_bound():
    assert canonical_smiles(["OCC", "OCCC"], max_atoms=3) == ["CCO", None]
    with pytest.raises(ValueError, match="max_atoms == 40000, must be <= 32767"):
        canonical_smiles(["CCO"], max_atoms=40_000)


def test_molecules_that_are_passed_in_stay_as_they_are():
    kinds = Chem.PropertyPickleOptions
    kept = int(kinds.MolProps | kinds.AtomProps | kinds.BondProps)
    mols = [
        Chem.AddHs(Chem.MolFromSmiles("CC[NH3+].[Cl-]")),
        Chem.MolFromSmiles("C[C@H](N)C(=O)[O-]", sanitize=False),
        Chem.MolFromSmiles("C/C=C/C"),
    ]
    for mol in mols:
        mol.SetProp("source", "a vendor")
    before = [mol.ToBinary(kept) for mol in mols]
    for standardize in ("parent", None, Chem.AddHs):
        for mol in mols:
            parse_molecule(mol, standardize)
    canonical_smiles(mols)
    unique_molecules(mols)
    assert [mol.ToBinary(kept) for mol in mols] == before


def test_the_logs_of_rdkit_stay_as_they_were():
    before = rdBase.LogStatus()
    for value in ("CCO", "junk", "C(C)(C)(C)(C)C", "CC[NH3+].[Cl-]", "InChI=1S/nonsense", None):
        with contextlib.suppress(InvalidMolecule):
            parse_molecule(value)
    assert rdBase.LogStatus() == before


# ---------------------------------------------------------------------------------------------
# One text, one molecule
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("salt", "drug"),
    [
        # with the counter-ion having more atoms, when hydrogens count
        (
            "CNC[C@H](O)[C@@H](O)[C@H](O)[C@H](O)CO.O=C(O)c1ccc2nc(-c3cc(Cl)cc(Cl)c3)oc2c1",
            "O=C(O)c1ccc2nc(-c3cc(Cl)cc(Cl)c3)oc2c1",
        ),
        ("CCCC[N+](CCCC)(CCCC)CCCC.O=C([O-])Cc1ccccc1Nc1c(Cl)cccc1Cl", "O=C(O)Cc1ccccc1Nc1c(Cl)cccc1Cl"),
        # well-known acids that are larger than the drug
        ("NCCc1ccccc1.OC(=O)CC(O)(CC(=O)O)C(=O)O", "NCCc1ccccc1"),
        ("CNC.OC(=O)/C=C/C(O)=O", "CNC"),
        # neither is well-known; a hydrogen is spelled out
        ("CC[CH](O)CCC.C", "CCC(O)CCC"),
        # only well-known ones
        ("CS(C)=O.O", "CS(C)=O"),
        ("[K+].[Br-]", "Br"),
    ],
)
def test_the_parent_is_the_drug(salt, drug):
    assert parse(salt) == Chem.CanonSmiles(drug)
    assert parse(".".join(salt.split(".")[::-1])) == Chem.CanonSmiles(drug)


@pytest.mark.parametrize("text", ["CCØ", "CC\N{NO-BREAK SPACE}C", "CC\0C", "CC\N{CYRILLIC CAPITAL LETTER O}"])
def test_a_text_is_a_molecule_only_as_a_whole(text):
    with pytest.raises(InvalidMolecule, match="cannot be in one"):
        parse_molecule(text)


def test_a_name_may_hold_any_letter():
    assert parse("CCO Äthanol") == "CCO"


def test_an_extension_is_read_and_a_name_is_not():
    assert split_name("CC=CC |t:1| 2-butene") == ("CC=CC |t:1|", "2-butene")
    assert split_name(" CCO\tgrain alcohol \n") == ("CCO", "grain alcohol")
    assert split_name("CCO") == ("CCO", "")
    assert parse("CC=CC |t:1|") == parse("CC=CC |t:1| 2-butene") == "C/C=C/C"


@pytest.mark.parametrize("text", ["[H]/N=C(/C)N", "[H]/N=C(\\C)N", "BrC1=C2C=CC=CC2=CC3~C1C=CC=C3", "C[C@H](C)O"])
def test_standardising_is_a_fixed_point(text):
    once = parse_molecule(text)
    again = parse_molecule(Chem.MolToSmiles(once))
    assert Chem.MolToSmiles(again) == Chem.MolToSmiles(once)
    assert graph(again) == graph(once)


def test_an_exception_of_rdkit_is_a_reason():
    with pytest.raises(InvalidMolecule, match=r"RDKit|not a valid SMILES"):
        parse_molecule("*" + "(C)" * 200)
