"""A library in C for the processes of a test: loaded as their PKCS#11 module, or before every other."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_FLAGS: Final = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


def build(source: Path, folder: Path, *more: str) -> Path:
    """Compile `source` into `folder`, with `more` at the end of the compiler's arguments; return the library.

    One that is there already is of the same source: a folder is of one test.
    """
    library = folder / source.with_suffix(".so").name
    if library.exists():
        return library
    subprocess.run(["gcc", *_FLAGS, "-o", library, source, *more], check=True)
    return library
