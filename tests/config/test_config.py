"""What a loaded configuration is: absolute, complete, frozen, and the same after a way through JSON."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from signer import config_file
from signer.config import Config, TcpAddress
from signer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[[str], Config]

EXAMPLE = Path(__file__).parents[2] / "deploy" / "signer.example.toml"


def test_paths_are_relative_to_the_folder_of_the_file(valid_text: str, load: Load, tmp_path: Path) -> None:
    """No path depends on the folder in which a command is run."""
    config = load(valid_text)

    assert config.state_dir == tmp_path / "state"
    assert config.tokens["primary"].pin_file == tmp_path / "pins/primary.pin"
    assert config.listeners[0].unix == tmp_path / "run/a/sign.sock"
    assert config.admin_socket == tmp_path / "run/admin.sock"


def test_the_state_is_in_var_lib_where_the_file_does_not_say(valid_text: str, load: Load) -> None:
    lines = [line for line in valid_text.splitlines() if not line.startswith("state_dir")]

    assert load("\n".join(lines)).state_dir == Path("/var/lib/antelope-signer")


def test_absolute_paths_stay(valid_text: str, load: Load) -> None:
    """A path that starts with a slash is used as it is."""
    config = load(valid_text.replace('"state"', '"/srv/signer"'))

    assert config.state_dir == Path("/srv/signer")


def test_paths_in_a_token_environment_become_absolute(valid_text: str, load: Load, tmp_path: Path) -> None:
    """SOFTHSM2_CONF is always a path, any other value only if it names a file."""
    (tmp_path / "module.conf").touch()
    environment = (
        'environment = { SOFTHSM2_CONF = "hsm.conf", MODULE = "module.conf", LEVEL = "3", F = "/x" }\n'
    )

    config = load(valid_text.replace("pin_file", environment + "pin_file"))

    assert config.tokens["primary"].environment == {
        "SOFTHSM2_CONF": str(tmp_path / "hsm.conf"),
        "MODULE": str(tmp_path / "module.conf"),
        "LEVEL": "3",
        "F": "/x",
    }


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8900", "127.0.0.1", 8900, True),
        ("[::1]:1", "::1", 1, True),
        ("[0:0:0:0:0:0:0:1]:1", "::1", 1, True),
        ("127.5.0.1:65535", "127.5.0.1", 65535, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),  # noqa: S104 - only parsed
        ("[::ffff:10.0.0.1]:80", "::ffff:a00:1", 80, False),
    ],
)
def test_addresses_are_parsed(text: str, host: str, port: int, *, loopback: bool) -> None:
    """An address is an IP literal and a port, and knows whether other machines reach it."""
    address = TcpAddress.parse(text)

    assert (address.host, address.port, address.loopback) == (host, port, loopback)
    assert TcpAddress.parse(str(address)) == address


def test_one_token_for_both_purposes_needs_the_word(valid_text: str, load: Load) -> None:
    """allow_shared_token permits what is refused without it."""
    more = (
        '[[keys]]\npublic_key = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"\nrole = "rotation"\n'
        'chain = "local"\ntoken = "primary"\nlabel = "x"\n'
    )

    config = load(f"allow_shared_token = true\n{valid_text}\n{more}")

    assert {key.role for key in config.keys} == {"block", "rotation"}


def test_a_node_beyond_loopback_needs_the_word(valid_text: str, load: Load) -> None:
    """expose_beyond_loopback permits what is refused without it."""
    address = 'tcp = "10.0.0.1:8900"\nexpose_beyond_loopback = true'

    config = load(valid_text.replace('unix = "run/a/sign.sock"', address))

    assert config.listeners[0].address == "tcp:10.0.0.1:8900"


def test_a_label_may_stand_for_two_objects_with_ids(valid_text: str, load: Load) -> None:
    """Two keys of one label are told apart by their ids."""
    text = valid_text.replace('label = "r1-1"', 'label = "r1-1"\nid = "01"')
    more = (
        '[[keys]]\npublic_key = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"\nrole = "block"\n'
        'node = "a"\ntoken = "primary"\nlabel = "r1-1"\nid = "02"\n'
    )

    assert [key.id for key in load(text + more).keys] == ["01", "02"]


def test_a_config_is_the_same_after_a_way_through_json(load: Load) -> None:
    """The supervisor hands its configuration to other processes as JSON."""
    config = config_file.load(EXAMPLE)

    again = Config.model_validate_json(config.model_dump_json())

    assert again == config
    assert again.model_dump_json() == config.model_dump_json()


def test_json_with_a_relative_path_is_refused(valid_text: str, load: Load) -> None:
    """Only a file has a folder that a path can be relative to."""
    text = load(valid_text).model_dump_json().replace(str(load(valid_text).state_dir), "state")

    with pytest.raises(ValidationError, match="is relative"):
        Config.model_validate_json(text)


def test_a_config_does_not_change(valid_text: str, load: Load) -> None:
    """Nothing can be assigned."""
    config = load(valid_text)

    with pytest.raises(ValidationError):
        config.state_dir = Path("/elsewhere")


def test_a_message_ends_with_the_line_under_the_field(load: Load, valid_text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected: .*, in ms: 100 to 60000") as refused:
        load(valid_text.replace("[chains.local]", "[chains.local]\napi_timeout_ms = 1", 1))
    assert "chains.local.api_timeout_ms" in str(refused.value)


def test_a_block_key_has_its_nodes_chain(valid_text: str, load: Load) -> None:
    """Each key that signs for a chain knows which."""
    config = load(valid_text)

    assert config.chain_of(config.keys[0]) == "local"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('role = "block"', 'role = "blok"', id="a broken rule"),
        pytest.param("[chains", "[[", id="no TOML"),
        pytest.param('role = "block"', 'role = "block', id="an open quote"),
    ],
)
def test_the_signer_is_found_by_a_file_with_a_fault_elsewhere(
    old: str, new: str, valid_text: str, load: Load, tmp_path: Path
) -> None:
    """A typing error must not keep anyone from freezing."""
    with pytest.raises(ConfigError):
        load(valid_text.replace(old, new))

    site = config_file.locate(tmp_path / "signer.toml")

    assert site == (tmp_path / "run/admin.sock", tmp_path / "state/frozen")


@pytest.mark.parametrize(
    "change",
    [
        ('kind = "admin"', 'kind = "x"'),
        ('unix = "run/admin.sock"', "unix = 1"),
        ('"state"', "[]"),
    ],
)
@pytest.mark.parametrize("more", ["", "\n[[\n"], ids=["TOML", "no TOML"])
def test_the_signer_is_not_guessed(
    change: tuple[str, str], more: str, valid_text: str, load: Load, tmp_path: Path
) -> None:
    """Without socket or folder the first fault is told."""
    with pytest.raises(ConfigError):
        load(valid_text.replace(*change) + more)

    with pytest.raises(ConfigError):
        config_file.locate(tmp_path / "signer.toml")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(('state_dir = "state"', '[\nstate_dir = "state"'), id="below a table's beginning"),
        pytest.param(('state_dir = "state"', 'state_dir = "state"\nstate_dir = "other"'), id="two"),
        pytest.param(('state_dir = "state"', 'state_dir = "st"ate"'), id="a quote in it"),
        pytest.param(('state_dir = "state"', 'state_dir = """state"""'), id="a text of several lines"),
        pytest.param(('unix = "run/admin.sock"', 'unix = "run/ad"min.sock"'), id="a quote in the socket"),
    ],
)
def test_what_no_simple_line_says_is_not_guessed(
    change: tuple[str, str], valid_text: str, load: Load, tmp_path: Path
) -> None:
    """A marker in another folder would freeze nothing, and say that it did."""
    with pytest.raises(ConfigError):
        load(valid_text.replace(*change) + "\n[[\n")

    with pytest.raises(ConfigError):
        config_file.locate(tmp_path / "signer.toml")


def test_the_file_is_searched_in_two_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """./signer.toml first; if there is none, the message says where was looked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config_file, "SEARCH_PATH", (Path("signer.toml"), tmp_path / "etc.toml"))

    with pytest.raises(ConfigError, match=r"neither signer\.toml nor .*etc\.toml exists; .*--config"):
        config_file.find(None)
    (tmp_path / "etc.toml").touch()
    assert config_file.find(None) == tmp_path / "etc.toml"
    (tmp_path / "signer.toml").touch()
    assert config_file.find(None) == tmp_path / "signer.toml"
    assert config_file.find("other.toml") == tmp_path / "other.toml"


# -- properties -------------------------------------------------------------------------------------------

LINES = EXAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)
SCRAPS = st.sampled_from(
    [
        "[[keys]]\n",
        "[keys]\n",
        "[tokens]\n",
        "keys = []\n",
        "lanes = 3\n",
        "[[",
        "= 1\n",
        'unix = ""\n',
        "tcp = 1\n",
        "peers = [[]]\n",
        "environment = 1\n",
        "label = '''\n",
        "id = 1e400\n",
        "x = 07:32:00\n",
        '"" = 1\n',
        "\0",
        "timeout_ms = 99999999999999999999\n",
        'unix = "\\u0000"\n',
        '[nodes."a\\nb"]\n',
        "tokens = [1, {}]\n",
    ]
)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """The example with lines dropped, doubled, moved, cut or replaced by scraps."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "double", "move", "scrap", "cut", "text"])):
            case "drop":
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "move":
                lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(at))
            case "scrap":
                lines.insert(at, draw(SCRAPS))
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case "text":
                key, equals, _ = lines[at].partition("=")
                lines[at] = f"{key}{equals}{draw(st.text(max_size=20))}\n"
    return "".join(lines)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutations())
def test_a_damaged_file_is_a_config_or_a_config_error(text: str) -> None:
    """No file brings another exception than ConfigError, and each line of it names the file."""
    try:
        config_file.parse(text.encode("utf-8", "surrogatepass"), EXAMPLE)
    except ConfigError as error:
        assert all(line.startswith(str(EXAMPLE)) for line in str(error).split("\n"))  # noqa: PT017 - one of two ends


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_value_in_any_place_is_a_config_or_a_config_error(data: st.DataObject) -> None:
    """A value of a wrong type brings no other exception than ConfigError, wherever it stands."""
    tables = tomllib.loads("".join(LINES))
    place: Any = tables
    keys: list[Any] = list(tables)
    while True:
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not inner or not isinstance(inner, dict | list) or data.draw(st.booleans()):
            break
        place = inner
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
    place[key] = data.draw(VALUES)

    try:
        config_file.build(tables, EXAMPLE)
    except ConfigError as error:
        assert str(error)  # noqa: PT017 - one of two ends
