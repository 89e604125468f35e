"""A command line and a config.ini are read as nodeos reads them, and no private key is kept."""

from __future__ import annotations

import pytest
from rig import two_nodes

from signer.rotation.nodeos_options import ProviderKind, config_file, parse

KEY = str(two_nodes.A[1])
URL = "http://127.0.0.1:8901/v1/wallet/sign_digest"
SPEC = f"{KEY}=KEOSD:{URL}"
#: The development key of nodeos, which everyone knows.
PRIVATE = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3"
FINALIZER = two_nodes.finalizer_key(1)


@pytest.mark.parametrize(
    "ini",
    [
        f"signature-provider={SPEC}",
        f"  signature-provider \t =  {SPEC}  \r\n",
        f"signature-provider = {SPEC} # the spare",
        f"# signature-provider = no\n\n[]\nplugin = eosio::http_plugin\nsignature-provider = {SPEC}",
    ],
)
def test_a_line_of_the_file_is_read_with_blanks_and_comments(ini: str) -> None:
    (provider,) = parse([], ini).providers

    assert (provider.kind, provider.key, provider.url) == (ProviderKind.KEOSD, two_nodes.A[1], URL)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--signature-provider", SPEC],
        [f"--signature-provider={SPEC}"],
        ["--signature-prov", SPEC],
        ["-e", "--data-dir", "/d", "--signature-provider", SPEC, "--plugin", "x"],
    ],
)
def test_both_forms_of_an_argument_are_read_and_its_beginning(arguments: list[str]) -> None:
    (provider,) = parse(arguments, "").providers

    assert (provider.key, provider.url) == (two_nodes.A[1], URL)


def test_one_option_takes_several_values() -> None:
    other = SPEC.replace(KEY, str(two_nodes.A[2]))

    found = parse(["--signature-provider", SPEC, other, "-x", "stray"], "")

    assert [provider.key for provider in found.providers] == list(two_nodes.A[1:])


def test_command_line_and_file_add_up_and_say_where() -> None:
    found = parse(
        ["-p", "alpha", "-pcharlie", "-ep", "delta", f"--signature-provider={SPEC}"],
        f"producer-name = bravo\nsignature-provider = {SPEC}\n",
    )

    assert found.producers == ("alpha", "charlie", "delta", "bravo")
    assert [provider.place for provider in found.providers] == [
        "argument 6 of the command line",
        "line 2 of config.ini",
    ]


@pytest.mark.parametrize(
    ("arguments", "ini", "timeout_ms"),
    [
        ([], "", 5),
        ([], "keosd-provider-timeout = 20", 20),
        (["--keosd-provider-timeout", "-1"], "keosd-provider-timeout = 20", -1),
        (["--k=7"], "", 7),
        ([], "keosd-provider-timeout = soon", None),
    ],
)
def test_the_command_line_says_the_timeout_before_the_file(
    arguments: list[str], ini: str, timeout_ms: int | None
) -> None:
    assert parse(arguments, ini).timeout_ms == timeout_ms


@pytest.mark.parametrize(
    "value",
    [
        f'"{SPEC}"',
        f"'{SPEC}'",
        f"{KEY} = KEOSD:{URL}",
        f"{KEY}={URL}",
        KEY,
        "",
        f"{KEY}=keosd:{URL}",
        f"{FINALIZER}=KEOSD:{URL}",
        f"{FINALIZER[:-1]}=KEY:{PRIVATE}",
        f"{PRIVATE}=KEY:{KEY}",
        f"{KEY}:KEY={PRIVATE}",
    ],
)
def test_what_nodeos_does_not_read_is_malformed(value: str) -> None:
    (provider,) = parse([], f"signature-provider = {value}").providers

    assert provider.kind is ProviderKind.MALFORMED
    assert PRIVATE not in repr(provider)


@pytest.mark.parametrize("padding", ["", "=="])
def test_a_finalizer_key_is_told_from_a_block_key(padding: str) -> None:
    (provider,) = parse([], f"signature-provider = {FINALIZER}{padding}=KEY:PVT_BLS_secret").providers

    assert (provider.kind, provider.key, provider.finalizer) == (ProviderKind.KEY, None, FINALIZER)
    assert "secret" not in repr(provider)


def test_no_value_holds_a_private_key() -> None:
    places = [f"{KEY}=KEY:{PRIVATE}", f"{PRIVATE}=KEOSD:{URL}", PRIVATE, f"{KEY}=KEOSD:{PRIVATE}"]
    ini = "".join(f"signature-provider = {place}\n" for place in places) + f"producer-name = {PRIVATE}\n"

    found = parse(["--signature-provider", *places, "-p", PRIVATE], ini)

    assert len(found.providers) == 8
    assert PRIVATE not in repr(found)


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ([], (None, "config.ini")),
        (["--config-dir", "/etc/n"], ("/etc/n", "config.ini")),
        (["--config-dir=etc", "-c", "n.ini"], ("etc", "n.ini")),
        (["--config=/x/n.ini", "--config-d", "/y"], ("/y", "/x/n.ini")),
        (["-cn.ini"], (None, "n.ini")),
    ],
)
def test_the_command_line_says_which_file(arguments: list[str], file: tuple[str | None, str]) -> None:
    assert config_file(arguments) == file
