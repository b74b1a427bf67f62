"""``python -m dynwork.api``: run one instance of this role."""

import sys

from dynwork import compose

if __name__ == "__main__":
    sys.exit(compose.main("api"))
