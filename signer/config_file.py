"""Reading the configuration file. Every fault becomes one ConfigError.

Its message has one line for each fault: file, key, what is wrong, what would be right. No line repeats a
value that could be a secret: values are shown only where the key is known and its value is public.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from signer.config import DEFAULT_STATE_DIR, Config, documentation
from signer.config_rules import BrokenRulesError, nearest
from signer.errors import ConfigError, ConfigForbiddenError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: Where a command looks without --config, in this order.
SEARCH_PATH: Final = (Path("signer.toml"), Path("/etc/antelope-signer/signer.toml"))
#: A thousand keys take 250 kB. More is not a configuration, and reading it must end.
MAX_BYTES: Final = 4 * 1024 * 1024
#: Keys whose values may stand in a message.
_SHOWN: Final = frozenset({"kind", "role", "purpose", "node", "chain", "token", "tcp", "id", "label"})
_SHOWN_CHARACTERS: Final = 80
#: A line with one plain text, and perhaps a comment.
_SIMPLE_LINE: Final = re.compile(
    r'^[ \t]*([A-Za-z_]+)[ \t]*=[ \t]*"([^"\\\n]*)"[ \t]*(?:#.*)?$', re.MULTILINE
)
_STATE_DIR_LINE: Final = re.compile(r"^[ \t]*[\"']?state_dir\b", re.MULTILINE)


def find(given: str | None) -> Path:
    """Return the configuration file to use: `given`, else the first that exists of SEARCH_PATH.

    Raises:
        ConfigError: there is none.
    """
    if given is not None:
        return _absolute(Path(given))
    for path in SEARCH_PATH:
        if _there(path):
            return _absolute(path)
    tried = " nor ".join(str(path) for path in SEARCH_PATH)
    raise ConfigError(f"no configuration: neither {tried} exists; name one with --config FILE")


def _absolute(path: Path) -> Path:
    """Return `path` from the root folder on, without `..`; a link in it stays where there is no `..`."""
    return path.resolve() if ".." in path.parts else path.absolute()


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # whoever may not look should hear that, and not of another file


def load(path: Path) -> Config:
    """Return the configuration in the TOML file at `path`.

    Raises:
        ConfigForbiddenError: this user may not read it.
        ConfigError: it cannot be read or used.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except PermissionError:
        raise ConfigForbiddenError(_forbidden(path)) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; name a readable TOML file with --config"
        ) from None
    return parse(data, path)


def _forbidden(path: Path) -> str:
    """Return whose file it is, or whose folder keeps this user from it."""
    for each in (path, *path.parents):
        try:
            owner = each.stat().st_uid
        except OSError:
            continue  # below a folder that this user may not search: that folder tells
        name = _user(owner)
        what = "it" if each == path else f"the folder {each}"
        return (
            f"{path}: {_user(os.geteuid())} may not read this file; {what} belongs to {name}: "
            f"run this as {name} or as root"
        )
    return f"{path}: {_user(os.geteuid())} may not read this file; run this as the signer's user or as root"


def _user(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


class Site(NamedTuple):
    """Where a signer is found: enough to stop and to freeze it."""

    admin_socket: Path
    freeze_dir: Path


def locate(path: Path) -> Site:
    """Return where the signer of the file at `path` is found, also if the file breaks rules elsewhere.

    A typing error in the file must not keep anyone from freezing or stopping the signer that runs.

    Raises:
        ConfigError: the file cannot be read, or names no admin socket.
    """
    try:
        config = load(path)
    except ConfigError as fault:
        try:
            tables = _tables(path)
            unix = next(each["unix"] for each in tables["listeners"] if each["kind"] == "admin")
            folder = path.absolute().parent
            site = Site(folder / unix, folder / tables.get("state_dir", DEFAULT_STATE_DIR) / "frozen")
        except OSError:
            raise fault from None
        except (LookupError, TypeError, ValueError, StopIteration, ConfigError):
            raise ConfigError(
                f"{fault}\n{path}: names no admin socket, so no signer was asked, and nothing was done: put the last "
                "good file back; runbook, Freeze"
            ) from None
        if "\0" in f"{site.admin_socket}{site.freeze_dir}":
            raise
        return site
    return Site(config.admin_socket, config.freeze_dir)


def _tables(path: Path) -> dict[str, Any]:
    """Return what the file says, broken or not. Raises OSError, or as `_by_lines`."""
    data = path.read_bytes()
    try:
        return _toml(data, path)
    except ConfigError:
        return _by_lines(data)


def _by_lines(data: bytes) -> dict[str, Any]:
    """Return the listeners and the state_dir of a file that is no TOML, as far as simple lines say them.

    Raises:
        UnicodeDecodeError: it is no text.
        LookupError: its state_dir is in no simple line before the tables, or in two.
    """
    text = data.decode()
    head, *tables = re.split(r"^[ \t]*\[+[ \t]*", text, flags=re.MULTILINE)
    listeners = [dict(_SIMPLE_LINE.findall(table)) for table in tables if table.startswith("listeners")]
    own = dict(_SIMPLE_LINE.findall(head))
    if len(_STATE_DIR_LINE.findall(text)) != ("state_dir" in own):
        raise LookupError  # a marker in another folder would freeze nothing
    return own | {"listeners": [each for each in listeners if "kind" in each]}


def parse(data: bytes, path: Path) -> Config:
    """Return the configuration in `data`, as if it had been read from `path`.

    Raises:
        ConfigError: it cannot be used.
    """
    return build(_toml(data, path), path)


def build(tables: dict[str, Any], path: Path) -> Config:
    """Return the configuration in parsed TOML, as if it had been read from `path`. Raises as `parse`."""
    try:
        # By way of JSON, because pydantic's strict mode knows lists and paths there as TOML does.
        return Config.model_validate_json(
            json.dumps(tables, default=_refuse), context={"folder": path.absolute().parent}
        )
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _lines(error))) from None
    except _DateError:
        raise ConfigError(
            f"{path}: a value is a TOML date or time, and no key of this file takes one; put it in quotes"
        ) from None
    except RecursionError:
        raise ConfigError(
            f"{path}: tables or lists are nested too deeply; at most three levels are used"
        ) from None


class _DateError(Exception):
    pass


def _refuse(_: object) -> object:
    raise _DateError


def _toml(data: bytes, path: Path) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes; is it the configuration file?")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: is not UTF-8; TOML files are written in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path}: is not TOML: {error}; put the last good file back, or correct it"
        ) from None
    except RecursionError:
        raise ConfigError(
            f"{path}: tables or lists are nested too deeply; at most three levels are used"
        ) from None


def _lines(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for detail in error.errors(include_url=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, BrokenRulesError):
            lines.extend(f"{key}: {text}" for key, text in cause.problems)
        else:
            line = _line(detail)
            if line not in lines:
                lines.append(line)
    return lines


# -- pydantic's faults, in the words of this file -----------------------------------------------------------

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NAME_RULE: Final = "a name is 1 to 63 letters, digits, '_', '-' or '.', and starts with a letter or digit"


class _Place:
    """Where in the models a fault is: the key as written, the field's documentation, its siblings."""

    def __init__(self, location: tuple[int | str, ...]) -> None:
        self.key = ""
        self.doc = ""
        self.known: tuple[str, ...] = ()
        self.leaf = ""
        self.in_name = "[key]" in location
        at: Any = Config
        for part in location:
            at = self._enter(at, part)
            if at is None:
                break

    def _enter(self, at: Any, part: int | str) -> Any:  # noqa: ANN401 - an annotation, of whatever type
        if isinstance(at, type) and issubclass(at, BaseModel):
            self.known = tuple(at.model_fields)
            self._append(str(part))
            field = at.model_fields.get(str(part))
            if field is None:
                return None
            self.leaf, self.doc = str(part), documentation(at).get(str(part), "")
            return _plain(field.annotation)
        if part == "[key]":
            return None
        origin, arguments = typing.get_origin(at), typing.get_args(at)
        if origin is tuple and isinstance(part, int):
            self.key += f"[{part}]"
            return _plain(arguments[0])
        if origin is dict:
            self._append(str(part))
            return _plain(arguments[1])
        return None  # a branch of a union: its name means nothing to a reader

    def _append(self, part: str) -> None:
        word = part if _BARE.fullmatch(part) else json.dumps(part)
        if len(word) > _SHOWN_CHARACTERS:
            word = word[:_SHOWN_CHARACTERS] + "..."
        self.key += f".{word}" if self.key else word


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - as above
    """Strip `Annotated` and `| None` from a type."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _plain(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return _plain(typing.get_args(annotation)[0])
    return annotation


def _line(detail: ErrorDetails) -> str:
    place = _Place(detail["loc"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        word = str(detail["loc"][-1])
        return (
            f"{place.key}: unknown key{nearest(word, place.known)}; known here are: {', '.join(place.known)}"
        )
    right = place.doc.removesuffix(".")
    if kind == "missing":
        return f"{place.key}: is missing; expected: {right}"
    if place.in_name:
        return f"{place.key}: is not a name; {_NAME_RULE}"
    cause = detail.get("ctx", {}).get("error")
    wrong = str(cause) if cause is not None else _wrong(detail)
    if place.leaf in _SHOWN and isinstance(detail["input"], str | int):
        wrong = f"{_shown(detail['input'])} {wrong}"
    return (
        f"{place.key or 'the file'}: {wrong}; expected: {right or 'tables as in deploy/signer.example.toml'}"
    )


def _shown(value: str | int) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _wrong(detail: ErrorDetails) -> str:
    """Return what is wrong, for faults that pydantic found itself."""
    kind, value = detail["type"], detail["input"]
    if kind == "json_invalid":
        return "tables or lists are nested too deeply"
    if kind in (
        "greater_than_equal",
        "less_than_equal",
        "literal_error",
        "string_too_short",
        "string_too_long",
    ):
        return f"{value} is out of range" if isinstance(value, int | float) else "is not one of those allowed"
    if kind == "string_pattern_mismatch":
        return "does not have the right form"
    if kind == "finite_number":
        return "is not a finite number"
    return f"is {_TYPE_NAMES.get(type(value), 'of another type')}, not what belongs here"


_TYPE_NAMES: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "text",
    list: "a list",
    dict: "a table",
}
