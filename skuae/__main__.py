"""``python -m skuae`` is the command ``skuae``."""

import sys

from skuae.cli import main

if __name__ == "__main__":
    sys.exit(main())
