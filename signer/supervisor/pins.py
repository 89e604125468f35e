"""Where each token's PIN comes from. Those that a person typed are kept here, and nowhere else.

They outlive lanes, signing processes and reloads, and end with `wipe`, with the supervisor, or when the configuration
gives their name to another token: no PIN is tried on a token that it was not typed for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hsm.pin import PinCredential, PinFile, TypedPin

if TYPE_CHECKING:
    from hsm.pin import PinSource
    from signer.config import Config


class _Identity(NamedTuple):
    """A token as the module sees it: the same name may stand for another one after a reload."""

    name: str
    uri: str
    environment: tuple[tuple[str, str], ...]


class Pins:
    """The PIN sources of all tokens."""

    def __init__(self) -> None:
        self._typed: dict[_Identity, TypedPin] = {}

    def source(self, config: Config, token: str) -> PinSource:
        """Return where the PIN of `token` comes from."""
        settings = config.tokens[token]
        if settings.pin_file is not None:
            return PinFile(settings.pin_file)
        if settings.pin_credential is not None:
            return PinCredential(settings.pin_credential)
        return self._typed.setdefault(_identity(config, token), TypedPin(_remedy(config, token)))

    def typed(self, config: Config, token: str) -> TypedPin | None:
        """Return the typed PIN of `token`, None if its PIN comes from elsewhere."""
        source = self.source(config, token)
        return source if isinstance(source, TypedPin) else None

    def reveal_typed(self, config: Config) -> dict[str, str]:
        """Return the PINs that a person typed, by token, for the next image of this process and nobody else."""
        typed = {name: self._typed.get(_identity(config, name)) for name in config.tokens}
        return {name: pin.read().reveal() for name, pin in typed.items() if pin is not None and pin.present}

    def restore(self, config: Config, typed: dict[str, str]) -> None:
        """Take the PINs that `reveal_typed` of the image before gave."""
        for name, text in typed.items():
            pin = self.typed(config, name)
            if pin is not None:
                pin.set(text)

    def keep(self, config: Config) -> None:
        """Wipe the PINs of tokens that `config` has no more."""
        wanted = {_identity(config, token) for token in config.tokens}
        for identity in set(self._typed) - wanted:
            self._typed.pop(identity).wipe()

    def wipe(self) -> None:
        """Wipe all."""
        for pin in self._typed.values():
            pin.wipe()


def _identity(config: Config, token: str) -> _Identity:
    settings = config.tokens[token]
    return _Identity(token, settings.uri, tuple(sorted(settings.environment.items())))


def _remedy(config: Config, token: str) -> str:
    """Return how a person types the PIN."""
    url = next(
        (
            f"unix://{each.unix}" if each.tcp is None else f"http://{each.tcp}"
            for each in config.listeners
            if each.kind == "wallet"
        ),
        "URL",
    )
    return f"it waits for a person: cleos --wallet-url {url} wallet unlock -n {token}"
