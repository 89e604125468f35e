"""What every page for readers says is so: its paths exist, its commands are commands, and it is found."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import TYPE_CHECKING, Final

import pytest
from rig.trial import REPOSITORY

from hsm.__main__ import _parser as hsm_parser
from signer.cli import _parser as signer_parser

if TYPE_CHECKING:
    from pathlib import Path

_PAGES: Final = [
    REPOSITORY / "README.md",
    REPOSITORY / "hsm" / "README.md",
    *sorted((REPOSITORY / "deploy").rglob("*.md")),
]
_ROOTS: Final = {
    "deploy",
    "hsm",
    "signer",
    "tests",
    "requirements.lock",
    "requirements-test.lock",
    "pyproject.toml",
}
#: A command between backticks, where it may be broken over lines, or in an indented line.
_COMMAND: Final = re.compile(r"`(signer(?:-hsm)? [^`]+)`|^ {4}(signer(?:-hsm)? .+)$", re.MULTILINE)
#: What the program itself tells people to run, in its messages and pages; `{...}` stands for one word there.
_SOURCES: Final = sorted(
    path
    for folder in ("signer", "hsm", "deploy")
    for path in (REPOSITORY / folder).rglob("*")
    if path.suffix in {".py", ".html"}
)
_SAID: Final = re.compile(r"`(signer(?:-hsm)? [^`\n\"]+)`")
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Where a shell's own words begin.
_SHELL: Final = re.compile(r"\s(?:&&|\|\|?|>>?|#|;)(?:\s|$)")
#: Pages that name commands by a part of what they need: a table of them all, and what is different with a device.
_IN_PART: Final = {"README.md", "deploy/vendors/README.md", "deploy/vendors/yubihsm2.md"}
#: What a person fills in: NODE, PUB_R1_NEW, or what a shell puts there. A number is a text, too.
_FILLED_IN: Final = re.compile(r"[A-Z][A-Z0-9_]*|\$.*")


def _name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def _found(page: Path) -> list[list[str]]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    text = _BLOCK.sub(lambda block: re.sub("^", "    ", block[1], flags=re.MULTILINE), text)
    return [
        shlex.split(part)
        for span, line in _COMMAND.findall(text)
        for part in _SHELL.split(" ".join((span or line).split()))
        if part.startswith("signer")
    ]


def _problems(words: list[str]) -> list[str]:
    """Return the options and the first word of a command that its parser does not know."""
    parser = signer_parser() if words[0] == "signer" else hsm_parser()
    rest = words[1:]
    while rest and (commands := _subcommands(parser)):
        if rest[0] not in commands:
            break
        parser = commands[rest.pop(0)]
    options = {word.partition("=")[0].strip("[]") for word in words if word.strip("[").startswith("--")}
    known = set(re.findall(r"--[a-z0-9-]+", parser.format_help() + signer_parser().format_help()))
    wrong = sorted(options - known)
    if not _subcommands(parser):
        return wrong + _too_many(parser, rest)
    placeholder = not rest or not re.fullmatch(r"[a-z][a-z-]+", rest[0])
    return wrong if placeholder else [rest[0], *wrong]


def _too_many(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Return the arguments of a command that takes none, only options."""
    actions = parser._actions  # noqa: SLF001 - as below
    if any(not action.option_strings for action in actions):
        return []
    takes_value = {name for action in actions if action.nargs != 0 for name in action.option_strings}
    before = ["", *(word.strip("[]") for word in words)]
    return [
        word
        for last, word in zip(before, words, strict=False)
        if not word.startswith(("-", "[", "...")) and last not in takes_value
    ]


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            return dict(action.choices)
    return {}


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_every_command_that_it_names_is_one(page: Path) -> None:
    assert not [(" ".join(words), wrong) for words in _found(page) if (wrong := _problems(words))]


def _said() -> list[list[str]]:
    return [
        shlex.split(each)
        for path in _SOURCES
        for each in _SAID.findall(re.sub(r"\{[^{}\n]*\}", "WORD", path.read_text(encoding="utf-8")))
    ]


def test_every_command_that_the_program_names_is_one() -> None:
    said = _said()

    assert len(said) > 100
    assert not [(" ".join(words), wrong) for words in said if (wrong := _problems(words))]


def test_commands_are_found_and_can_be_wrong() -> None:
    """So that the test above does not pass by finding none."""
    assert sum(len(_found(page)) for page in _PAGES) > 100
    assert _problems(["signer", "rotate", "--to-node", "NODE", "--reasons"]) == ["--reasons"]
    assert _problems(["signer", "rotation", "list"]) == ["rotation"]
    assert _problems(["signer", "permission", "print", "local"]) == ["local"]
    assert _problems(["signer", "permission", "print", "--chain", "local"]) == []


def test_a_command_that_lacks_an_option_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """So that the test above does not pass by taking everything."""
    assert "--reason" in _refusal(["signer", "lease", "take", "NODE"], capsys)
    assert "--reason" in _refusal(["signer", "freeze", "--node", "NODE"], capsys)
    assert not _refusal(["signer", "freeze", "--node", "NODE", "--reason", "WHY"], capsys)
    assert not _refusal(
        ["signer", "nodes", "attest", "NODE", "--config-ini", "F", "--pid", "$(cat pid)"], capsys
    )
    assert not _is_name_only(["signer", "lease", "take", "NODE"])


def _refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return why the command's own parser refuses it once somebody has filled it in; empty if it does not."""
    given = ["1" if _FILLED_IN.fullmatch(word) else word for word in (word.strip("[]") for word in words)]
    parser = signer_parser() if words[0] == "signer" else hsm_parser()
    try:
        parser.parse_args(given[1:])
    except SystemExit:
        return capsys.readouterr().err
    return ""


def _is_name_only(words: list[str]) -> bool:
    """Whether it is what a command is called, as in "`signer rotate` cannot", or a part of one."""
    return "..." in words or not any(word.startswith("--") or not word.islower() for word in words)


@pytest.mark.parametrize("page", [page for page in _PAGES if _name(page) not in _IN_PART], ids=_name)
def test_every_command_can_be_given_as_it_stands(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No option that it needs is missing: whoever types it in a hurry would get exit code 2."""
    whole = [words for words in _found(page) if not _is_name_only(words)]

    assert not [(" ".join(words), why) for words in whole if (why := _refusal(words, capsys))]
    # The parser leaves this to the command, signer.commands.rotate.
    assert not [" ".join(words) for words in whole if "--emergency" in words and "--reason" not in words]


def test_no_command_that_the_program_names_lacks_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """Of other options a message may name those alone that it is about; these commands are for a hurry."""
    whole = [words for words in _said() if not _is_name_only(words)]

    assert not [" ".join(words) for words in whole if "--reason" in _refusal(words, capsys)]


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_every_path_of_the_clone_that_it_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {
        word.removeprefix("./").rstrip(".,;:")
        for span in re.findall(r"`([^`\n]+)`", text)
        for word in span.split()
        if re.fullmatch(r"(?:\./)?[A-Za-z0-9._/-]+", word)
        and word.removeprefix("./").partition("/")[0] in _ROOTS
        and "/" in word
    }
    images = set(re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text))

    assert not [path for path in named | images if not (REPOSITORY / path).exists()]


def test_every_page_is_named_by_another() -> None:
    """Nothing is written that nobody finds."""
    texts = {page: page.read_text(encoding="utf-8") for page in _PAGES}
    for page in _PAGES[1:]:
        names = {_name(page), _name(page.parent)} if page.name == "README.md" else {_name(page)}
        assert any(f"`{name}`" in text for name in names for other, text in texts.items() if other != page), (
            _name(page)
        )


def test_the_map_has_every_package() -> None:
    table = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("## Map of the code")[2]
    named = set(re.findall(r"`(signer/[a-z]+)`", table.partition("\n## ")[0]))
    packages = {f"signer/{path.parent.name}" for path in (REPOSITORY / "signer").glob("*/__init__.py")}

    assert named == packages
