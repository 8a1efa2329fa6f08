"""``manymodes completion``: what lets a shell complete commands and options."""

from __future__ import annotations

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print a script that lets the shell complete commands, options and names of files.

    In bash, for this session: eval "$(manymodes completion bash)". To keep it, write the script to the file
    ~/.local/share/bash-completion/completions/manymodes; for zsh to a file _manymodes in a folder of $fpath, and for
    fish to ~/.config/fish/completions/manymodes.fish.

    Parameters
    ----------
    shell
        Which shell.
    """
    from manymodes.apps.cli import app

    print(app.generate_completion(prog_name="manymodes", shell=shell))  # noqa: T201
