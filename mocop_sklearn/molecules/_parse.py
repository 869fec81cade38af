"""Anything that names a molecule → a standardised RDKit molecule, and the policy for bad rows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
from rdkit import Chem
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

from ..utils._arrays import is_arrow
from ._standardize import main_fragment, neutral, without_common
from ._text import split_name, why_not_text

_T = TypeVar("_T")
Standardize = Literal["parent"] | Callable[[Chem.Mol], Chem.Mol] | None

# One fragment whose brackets RDKit's canonical SMILES writes as well, and that no neutralisation changes: pyrrole's
# hydrogen, stereocentres of carbon, charges of neighbours that cancel each other, cations without hydrogens, silicon,
# selenium and arsenic. Metals are left out, because their neighbours are written in brackets, too.
_PLAIN_SMILES = re.compile(
    r"(?:[^\[\].\s]++|\[nH\]|\[C@@?H?\]"
    r"|\[N\+\]\(=O\)\[O-\]|\[O-\]\[N\+\]\(=O\)|\[N\+\]\(\[O-\]\)=O|(?<==)\[N\+\]\(\[O-\]\)"
    r"|\[S\+\]\(\[O-\]\)|\[[NnOS]\+\]|\[(?:Si|Se|As)(?:H\d?)?\])+"
)
# Neutral atoms in brackets that need none unless they are radicals: [CH] and [OH], but not pyrrole's [nH].
_SPELLED_OUT = re.compile(r"\[(?!nH\])(Cl|Br|[BCNOPSFI]|[cnos])(?:H(\d?))?\](?![lr])")
_ATOM = re.compile(r"\[[^\]]*\]|Cl|Br|[BCNOPSFI]|[bcnops]|\*")
# Hydrogen atoms, marks of stereochemistry and bonds of no order, which a reading may drop.
_UNSETTLED = re.compile(r"\[\d*H\]|[@/\\~]")
# Anions, and cations with hydrogens.
_MAY_BE_NEUTRALISED = re.compile(r"-\d?\]|H\d?\+")
_HYDROGEN = re.compile(r"\[\d*H[\]+:-]")
MAX_ATOMS = np.iinfo(np.int16).max  # what a graph can number
_AS_WRITTEN: Any = Chem.SmilesParserParams()
_AS_WRITTEN.sanitize = _AS_WRITTEN.removeHs = False


class InvalidMolecule(ValueError):
    """A value that is not a molecule; the message is the reason, without the row."""


def check_molecules(X: Any) -> list[Any]:
    """Return the molecules in ``X`` as a flat list, one per row.

    Parameters
    ----------
    X : list, tuple, ndarray, Series, one-column DataFrame or (n_samples, 1) array
        SMILES strings or RDKit ``Mol`` objects, mixed as one likes.

    Returns
    -------
    list
        The ``n_samples`` values, unparsed.

    Raises
    ------
    TypeError
        When X is one string or one molecule instead of a collection of them.
    ValueError
        When X has more than one column, no rows, or is sparse.
    """
    if isinstance(X, (str, bytes, Chem.Mol)):
        raise TypeError(
            f"X must be a collection of molecules, got a single {type(X).__name__}. Wrap it in a list: [X]."
        )
    if hasattr(X, "tocsr"):
        raise TypeError("X is a sparse matrix; SMILES strings or RDKit molecules are needed.")
    X = X.to_pandas() if is_arrow(X) else X  # before pyarrow 16, a batch is not iterable
    if isinstance(X, (Mapping, Set)) or np.isscalar(X) or not (isinstance(X, Iterable) or hasattr(X, "shape")):
        raise TypeError(
            f"X must be an ordered collection of SMILES strings or RDKit molecules, got {type(X).__name__}. "
            "Pass a list or one column."
        )
    shape = getattr(X, "shape", None)
    if shape is not None:
        if len(shape) == 2 and shape[1] == 1:
            X = X.iloc[:, 0] if hasattr(X, "iloc") else X[:, 0]
        elif len(shape) == 2:
            raise ValueError(
                f"X has {shape[1]} columns, but molecules come in one. Reshape your data: pass the column that "
                'holds the SMILES, for instance X["smiles"] or X[:, 0].'
            )
        elif len(shape) != 1:
            raise ValueError(f"X must have one dimension, got an array of shape {tuple(shape)}.")
    if hasattr(X, "to_list"):
        values = X.to_list()
    elif hasattr(X, "tolist"):
        values = X.tolist()
    else:
        values = [_only_item(x) for x in X]
    if not values:
        raise ValueError("Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 molecule is required.")
    return values


def _only_item(x: Any) -> Any:
    """Unwrap the rows of a nested list ``[["CCO"], ["CCN"]]``."""
    return x[0] if isinstance(x, (list, tuple)) and len(x) == 1 else x


def check_standardize(standardize: Any) -> None:
    """Raise ``ValueError`` unless ``standardize`` is ``None``, ``"parent"`` or a callable."""
    if not (standardize is None or standardize == "parent" or callable(standardize)):
        raise ValueError(f"standardize must be None, 'parent' or a callable Mol → Mol, got {standardize!r}.")


def parse_molecule(value: Any, standardize: Standardize = "parent", max_atoms: int = MAX_ATOMS) -> Chem.Mol:
    """Return one standardised molecule.

    Every molecule passes through a SMILES string with canonically placed hydrogens, so that a
    ``Mol``, a Kekulé SMILES and a bracketed SMILES of one compound give identical graphs. Atom map
    numbers do not belong to a molecule and are left out.

    Parameters
    ----------
    value : str or Mol
        SMILES, CXSMILES (an extension that RDKit refuses is ignored), InChI, or a molecule, which is
        not changed.
    standardize : {"parent", None} or callable, default="parent"
        ``"parent"`` keeps the largest fragment and neutralises it; no tautomers.
    max_atoms : int, default=32767
        A value with more atoms than this, all its fragments together and hydrogens left out, is refused before it is
        parsed.

    Raises
    ------
    InvalidMolecule
        With the reason: wrong type, missing, no atoms, too many, syntax, valence, aromaticity.
    """
    return read_molecule(value, standardize, max_atoms)[0]


def read_molecule(value: Any, standardize: Standardize = "parent", max_atoms: int = MAX_ATOMS) -> tuple[Chem.Mol, str]:
    """Return one standardised molecule, and the SMILES that it was read from in the end."""
    reason = why_too_large(value, max_atoms)
    text = "" if reason else molecule_text(value)
    reason = reason or why_too_large(text, max_atoms)  # that of an InChI
    if reason:
        raise InvalidMolecule(reason)
    try:
        plain = None if callable(standardize) else _read_plain(text, standardize)
        mol, smiles = plain or _standardized(text, standardize)
    except (InvalidMolecule, MemoryError):
        raise
    except Exception as error:
        raise InvalidMolecule(because(error)) from error
    if mol.GetNumAtoms() > MAX_ATOMS:
        raise InvalidMolecule(f"{mol.GetNumAtoms()} atoms, more than {MAX_ATOMS}")
    return mol, smiles


def described(describe: Callable[[Chem.Mol], _T], mol: Chem.Mol) -> _T:
    """Return ``describe(mol)``.

    Raises
    ------
    InvalidMolecule
        When RDKit cannot describe the molecule, although it could read it.
    """
    try:
        return describe(mol)
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidMolecule(because(error)) from error


def why_too_large(value: Any, max_atoms: int) -> str | None:
    """Say that a value has more atoms than ``max_atoms``, without parsing it; None where it has not."""
    if isinstance(value, str):
        if len(value) <= max_atoms or value.startswith("InChI="):
            return None
        smiles = value.split(maxsplit=1)[:1]
        n_atoms = sum(not _HYDROGEN.match(token) for text in smiles for token in _ATOM.findall(text))
    elif isinstance(value, Chem.Mol) and value.GetNumAtoms() > max_atoms:
        n_atoms = sum(atom.GetAtomicNum() != 1 for atom in value.GetAtoms())
    else:
        return None
    return f"{n_atoms} atoms, more than max_atoms={max_atoms}" if n_atoms > max_atoms else None


def because(error: Exception) -> str:
    """Reason for an invalid row from an exception of RDKit, whose messages have several lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"RDKit raised {type(error).__name__}" + (f": {' '.join(lines[:2])}" if lines else "")


def _standardized(text: str, standardize: Standardize) -> tuple[Chem.Mol, str]:
    mol = _mol_from_smiles(text)
    if ":" in text:
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
    if callable(standardize):
        return _settled(Chem.MolToSmiles(_apply_callable(standardize, mol)))
    smiles = Chem.MolToSmiles(mol)
    if standardize is None:
        return _settled(smiles)
    mol, smiles = _settled(main_fragment(smiles) if "." in smiles else smiles)
    if _MAY_BE_NEUTRALISED.search(smiles):
        without_charges = Chem.MolToSmiles(neutral(mol))
        if without_charges != smiles:
            with suppress(InvalidMolecule):  # it has no neutral form, as hexafluorophosphate and cyclopentadienide
                return _settled(without_charges)
    return mol, smiles


def _settled(smiles: str) -> tuple[Chem.Mol, str]:
    """Read a canonical SMILES until RDKit writes it as it was read.

    The first reading may find that a hydrogen atom or a mark of stereochemistry means nothing. Should texts take turns,
    the first of them in alphabetical order is read.
    """
    seen: list[str] = []
    while smiles not in seen:
        mol = _mol_from_smiles(smiles)
        if not _UNSETTLED.search(smiles):
            return mol, smiles
        seen.append(smiles)
        smiles = Chem.MolToSmiles(mol)
    smiles = min(seen[seen.index(smiles) :])
    return _mol_from_smiles(smiles), smiles


def _read_plain(smiles: str, standardize: Standardize) -> tuple[Chem.Mol, str] | None:
    """Read a molecule whose text shows that it is its own parent, None where it does not show that.

    Neutral single fragments are the bulk of any library. The test of the text costs a hundredth of the standardiser.
    """
    if "~" in smiles or "->" in smiles or "<-" in smiles:
        return None
    if standardize is not None and "." in smiles and " " not in smiles:
        smiles = without_common(smiles)
    text = smiles
    if "[" in smiles or "." in smiles or " " in smiles:  # a regular expression costs a tenth of parsing
        text = _SPELLED_OUT.sub(r"\1", smiles)
        if not _PLAIN_SMILES.fullmatch(text):
            return None
    mol = Chem.MolFromSmiles(text) if "@" in text or "/" in text or "\\" in text else _read_without_stereo(text)
    if mol is None or mol.GetNumAtoms() == 0 or _is_bracketed_otherwise(text, mol):
        return None
    if text != smiles and not _has_spelled_out_hydrogens(mol, smiles):
        return None
    return mol, text


def _read_without_stereo(smiles: str) -> Chem.Mol | None:
    """Read a SMILES without marks of stereochemistry and hydrogen atoms, None where RDKit cannot.

    The search for stereochemistry and hydrogen atoms, which would find none, is a quarter of the parser's time.
    """
    mol = Chem.MolFromSmiles(smiles, _AS_WRITTEN)
    if mol is None or Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return mol


def _has_spelled_out_hydrogens(mol: Chem.Mol, smiles: str) -> bool:
    """Whether the atoms have the hydrogens that ``smiles`` spells out: those of radicals are fewer."""
    for i, token in enumerate(_ATOM.findall(smiles)):
        if len(token) > 2:
            n = _spelled_out_hydrogens(token)
            if n is not None and mol.GetAtomWithIdx(i).GetTotalNumHs() != n:
                return False
    return True


@lru_cache(maxsize=1000)
def _spelled_out_hydrogens(token: str) -> int | None:
    """Hydrogens of an atom in brackets that need not be there; None for other atoms."""
    atom = _SPELLED_OUT.fullmatch(token)
    if not atom:
        return None
    return 0 if atom[2] is None else int(atom[2] or 1)


def molecule_text(value: Any) -> str:
    """Return the SMILES of a value as it was given, without its name and without parsing it.

    Raises
    ------
    InvalidMolecule
        When the value is missing, empty, holds a character that cannot be in a SMILES, or is neither text nor a
        molecule.
    """
    if isinstance(value, str):
        text = value if value.isascii() and value.isprintable() and " " not in value else split_name(value)[0]
        if not text:
            raise InvalidMolecule("empty string")
        if text.startswith("InChI="):
            return _smiles_from_inchi(text)
        reason = why_not_text(text)
        if reason:
            raise InvalidMolecule(reason)
        return text
    if isinstance(value, Chem.Mol):
        if value.GetNumAtoms() == 0:
            raise InvalidMolecule("molecule without atoms")
        try:
            return Chem.MolToSmiles(value)
        except Exception as error:
            raise InvalidMolecule(f"RDKit cannot write this molecule as SMILES: {because(error)}") from error
    if value is None or is_scalar_nan(value) or is_pandas_na(value):
        raise InvalidMolecule("missing value")
    raise InvalidMolecule(f"neither a SMILES string nor an RDKit molecule but {type(value).__name__}")


def _smiles_from_inchi(inchi: str) -> str:
    try:
        mol = Chem.MolFromInchi(inchi)
    except Exception as error:
        raise InvalidMolecule(f"not a valid InChI: {because(error)}") from error
    if mol is None:
        raise InvalidMolecule("not a valid InChI")
    return Chem.MolToSmiles(mol)


def as_text(value: Any) -> Any:
    """Return the SMILES of a molecule object; other values as they are."""
    try:
        return molecule_text(value) if isinstance(value, Chem.Mol) else value
    except InvalidMolecule:
        return value


def unique_molecules(values: Sequence[Any]) -> tuple[list[Any], np.ndarray]:
    """Return the distinct values by their text, and for each value its place among them."""
    place: dict[Any, int] = {}
    unique: list[Any] = []
    inverse = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(map(as_text, values)):
        key = value if isinstance(value, str) else (row, None)
        if key not in place:
            place[key] = len(unique)
            unique.append(value)
        inverse[row] = place[key]
    return unique, inverse


@cache
def _parser_params(sanitize: bool) -> Chem.SmilesParserParams:
    params: Any = Chem.SmilesParserParams()
    params.strictCXSMILES = False
    params.sanitize = sanitize
    return params


def _mol_from_smiles(smiles: str) -> Chem.Mol:
    mol = Chem.MolFromSmiles(smiles, _parser_params(True))
    if mol is None:
        raise InvalidMolecule(_why_unparsable(smiles))
    if mol.GetNumAtoms() == 0:
        raise InvalidMolecule("molecule without atoms")
    return mol


def _why_unparsable(smiles: str) -> str:
    mol = Chem.MolFromSmiles(smiles, _parser_params(False))
    if mol is None:
        return "not a valid SMILES"
    try:
        problems = Chem.DetectChemistryProblems(mol)
    except Exception as error:
        return because(error)
    return problems[0].Message() if problems else "RDKit cannot sanitise it"


def _is_bracketed_otherwise(smiles: str, mol: Chem.Mol) -> Any:
    """Whether the canonical SMILES has other brackets, and so other spelled-out hydrogens, than this plain one."""
    may_be_hypervalent = any(letter in smiles for letter in "SPIsp")
    return (may_be_hypervalent and mol.HasSubstructMatch(_hypervalent())) or (
        "@" in smiles and _has_idle_stereo_bracket(mol)
    )


@cache
def _hypervalent() -> Chem.Mol:
    """Phosphorus, sulphur or iodine above its lowest valence, with a hydrogen or aromatic.

    CP(=O)C is written C[PH](C)=O. What is written of an aromatic sulphur with three neighbours may be unreadable.
    """
    return Chem.MolFromSmarts("[#15!H0!v3,#16!H0!v2,#53!H0!v1,s!D2,p!D2]")


def _has_idle_stereo_bracket(mol: Chem.Mol) -> bool:
    """Whether a bracket written for stereochemistry marks an atom that is not a stereocentre."""
    return any(
        atom.GetNoImplicit()
        and atom.GetChiralTag() == Chem.CHI_UNSPECIFIED
        and not (atom.GetIsAromatic() or atom.GetFormalCharge())
        for atom in mol.GetAtoms()
    )


def _apply_callable(standardize: Callable[[Chem.Mol], Chem.Mol], mol: Chem.Mol) -> Chem.Mol:
    try:
        result = standardize(mol)
    except Exception as error:
        raise InvalidMolecule(f"standardize raised {type(error).__name__}: {error}") from error
    if not isinstance(result, Chem.Mol):
        raise InvalidMolecule(f"standardize returned {type(result).__name__}, not a molecule")
    return result


def identity(mol: Chem.Mol) -> tuple[str, str]:
    """Canonical SMILES and connectivity key."""
    return Chem.MolToSmiles(mol), connectivity_key(mol)


def connectivity_key(mol: Chem.Mol) -> str:
    """Return the first block of the InChIKey: the connectivity, without stereochemistry or charge.

    Where InChI knows no answer (dummy atoms), the canonical SMILES without stereochemistry stands in.
    """
    key: str = Chem.MolToInchiKey(mol)
    return key[:14] if key else Chem.MolToSmiles(mol, isomericSmiles=False)


def report_invalid(
    values: Sequence[Any], reasons: Mapping[int, str], invalid: str, advice: str = "", name: str = "X"
) -> None:
    """Raise or warn about bad rows, by the policy ``invalid``.

    Parameters
    ----------
    values : list
        All rows.
    reasons : mapping of int to str
        Row index to the reason why it is not a molecule.
    invalid : {"raise", "nan"}
        ``"raise"`` names the first ten bad rows; ``"nan"`` warns once with their count.
    advice : str, default=""
        The last line of the warning.
    name : str, default="X"
        What holds the rows.
    """
    if not reasons:
        return
    n_bad, n = len(reasons), len(values)
    lines = "\n".join(f"  row {row}: {_shorten(values[row])} ({reasons[row]})" for row in sorted(reasons)[:10])
    more = f"\n  ... and {n_bad - 10} more" if n_bad > 10 else ""
    if invalid == "raise":
        raise ValueError(
            f"{n_bad} of {n} rows of {name} are not valid molecules:\n{lines}{more}\n"
            'Remove or mend these rows, or set invalid="nan" to get NaN rows for them.'
        )
    warnings.warn(
        f"{n_bad} of {n} rows of {name} are not valid molecules and are treated as missing:\n{lines}{more}"
        + f"\n{advice}" * bool(advice),
        UserWarning,
        stacklevel=3,
    )


def _shorten(value: Any, width: int = 60) -> str:
    text = repr(value) if not isinstance(value, Chem.Mol) else "<Mol>"
    return text if len(text) <= width else text[: width - 3] + "..."
