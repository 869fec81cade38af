"""Encoders by name and by class, and contrastive losses, for the parameters of the estimators.

An encoder is a factory: a name, a class, a function or a ``functools.partial`` that maps the widths of atom and bond
features to a module. Such a parameter survives ``clone`` and has one digest in every process.
"""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ..molecules._graphs import GraphBatch
    from ._encoders import GatedGraphEncoder, ProfileEncoder
    from ._losses import infonce, siglip
    from ._pyg import PyGEncoder
    from ._residual import ResidualGraphEncoder

__all__ = [
    "GatedGraphEncoder",
    "GraphBatch",
    "ProfileEncoder",
    "PyGEncoder",
    "ResidualGraphEncoder",
    "infonce",
    "siglip",
]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "GatedGraphEncoder": "_encoders",
        "GraphBatch": "_models",
        "ProfileEncoder": "_encoders",
        "PyGEncoder": "_pyg",
        "ResidualGraphEncoder": "_residual",
        "infonce": "_losses",
        "siglip": "_losses",
    },
)
