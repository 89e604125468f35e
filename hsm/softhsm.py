"""The configuration of SoftHSM, the software token, for a folder of its own.

SoftHSM protects against nobody who can read this folder. It is for tests and trials.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from hsm.errors import ProvisionError

if TYPE_CHECKING:
    from pathlib import Path

#: The variable that the module reads the path of its configuration from (softhsm2.conf(5)).
CONFIG_VARIABLE: Final = "SOFTHSM2_CONF"

_NAME: Final = "softhsm2.conf"
_TOKENS: Final = "tokens"


def write_configuration(folder: Path) -> Path:
    """Make `folder` a SoftHSM home of mode 0700 and return the absolute path of its softhsm2.conf.

    A folder made by an earlier call is left as it is.

    Raises:
        ProvisionError: the folder has another softhsm2.conf, or cannot be written.
    """
    folder = folder.absolute()
    path = folder / _NAME
    if "\n" in str(folder):
        raise ProvisionError("the SoftHSM folder's path has a line break")
    wanted = (
        f"directories.tokendir = {folder / _TOKENS}\n"
        "objectstore.backend = file\n"
        "log.level = ERROR\n"
        "slots.removable = false\n"
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _TOKENS).mkdir(mode=0o700, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            if path.read_text(encoding="utf-8") != wanted:
                raise ProvisionError(f"{path} exists and differs; name another folder") from None
            return path
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(wanted)
    except OSError as error:
        raise ProvisionError(f"the SoftHSM folder {folder} cannot be made: {error.strerror}") from error
    return path
