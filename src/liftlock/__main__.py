"""`python -m liftlock`, the same as the console script."""

import sys

from liftlock.cli import main

if __name__ == "__main__":
    sys.exit(main())
