"""``python -m streamlab``: the same as the command ``streamlab``."""

import os
import sys

if not __package__:  # run by its path, as a lab does: the package may be nowhere on Python's path
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

if sys.argv[1:] == ["worker"]:  # not by way of the whole command, which takes longer to import
    from streamlab.worker import main
elif sys.argv[1:] == ["estate"]:  # run when a lab has been killed
    from streamlab.engines.estate import main
else:
    from streamlab.cli import main

sys.exit(main())
