"""The shim module (shim.c): a slow, failing, crashing or deterministic token in front of a real one."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rig import shared_object

_SOURCE = Path(__file__).with_name("shim.c")


@functools.cache
def _build() -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """Compile the module once for this run. The folder goes when Python does."""
    folder = tempfile.TemporaryDirectory(prefix="signer-shim-")
    return shared_object.build(_SOURCE, Path(folder.name), "-ldl"), folder


@dataclass(frozen=True)
class Shim:
    """A shim in front of `module`, told what to do by files in `folder` while it runs.

    Attributes:
        module: path of the real PKCS#11 module.
        folder: holds control, logins and signatures; must exist.
    """

    module: str
    folder: Path

    @property
    def library(self) -> Path:
        """The compiled module, to put into a token's URI."""
        return _build()[0]

    @property
    def environment(self) -> dict[str, str]:
        """What a process that loads the library needs in its environment."""
        return {
            "SHIM_MODULE": self.module,
            "SHIM_CTL": str(self._control),
            "SHIM_TRIGGER": str(self._trigger),
            "SHIM_COUNT": str(self._logins),
            "SHIM_FLAGS": str(self._flags),
            "SHIM_CACHE": str(self.folder),
        }

    def tell(
        self,
        action: str = "ok",
        *,
        at: str = "C_Sign",
        every: int = 1,
        delay_ms: float = 0,
        once: bool = False,
    ) -> None:
        """Change what happens from the next call on.

        Args:
            action: `ok`, a CKR code as `0x30`, `segv`, `abort`, `hang` or, of signatures, `deterministic`.
            at: the function: `C_Sign`, or one that a lane calls as it opens: `C_OpenSession`, `C_Login`,
                `C_FindObjectsInit`.
            every: do it at each such call of a process.
            delay_ms: ms that each call takes longer.
            once: only the first process that comes to it does it.
        """
        if once:
            self._trigger.touch()
        new = self._control.with_suffix(".new")
        new.write_text(f"{delay_ms} {every} {action} {'once' if once else 'always'} {at}\n")
        new.replace(self._control)  # a reader sees the old line or the new one

    def flag(self, flags: int) -> None:
        """Let the token have these flags of CK_TOKEN_INFO besides its own."""
        self._flags.write_text(f"{flags:x}")

    def logins(self) -> list[int]:
        """Return the CKR code of each C_Login so far."""
        if not self._logins.exists():
            return []
        return [int(line.split()[1], 16) for line in self._logins.read_text().splitlines()]

    @property
    def _control(self) -> Path:
        return self.folder / "control"

    @property
    def _trigger(self) -> Path:
        return self.folder / "trigger"

    @property
    def _flags(self) -> Path:
        return self.folder / "flags"

    @property
    def _logins(self) -> Path:
        return self.folder / "logins"
