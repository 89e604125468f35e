"""What the demo says to the person who started it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEGAN: Final = time.monotonic()


def say(text: str) -> None:
    """Print a line with the seconds since the start."""
    sys.stderr.write(f"demo: {time.monotonic() - _BEGAN:5.1f} s  {text}\n")
    sys.stderr.flush()


def say_where(about: Mapping[str, Any], *, to: TextIO) -> None:
    """Print where everything is. The access token is in a file: it is no argument of any command."""
    to.write(
        f"""
dashboard     {about["dashboard_url"]}
              it asks for an access token; this prints it: cat {about["token_file"]}
break things  {about["faults_url"]}
commands      {about["signer_command"]} status

"""
    )
    to.flush()
