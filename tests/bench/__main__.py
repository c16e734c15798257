"""`python -m tests.bench [NAME…]`: every figure of speed and size, as CPU seconds of one thread and ratios."""

import os
import sys

os.environ["NPROC"] = "1"  # before XLA starts

from tests.bench import figures

if __name__ == "__main__":
    for name in sys.argv[1:] or figures.ALL:
        figures.ALL[name]()
