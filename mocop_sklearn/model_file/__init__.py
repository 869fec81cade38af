"""Model files: trained models, and how they are written and read."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ._export import export_encoder
    from ._local_scaling import LocalScaling
    from ._model import PretrainedModel, load_pretrained
    from ._shipped import ShippedModel, list_models
    from ._side import SideTower

__all__ = [
    "LocalScaling",
    "PretrainedModel",
    "ShippedModel",
    "SideTower",
    "export_encoder",
    "list_models",
    "load_pretrained",
]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LocalScaling": "_local_scaling",
        "PretrainedModel": "_model",
        "ShippedModel": "_shipped",
        "SideTower": "_side",
        "export_encoder": "_export",
        "list_models": "_shipped",
        "load_pretrained": "_model",
    },
)
