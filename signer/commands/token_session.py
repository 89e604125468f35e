"""A session on one of the configured tokens, for a command of a person on the signer's host."""

from __future__ import annotations

import getpass
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hsm.errors import PinRefusedError, PinSourceError
from hsm.module import Module
from hsm.pin import Pin, PinCredential, PinFile
from hsm.refused import RefusedMarker
from hsm.uri import parse_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkcs11 import Session

    from signer.config import Config, Token


@contextmanager
def opened(config: Config, name: str) -> Iterator[Session]:
    """Log in to the token `name` for writing; log out and stop its module at the end.

    A PIN that the token refused is not tried again, here as in the signer.

    Raises:
        PinSourceError: the PIN cannot be read, or was refused before.
        PinRefusedError: the token refused it. A marker says so from now on.
        HsmError: the module or the token failed.
    """
    token = config.tokens[name]
    uri = parse_uri(token.uri)
    refused = RefusedMarker(config.pin_refused_dir)
    pin = _pin(name, token)
    if pin.fingerprint is not None and (why := refused.blocks(name, pin.fingerprint)) is not None:
        raise PinSourceError(
            f"token {name} is not asked with this PIN again: {why}; "
            f"correct the PIN source, or run `signer token retry {name}`"
        )
    os.environ.update(token.environment)  # the module reads it when it is started, in this process
    module = Module(uri.module_path)
    try:
        with module.session(uri, pin, write=True) as session:
            yield session
    except PinRefusedError as error:
        if pin.fingerprint is not None:
            refused.mark(name, pin.fingerprint, str(error))
        raise
    finally:
        module.finalize()


def _pin(name: str, token: Token) -> Pin:
    if token.pin_file is not None:
        return PinFile(token.pin_file).read()
    if token.pin_credential is not None:
        return PinCredential(token.pin_credential).read()
    return Pin(getpass.getpass(f"PIN of token {name}: "))
