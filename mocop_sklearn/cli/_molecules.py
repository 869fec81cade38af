"""What commands that read a file of molecules have in common: arguments, batches and the report on bad rows."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ._shared import SEVERAL, count, say, shard

_MODEL = (
    "a file of mocop pretrain or mocop finetune, the name of a model that comes with the package (mocop models), or "
    "hf://owner/name on the Hugging Face Hub"
)


def molecule_arguments(
    parser: argparse.ArgumentParser, model: str = _MODEL, keep: tuple[str, ...] = ("--keep", "--id")
) -> None:
    """Add the arguments about molecules and the model.

    Parameters
    ----------
    parser : ArgumentParser
    model : str
        What models the command takes.
    keep : tuple of str
        Names of the option that carries columns to the output.
    """
    add = parser.add_argument
    add("molecules", metavar="MOLECULES", help="a .smi, .sdf, .csv, .tsv, .parquet or .h5ad file")
    add("-m", "--model", required=True, help=model)
    structure_argument(parser)
    add(*keep, **SEVERAL, metavar="COLUMN", dest="keep",
        help="columns, or tags of an .sdf file, to carry to the output as they are, such as identifiers")  # fmt: skip
    add("--batch-rows", type=count, default=16384, metavar="N", help="rows in memory at a time (default: 16384)")
    add("--device", default="auto", help="cpu, cuda or cuda:N (default: auto, the GPU when there is one)")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    add("--n-jobs", type=int, metavar="N", help="processes that parse molecules and, on a CPU, embed them")
    add("--max-atoms", type=count, metavar="N",
        help="rows with more atoms are not accepted as molecules (default: 2000)")  # fmt: skip
    add("-q", "--quiet", action="store_true", help="print only errors and counts of bad rows")


def structure_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names the column of structures."""
    parser.add_argument("--smiles", metavar="COLUMN",
                        help="column of structures (default: Metadata_SMILES or the like, or else the one column whose "
                        "values are molecules)")  # fmt: skip


def shard_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that chooses a part of the rows."""
    parser.add_argument("--shard", type=shard, default=(1, 1), metavar="I/N", help="only the I-th of N parts, from 1")


def rows_of_shard(args: argparse.Namespace, n_rows: int) -> range:
    """Rows of the part that the arguments name."""
    part, n_parts = args.shard
    return range(n_rows * (part - 1) // n_parts, n_rows * part // n_parts)


def inference_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters of an estimator that come from the arguments about molecules."""
    parameters = {name: getattr(args, name) for name in ("device", "precision", "n_jobs", "max_atoms")}
    return {name: value for name, value in parameters.items() if value is not None}


def worked_on(
    args: argparse.Namespace, library: Any, rows: range, work: Callable[[list[Any]], tuple[Any, Mapping[int, str]]]
) -> Iterator[tuple[Any, Any]]:
    """Yield batches of a file of molecules and what ``work`` makes of them; report the bad rows in the end.

    Parameters
    ----------
    args : Namespace
    library : MoleculeFile
    rows : range
    work : callable
        Maps the structures of a batch to a result, and to the reason for each that is not a molecule.
    """
    from tqdm import tqdm

    n_bad = 0
    examples: list[str] = []
    # disable=None: a bar only where stderr is a terminal
    with tqdm(total=len(rows), unit=" molecules", disable=True if args.quiet else None) as progress:
        for batch in library.batches(args.batch_rows, rows):
            result, bad = work(batch.structures)
            yield batch, result
            for i in sorted(bad)[: 5 - len(examples)]:
                reason = f" ({bad[i]})" if bad[i] else ""
                examples.append(f"row {batch.rows[i]} {batch.structures[i]!r:.60}{reason}")
            n_bad += len(bad)
            progress.update(len(batch.rows))
    if n_bad:
        more = ", ..." if n_bad > len(examples) else ""
        say(f"{n_bad:,} of {len(rows):,} rows are not valid molecules: {', '.join(examples)}{more}")
