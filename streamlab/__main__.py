"""``python -m streamlab``: the same as the command ``streamlab``."""

import sys

if sys.argv[1:] == ["worker"]:  # not by way of the whole command: a lab starts many at once
    from streamlab.worker import main
else:
    from streamlab.cli import main

sys.exit(main())
