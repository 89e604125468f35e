"""Configuration files: ConfigError with a line for each fault, or a valid Config, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fuzz.damage import Damage
from fuzz.outcome import SECRET

from signer import config_file, config_warnings
from signer.config import Config
from signer.errors import ConfigError
from signer.policy import policies

if TYPE_CHECKING:
    from collections import Counter
    from random import Random

_EXAMPLE: Final = Path(__file__).resolve().parents[2] / "deploy" / "signer.example.toml"
_VALUE: Final = re.compile(rb"^([a-z_0-9]+ *= *)(.+)$", re.MULTILINE)
_VALUES: Final = (
    *(
        b"0",
        b"-1",
        b"1",
        b"9223372036854775807",
        b"99999999999999999999",
        b"1e400",
        b"nan",
        b"-inf",
        b"0x1f",
        b"1_0",
    ),
    *(
        b"true",
        b'""',
        b'"a"',
        b"[]",
        b"{}",
        b"[[]]",
        b'["a"]',
        b"{a = 1}",
        b"2026-11-24",
        b"2026-11-24T13:31:51Z",
    ),
    *(
        b'"\\u0000"',
        b'"\\uD7FF"',
        b'"/' + b"x" * 5000 + b'"',
        b'"~"',
        b'"../.."',
        b'"EOS"',
        b'"127.0.0.1:70000"',
    ),
    *(
        b'"[::1]:1"',
        b'"0.0.0.0:1"',
        b'"http://user:pw@host"',
        b'"root"',
        b'"\xc3\xbc"',
        b'"admin"',
        b'"control"',
    ),
)
_LINES: Final = (
    f'pin = "{SECRET}"'.encode(),
    f'pin_value = "{SECRET}"'.encode(),
    f'uri = "pkcs11:token=a?module-path=/m&pin-value={SECRET}"'.encode(),
    f'uri = "pkcs11:token=a?module-path=/m?pin-value={SECRET}"'.encode(),
    *(
        b"[keys]",
        b"[[keys]]",
        b"[tokens]",
        b"[[tokens.primary]]",
        b"[a.b.c]",
        b"kind = 1",
        b"= 1",
        b"[policies.rules.x]",
    ),
)


class ConfigTexts:
    """One input at a time."""

    def __init__(self, random: Random, counts: Counter[str]) -> None:
        self._random = random
        self._counts = counts
        self._damage = Damage(random)
        whole = _EXAMPLE.read_bytes()
        self._valid = [whole, re.sub(rb"(?m)^#.*\n|^\n", b"", whole)]
        # What the example shows as another choice is a choice here, too.
        self._valid.append(re.sub(rb"(?m)^# ([a-z_]+ = )", rb"\1", whole))

    def one(self) -> None:
        """Make an input, read it, judge."""
        self._counts["mutated from valid"] += 1
        data = self._mutated(self._random.choice(self._valid))
        try:
            config = config_file.parse(data, Path("/srv/fuzz/signer.toml"))
        except ConfigError as error:
            self._counts["refused"] += 1
            text = str(error)
            assert text.startswith("/srv/fuzz/signer.toml"), text
            assert SECRET not in text, text
            assert "Traceback" not in text, text
            return
        self._counts["accepted"] += 1
        assert isinstance(config, Config)
        config_warnings.warnings(config)
        try:
            policies.load(config)
        except ConfigError as error:
            assert SECRET not in str(error)

    def _mutated(self, data: bytes) -> bytes:
        random = self._random
        for _ in range(random.choice((1, 1, 2, 4))):
            lines = data.split(b"\n")
            place = random.randrange(len(lines))
            match random.randint(0, 6):
                case 0:
                    del lines[place]
                case 1:
                    lines.insert(random.randrange(len(lines)), lines[place])
                case 2:
                    lines[place:place] = [random.choice(_LINES)]
                case 3:
                    other = random.randrange(len(lines))
                    lines[place], lines[other] = lines[other], lines[place]
                case 4 if random.random() < 0.5:
                    lines = self._damage.of_bytes(data, self._valid).split(b"\n")
                case _:
                    values = [number for number, line in enumerate(lines) if _VALUE.match(line)]
                    if values:
                        chosen = random.choice(values)
                        lines[chosen] = _VALUE.sub(
                            lambda match: match[1] + random.choice(_VALUES), lines[chosen]
                        )
            data = b"\n".join(lines)
        return data
