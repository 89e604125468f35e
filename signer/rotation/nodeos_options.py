"""What a nodeos was told of its producers and signature providers: a command line and a config.ini, as values. Pure.

Guarantees that no private key is in any value made here: what follows `KEY:` and what cannot be read is dropped
on the spot, and a URL is in no repr.

Read as nodeos does: boost's options (appbase application_base.cpp:233-306), then Leap
signature_provider_plugin.cpp:75-101. What is tried here against a running nodeos: a `#` ends a line anywhere,
quotes are part of a value (nodeos then ignores the provider), an option takes several values on the command
line, and command line and file add up.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from signer.antelope.finalizer_key import parse_finalizer_key
from signer.antelope.keys import PublicKey
from signer.antelope.name import parse_name
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

_PRODUCER: Final = "producer-name"
_PROVIDER: Final = "signature-provider"
_TIMEOUT: Final = "keosd-provider-timeout"
_CONFIG_DIR: Final = "config-dir"
_CONFIG: Final = "config"

#: The options read here. The two that may be in config.ini several times add up; of the others the command line's
#: value counts before the file's (boost variables_map.cpp, store).
_LONG: Final = (_PRODUCER, _PROVIDER, _TIMEOUT, _CONFIG_DIR, _CONFIG)
_SHORT: Final = {"p": _PRODUCER, "c": _CONFIG}
#: The short options without a value, which may stand before another in one argument (`nodeos --help`).
_SHORT_FLAGS: Final = "ex"
#: Options that take every argument up to the next option (multitoken, producer_plugin.cpp:1051-1054).
_MANY: Final = frozenset({_PRODUCER, _PROVIDER})

#: What boost's config_file.cpp trims.
_BLANK: Final = " \t\r\n"

#: nodeos' default, signature_provider_plugin.cpp:47.
_DEFAULT_TIMEOUT_MS: Final = 5
#: `PUB_BLS_...`: a finalizer key, in nodeos' memory only (Spring signature_provider_plugin.cpp:95-102).
_FINALIZER: Final = "PUB_BLS_"


class ProviderKind(enum.StrEnum):
    """Where nodeos has a signature made."""

    #: By a signer that it asks.
    KEOSD = "KEOSD"
    #: By itself, with a private key in its memory.
    KEY = "KEY"
    #: Not readable as PUBLIC_KEY=KEOSD:URL or PUBLIC_KEY=KEY:PRIVATE_KEY. nodeos ignores it or does not start.
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Provider:
    """One signature-provider.

    Attributes:
        kind: see there.
        place: where it stands, for a person.
        key: the block key, None where it is no such key.
        finalizer: the finalizer key, None where it is no such key.
        url: what follows `KEOSD:`, empty for the other kinds. In no repr: a private key may be in the wrong place.
    """

    kind: ProviderKind
    place: str
    key: PublicKey | None = None
    finalizer: str | None = None
    url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class NodeosOptions:
    """What nodeos was told.

    Attributes:
        producers: the producer names, in the order they were given.
        providers: the signature providers, those of the command line first.
        timeout_ms: keosd-provider-timeout, None where it is no number.
    """

    producers: tuple[str, ...]
    providers: tuple[Provider, ...]
    timeout_ms: int | None


class _Setting(NamedTuple):
    option: str
    value: str
    place: str


def parse(arguments: Sequence[str], ini: str) -> NodeosOptions:
    """What the command line (without the program's name) and the text of config.ini say."""
    settings = [*_of_command_line(arguments), *_of_file(ini)]
    timeouts = [setting.value for setting in settings if setting.option == _TIMEOUT]
    return NodeosOptions(
        producers=tuple(
            setting.value
            for setting in settings
            if setting.option == _PRODUCER and _read(parse_name, setting.value) is not None
        ),
        providers=tuple(
            _provider(setting.value, setting.place) for setting in settings if setting.option == _PROVIDER
        ),
        timeout_ms=_number(timeouts[0]) if timeouts else _DEFAULT_TIMEOUT_MS,
    )


def config_file(arguments: Sequence[str]) -> tuple[str | None, str]:
    """The folder that the command line gives for configuration, None for nodeos' default, and the file's name.

    Either may be relative: the folder to the working directory, the file to the folder.
    """
    given = {setting.option: setting.value for setting in reversed([*_of_command_line(arguments)])}
    return given.get(_CONFIG_DIR), given.get(_CONFIG, "config.ini")


def _of_file(ini: str) -> Iterator[_Setting]:
    """Boost's config_file.cpp: a `#` begins a comment anywhere, the first `=` ends the name, ends are trimmed."""
    for number, line in enumerate(ini.split("\n"), 1):
        name, equals, value = (part.strip(_BLANK) for part in line.partition("#")[0].partition("="))
        if equals and name in _LONG:
            yield _Setting(name, value, f"line {number} of config.ini")


def _of_command_line(arguments: Sequence[str]) -> Iterator[_Setting]:
    """Boost's cmdline.cpp in its unix style: `--name=value`, `--name value`, `-nvalue`, `-n value`, any prefix."""
    option: str | None = None
    for number, argument in enumerate(arguments, 1):
        value: str | None = argument
        given = _option(argument)
        if given is not None:
            option, value = given
        if option is not None and value is not None:
            yield _Setting(option, value, f"argument {number} of the command line")
            if option not in _MANY:
                option = None


def _option(argument: str) -> tuple[str | None, str | None] | None:
    """The option that begins here (None: one that is not read), and the value in the same argument.

    None where the argument is a value.
    """
    if argument.startswith("--"):
        name, equals, value = argument[2:].partition("=")
        return _long(name), value if equals else None
    if argument.startswith("-") and len(argument) > 1 and not argument[1].isdigit():
        letters = argument[1:].lstrip(_SHORT_FLAGS)
        return _SHORT.get(letters[:1]), letters[1:] or None
    return None


def _long(name: str) -> str | None:
    """The option of this name, or of this beginning: a nodeos that runs was given one that is unambiguous."""
    if name in _LONG:
        return name
    begun = [option for option in _LONG if name and option.startswith(name)]
    return begun[0] if len(begun) == 1 else None


def _provider(text: str, place: str) -> Provider:
    name, equals, rest = text.partition("=")
    if name.startswith(_FINALIZER):
        rest = rest.lstrip("=")  # the padding of base64, as parse_signature_provider_spec reads it
    kind, colon, url = rest.partition(":")
    finalizer = _read(parse_finalizer_key, name)
    key = _read(PublicKey.parse, name)
    if not (equals and colon and (finalizer or key)):
        return Provider(ProviderKind.MALFORMED, place)
    if kind == ProviderKind.KEY:
        return Provider(ProviderKind.KEY, place, key, finalizer)
    if kind == ProviderKind.KEOSD and key is not None:
        return Provider(ProviderKind.KEOSD, place, key, url=url)
    return Provider(ProviderKind.MALFORMED, place, key, finalizer)


def _read(parser: Callable[[str], T], text: str) -> T | None:
    try:
        return parser(text)
    except FormatError:
        return None


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
