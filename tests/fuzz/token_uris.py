"""Token URIs (hsm.uri): refused with UriError and no word of a value, or read and given back the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuzz.damage import Damage
from fuzz.outcome import SECRET

from hsm.errors import UriError
from hsm.uri import parse_uri

if TYPE_CHECKING:
    from collections import Counter
    from random import Random

_VALID: Final = (
    "pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so",
    "PKCS11:model=v%202;serial=0a;manufacturer=A%26B;token=m%C3%BC%3B?module-path=/m",
    f"pkcs11:token=a?module-path=/m&pin-value={SECRET}",
    f"pkcs11:token=a;pin-value={SECRET}?module-path=/m",
    f"pkcs11:token=a;{SECRET}=a?module-path=/m",
    f"pkcs11:object={SECRET};type=private?pin-source={SECRET}",
)


class TokenUris:
    """One input at a time."""

    def __init__(self, random: Random, counts: Counter[str]) -> None:
        self._random = random
        self._counts = counts
        self._damage = Damage(random)

    def one(self) -> None:
        """Make an input, parse it, judge."""
        random = self._random
        if random.random() < 0.05:
            self._counts["random"] += 1
            text = random.randbytes(random.choice((0, 1, 8, 60))).decode("latin-1")
        else:
            self._counts["mutated from valid"] += 1
            others = [each.encode() for each in _VALID]
            data = self._damage.of_bytes(random.choice(others), others)
            text = data.decode("utf-8", random.choice(("replace", "surrogateescape", "ignore")))
        try:
            uri = parse_uri(text)
        except UriError as error:
            self._counts["refused"] += 1
            assert SECRET[:8] not in str(error), (text, str(error))
            return
        self._counts["accepted"] += 1
        assert parse_uri(str(uri)) == uri, text
        assert uri.token or uri.serial, text
        assert uri.module_path.startswith("/"), text
        assert "?" not in uri.module_path or "%3f" in text.lower(), text
