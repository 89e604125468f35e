"""Damage to valid inputs: of their bytes, of the values in JSON. Repeats itself for the same seed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

#: Bytes that mean something to one of the parsers.
_MEANING: Final = (0, 9, 10, 13, 32, 34, 39, 44, 58, 59, 61, 91, 92, 93, 123, 125, 127, 128, 192, 255)
_ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1.5, -0.0, 1e308),
    *("", " ", "0", "-1", "a", "\ud800", "\x00", "../../etc/passwd", "%00", "a" * 300, "ü", "EOS", "PUB_R1_"),
    *([], {}, [[]], {"a": 1}, ["default"], "K1", "r1", "default ", "Default"),
)


class Damage:
    """Makes bad inputs of good ones."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def of_bytes(self, data: bytes, others: Sequence[bytes] = (b"",)) -> bytes:
        """Return `data` with one to three things wrong; `others` are spliced in at times."""
        random = self._random
        damaged = bytearray(data)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            place = random.randint(0, len(damaged))
            match random.randint(0, 7):
                case 0 if place < len(damaged):
                    damaged[place] ^= 1 << random.randint(0, 7)
                case 1 if place < len(damaged):
                    damaged[place] = random.choice(_MEANING)
                case 2:
                    damaged[place:place] = random.randbytes(random.choice((1, 2, 8, 33)))
                case 3:
                    del damaged[place : place + random.choice((1, 1, 2, 8, 40))]
                case 4:
                    del damaged[place:]
                case 5:
                    other = random.choice(others)
                    damaged[place:] = other[random.randint(0, len(other)) :]
                case 6:
                    low = random.randint(0, place)
                    damaged[place:place] = damaged[low:place] * random.choice((1, 1, 30))
                case _:
                    damaged[place:place] = bytes([random.choice(_MEANING)]) * random.choice((1, 2, 300))
        return bytes(damaged)

    def of_json(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        """Return a copy of `value` with one place of it changed: replaced, removed, doubled, wrapped."""
        value = json.loads(json.dumps(value))
        if not isinstance(value, list | dict) or not value:
            return self._odd(value)
        at: Any = value
        while True:
            place: Any = (
                self._random.choice(list(at)) if isinstance(at, dict) else self._random.randrange(len(at))
            )
            below = at[place]
            if not isinstance(below, list | dict) or not below or self._random.random() < 0.2:
                break
            at = below
        match self._random.randint(0, 4):
            case 0:
                del at[place]
            case 1 if isinstance(at, list):
                at.insert(place, at[place])
            case 1:
                at[self._random.choice(("extra", "name", "data", ""))] = at[place]
            case _:
                at[place] = self._odd(at[place])
        return value

    def _odd(self, old: Any) -> Any:  # noqa: ANN401 - JSON
        random = self._random
        choices = (
            *_ODD,
            [old],
            {"a": old},
            f"{old}x",
            f" {old}",
            str(old),
            f"{old}"[:-1],
            f"{old}".swapcase(),
        )
        return random.choice(choices)
