"""Which ABI says what the data of an action mean: a built-in one, else one that the configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from signer.antelope.abi import Abi
from signer.antelope.builtin_types import UNSUPPORTED
from signer.antelope.name import parse_name
from signer.antelope.system_abis import ABIS
from signer.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signer.antelope.abi import Field
    from signer.antelope.name import Name
    from signer.config import Config

#: The largest contracts have ABIs of 100 kB.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


class Known(NamedTuple):
    """What is known of an action: its contract's ABI, the type of its data there, and the arguments."""

    abi: Abi
    kind: str
    fields: tuple[Field, ...]


class Abis:
    """The ABIs by account. A built-in action is never read with a configured ABI."""

    def __init__(self, configured: Mapping[Name, Abi]) -> None:
        self._configured = configured

    def find(self, account: Name, action: Name) -> Known:
        """Return what is known of an action.

        Raises:
            FormatError: nothing is, or its data cannot be read here.
        """
        for abis in (ABIS, self._configured):
            if account not in abis or action not in abis[account].actions:
                continue
            abi = abis[account]
            kind = abi.actions[action]
            fields = abi.fields(kind)
            unsupported = sorted(abi.reaches(kind) & UNSUPPORTED)
            if fields is None or unsupported:
                why = f"has {unsupported[0]} in it" if unsupported else "is no struct"
                raise FormatError(f"the data of {account}::{action} cannot be read here: {kind} {why}")
            return Known(abi, kind, fields)
        raise FormatError(f"no ABI for {account}::{action}; name one in [[abis]]")

    def actions(self, account: Name) -> list[str]:
        """Return the names of the actions of `account` that some ABI has."""
        return sorted({*self._of(ABIS, account), *self._of(self._configured, account)})

    @staticmethod
    def _of(abis: Mapping[Name, Abi], account: Name) -> Mapping[Name, str]:
        return abis[account].actions if account in abis else {}


#: Without a configuration.
BUILTIN: Final = Abis({})


def load(config: Config) -> Abis:
    """Return the ABIs of `config`, read from their files.

    Raises:
        ConfigError: one cannot be read, or is none.
    """
    configured = {}
    for index, entry in enumerate(config.abis):
        at = f"abis[{index}].file: {entry.file}"
        try:
            with entry.file.open("rb") as file:
                text = file.read(MAX_FILE_BYTES + 1)
            if len(text) > MAX_FILE_BYTES:
                raise ConfigError(f"{at} is larger than {MAX_FILE_BYTES} bytes; is it an ABI?")
            configured[parse_name(entry.account)] = Abi.parse(text)
        except OSError as error:
            raise ConfigError(
                f"{at}: {error.strerror}; save it with `cleos get abi {entry.account}`"
            ) from None
        except FormatError as error:
            raise ConfigError(f"{at} is not an ABI that can be used: {error}") from None
    return Abis(configured)
