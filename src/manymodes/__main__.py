"""``python -m manymodes`` is the command line."""

from manymodes.apps.cli import run

run()
