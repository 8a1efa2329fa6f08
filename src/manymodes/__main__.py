"""``python -m manymodes`` is the command line."""

import sys

from manymodes.apps.cli import main

sys.exit(main())
