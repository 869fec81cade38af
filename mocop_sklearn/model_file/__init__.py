"""Model files: trained models, and how they are written and read."""

from typing import TYPE_CHECKING

from ..utils._lazy import lazy_names

if TYPE_CHECKING:
    from ._model import PretrainedModel, load_pretrained
    from ._side import SideTower

__all__ = ["PretrainedModel", "SideTower", "load_pretrained"]
__getattr__, __dir__ = lazy_names(
    __name__, {"PretrainedModel": "_model", "SideTower": "_side", "load_pretrained": "_model"}
)
