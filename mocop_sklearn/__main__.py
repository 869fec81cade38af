"""``python -m mocop_sklearn`` is the command ``mocop``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
