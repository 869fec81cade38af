"""Encoders as ONNX, or as programs of torch.export, for software without this package."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..molecules._pyg import to_arrays
from ..nn._exported import ExportedEncoder
from ..utils._files import atomic_write
from ..utils._names import described
from ._model import PretrainedModel, load_pretrained

_RECORD = "mocop_sklearn"
# Sizes are free where these names are; the molecules only have to differ in them.
_EXAMPLES = ("CCO", "Cc1ccncc1", "CC(C)(C)OC(=O)N1CCC1")
_FREE = {
    "x": {0: "n_atoms"},
    "edge_index": {1: "n_edges"},
    "batch": {0: "n_atoms"},
    "atoms_per_molecule": {0: "n_molecules"},
    "edge_attr": {0: "n_edges"},
}


def export_encoder(model: Any, path: str | os.PathLike[str], *, output: str = "encoder") -> None:
    """Write the encoder of a model as ONNX or as a program of ``torch.export``.

    What is written takes the arrays of :func:`~mocop_sklearn.molecules.to_arrays`, of any number of molecules of any
    size, and returns what ``transform`` of the embedder does, up to rounding.

    Parameters
    ----------
    model : fitted estimator of this package, PretrainedModel, str or Path
        As ``pretrained`` of the estimators; of a classifier or a regressor, the encoder of its first network.
    path : str or Path
        Ends in ``.onnx``, for onnxruntime and others, or in ``.pt2``, for ``torch.export.load``. The extra ``onnx``
        installs what writing ONNX takes.
    output : {"encoder", "projection"}, default="encoder"
        The representation, or the unit vector in the shared space.

    Raises
    ------
    ValueError
        When the path ends otherwise, when torch cannot export the encoder ("attentivefp", "gps", and others whose sizes
        depend on the values of a tensor), or when a projection needs more than the
        network (``side_features``, ``local_scaling``).
    ImportError
        Without onnxscript, for ONNX.

    Notes
    -----
    ``metadata_props`` of an ONNX file, and the extra file ``mocop_sklearn`` of a program, hold JSON with the digest of
    the model, its featuriser and its standardisation.

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> from mocop_sklearn.molecules import to_arrays
    >>> export_encoder("distilled", "distilled.onnx")  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("distilled.onnx")  # doctest: +SKIP
    >>> (vectors,) = session.run(None, to_arrays(["CCO", "c1ccccc1"]))  # doctest: +SKIP
    """
    kind = Path(path).suffix
    if kind not in (".onnx", ".pt2"):
        raise ValueError(f"path={os.fspath(path)!r} must end in .onnx, or in .pt2 for a program of torch.export.")
    if output not in ("encoder", "projection"):
        raise ValueError(f"output={output!r} is neither 'encoder' nor 'projection'.")
    if kind == ".onnx":
        _require_onnx(path)
    pretrained = load_pretrained(model)
    if pretrained is None:
        raise ValueError("model=None: give a fitted estimator, or the name or the file of a model.")
    if output == "projection":
        pretrained.require_profile_network()
        if pretrained.side is not None or pretrained.local_scaling is not None:
            raise ValueError(
                "The shared space of this model holds more than the vectors of the network, which cannot be exported "
                '(side_features, local_scaling). Export output="encoder", or fit an embedder with side_features=None '
                "and local_scaling=False."
            )
    program = _program(pretrained, output)
    record = json.dumps(_record(pretrained, output))
    content = _as_onnx(program, record) if kind == ".onnx" else _as_program(program, record)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _require_onnx(path: Any) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Writing {os.fspath(path)!r} needs onnxscript: pip install 'mocop-sklearn[onnx]'.", name=error.name
        ) from error


def _record(model: PretrainedModel, output: str) -> dict[str, Any]:
    stored = model.architecture.as_dict()
    return {
        "digest": model.digest,
        "output": output,
        "featurizer": stored["featurizer"],
        "standardize": model.standardize if isinstance(model.standardize, str | None) else described(model.standardize),
    }


def _program(model: PretrainedModel, output: str) -> torch.export.ExportedProgram:
    """Trace the encoder; the sizes of its inputs stay free."""
    encoder = ExportedEncoder(model.module().tower(output)).eval().requires_grad_(False)
    arrays = to_arrays(list(_EXAMPLES), model.architecture.featurizer, standardize=None)
    dims = {name: torch.export.Dim(name) for sizes in _FREE.values() for name in sizes.values()}
    shapes = {name: {axis: dims[size] for axis, size in _FREE[name].items()} for name in arrays}
    inputs = {name: torch.tensor(array) for name, array in arrays.items()}
    try:
        with _quiet():
            return torch.export.export(encoder, (), inputs, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise ValueError(
            f"torch.export cannot export the encoder {model.architecture.as_dict()['encoder']!r}: {reason.strip()}"
        ) from error


def _as_program(program: torch.export.ExportedProgram, record: str) -> bytes:
    file = io.BytesIO()
    with _quiet():
        torch.export.save(program, file, extra_files={_RECORD: record})
    return file.getvalue()


def _as_onnx(program: torch.export.ExportedProgram, record: str) -> bytes:
    with _quiet():
        found: Any = torch.onnx.export(program, dynamo=True, verbose=False, output_names=["vectors"])
    found.model.metadata_props[_RECORD] = record
    return found.model_proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch logs and warns of while it exports, such as packages that it would also export."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
