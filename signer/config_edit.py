"""Adding a key to the configuration file and taking one out, by a new file in its place.

What it guarantees: the file is checked as it will be before it is replaced, nothing else of it changes, and a crash
leaves the old file or the new one.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from signer import config_file
from signer.antelope.keys import Curve, PublicKey
from signer.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

#: The curves as PKCS#11 modules name them.
CURVE_NAMES: Final[dict[Curve, Literal["secp256k1", "prime256v1"]]] = {
    Curve.K1: "secp256k1",
    Curve.R1: "prime256v1",
}
#: The curves' base points (SEC 2 version 2.0, sections 2.4.1 and 2.4.2) stand for a key that is not made yet.
#: Their private key is 1, so no token holds them.
_STAND_IN: Final = {
    Curve.K1: bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
    Curve.R1: bytes.fromhex("036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
}
#: Where a table begins.
_TABLE: Final = re.compile(rb"^[ \t]*\[", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: the fields of a [[keys]] block that are known before the key is."""

    role: str
    node: str | None
    chain: str | None
    token: str
    label: str

    def block(self, public_key: PublicKey, key_id: str | None) -> str:
        """Return the TOML block, with a newline at its end."""
        fields = {
            "public_key": str(public_key),
            "role": self.role,
            "node": self.node,
            "chain": self.chain,
            "token": self.token,
            "label": self.label,
            "id": key_id,
        }
        text = [
            f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items() if value
        ]
        return "\n".join(("[[keys]]", *text)) + "\n"

    def check(self, path: Path, curve: Curve) -> None:
        """See whether a key of this plan, once it is made, can be configured.

        Raises:
            ConfigError: it cannot.
        """
        _with(path, self.block(PublicKey(curve, _STAND_IN[curve]), None))


def append(path: Path, block: str) -> None:
    """Put `block` at the end of the file.

    Raises:
        ConfigError: the file cannot be replaced, or would be invalid.
    """
    try:
        _replace(path, _with(path, block))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be replaced: {error.strerror}; the key exists, so paste its block:\n{block}"
        ) from None


def remove(path: Path, key: PublicKey) -> None:
    """Take the [[keys]] block of `key` out of the file, and nothing else.

    Raises:
        ConfigError: the file cannot be replaced, or would be invalid. It is as it was.
    """
    data = _read(path)
    before = config_file.parse(data, path)
    keys = tuple(each for each in before.keys if each.public_key != key)
    spellings = [each.encode() for each in (str(key), key.legacy) if each]
    starts = [match.start() for match in _TABLE.finditer(data)]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        if not any(each in data[start:end] for each in spellings):
            continue
        rest = data[:start] + data[end:]
        try:
            after = config_file.parse(rest, path)
        except ConfigError:
            continue  # it was another table, which something needs
        if after.keys == keys and after == before.model_copy(update={"keys": keys}):
            try:
                _replace(path, rest)
            except OSError as error:
                raise ConfigError(f"{path}: cannot be replaced: {error.strerror}") from None
            return
    raise ConfigError(
        f"{path}: the file without {key} is not found by itself or would be invalid; take its block out by hand"
    )


def is_writable(path: Path) -> bool:
    """Whether this process can replace the file."""
    return os.access(path.resolve().parent, os.W_OK)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _with(path: Path, block: str) -> bytes:
    """Return the file's bytes with `block` at the end, if that is a valid configuration.

    Raises:
        ConfigError: it is not, or the file cannot be read.
    """
    data = _read(path)
    separator = b"" if not data or data.endswith(b"\n") else b"\n"
    data += separator + b"\n" + block.encode()
    try:
        config_file.parse(data, path)
    except ConfigError as error:
        raise ConfigError(
            f"{error}\n{path}: that is what the new [[keys]] block would do; the file was not changed"
        ) from None
    return data


def _replace(path: Path, data: bytes) -> None:
    """Put a new file with the same mode and owner in its place. Raises OSError."""
    target = path.resolve()
    new = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        before = target.stat()
        with new.open("xb") as file:
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        new.unlink(missing_ok=True)
        raise
