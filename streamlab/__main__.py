"""``python -m streamlab``: the same as the command ``streamlab``."""

import sys

from streamlab.cli import main

sys.exit(main())
