"""What each command says, and its exit code, as a script sees them."""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signer import __version__
from signer.control.auth import Scope
from signer.signing.freeze import FreezeMarkers

if TYPE_CHECKING:
    from collections.abc import Callable

    from rig.command_line import Answers, Result

    Signer = Callable[..., Result]

R1 = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
K1 = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"
K1_PUB = "PUB_K1_5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1a4bJPT"
NOBODY = 65534
STATUS = {
    "problems": [],
    "state": "serving",
    "ready": True,
    "pid": 7,
    "version": "1",
    "generation": 2,
    "started_at": "2024-01-01T00:00:00Z",
    "frozen": [{"scope": "node", "name": "b", "at": "t", "by": "me", "reason": "drill"}],
    "tokens": {
        "primary": {
            "state": "logged-in",
            "reason": "",
            "lanes": [{"id": 1, "pid": 8, "state": "idle"}],
            "lanes_configured": 2,
        }
    },
    "keys": [
        {
            "public_key": R1,
            "role": "block",
            "node": "a",
            "token": "primary",
            "state": "quarantined",
            "reason": "doubled\u001b[31m",
            "signatures": 3,
            "last_signature_at": 1700000000.5,
        },
    ],
}


def lines_of(error: str) -> list[str]:
    """The lines of an error message; each must be ours, so there is no traceback."""
    lines = error.splitlines()
    assert all(line.startswith("signer: ") for line in lines), error
    return lines


# -- usage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("freeze", "--all"),
        ("freeze", "--reason", "x"),
        ("freeze", "--all", "--node", "a", "--reason", "x"),
        ("freeze", "--all", "--reason", " "),
        ("serve", "--only", "wallet"),
        ("keys",),
        ("keys", "generate"),
        ("audit", "verify", "--begins", "0"),
        ("token", "create", "me", "--scope", "view", "--days", "0"),
        ("--conf", "x", "status"),
    ],
)
def test_wrong_usage_is_2_and_one_line(arguments: tuple[str, ...], signer: Signer) -> None:
    """Argparse's own text is one line here too."""
    result = signer(*arguments)

    assert result.code == 2
    (line,) = lines_of(result.err)
    assert "--help" in line


def test_the_exit_codes_are_in_the_help(signer: Signer) -> None:
    """`signer --help` tells every exit code and where the configuration is looked for."""
    result = signer("--help")

    assert result.code == 0
    for code in (0, 1, 2, 3, 4, 5, 6, 130):
        assert f"\n  {code} " in result.out
    assert "/etc/antelope-signer/signer.toml" in result.out


def test_the_version_is_told(signer: Signer) -> None:
    """`signer --version`."""
    assert signer("--version").out == f"signer {__version__}\n"


@pytest.mark.parametrize("before", [True, False])
def test_config_is_taken_before_and_after_the_command(before: bool, signer: Signer, site: Path) -> None:  # noqa: FBT001
    """`--config` may stand in either place."""
    (site / "signer.toml").rename(site / "other.toml")
    option, command = ("--config", str(site / "other.toml")), ("nodes", "config", "a")

    result = signer(*option, *command) if before else signer(*command, *option)

    assert result.code == 0


def test_without_a_config_both_places_are_named(signer: Signer, tmp_path: Path) -> None:
    """The message says where was looked."""
    empty = tmp_path / "empty"
    empty.mkdir()

    result = signer("check-config", cwd=empty)

    assert result.code == 2
    assert "signer.toml" in result.err
    assert "/etc/antelope-signer/signer.toml" in result.err


# -- check-config -----------------------------------------------------------------------------------------


def test_an_invalid_config_is_2(signer: Signer, site: Path) -> None:
    """Each fault is a line."""
    text = (site / "signer.toml").read_text(encoding="utf-8")
    (site / "signer.toml").write_text(text.replace('role = "block"', 'role = "blok"'), encoding="utf-8")

    result = signer("check-config")

    assert result.code == 2
    assert [line.split(": ")[2] for line in lines_of(result.err)] == ["keys[0].role", "keys[1].role"]
    answer = json.loads(signer("check-config", "--json").out)
    assert answer["valid"] is False
    assert len(answer["errors"]) == 2


def test_a_valid_config_is_0_and_strict_finds_more(signer: Signer) -> None:
    """--strict tells what is unwise, and ends with 5."""
    assert signer("check-config").code == 0

    result = signer("check-config", "--strict")

    assert result.code == 5
    for word in ("software token", "primary.pin", "softhsm2.conf", "not a folder yet"):
        assert word in result.out
    answer = json.loads(signer("check-config", "--strict", "--json").out)
    assert answer["valid"] is True
    assert len(answer["warnings"]) == result.out.count("warning: ")


def test_a_config_that_this_user_may_not_read_is_4(signer: Signer, public_site: Path) -> None:
    """The user whose file it is, is named; with --json too it is 4."""
    (public_site / "signer.toml").chmod(0o600)

    for command in (("status",), ("check-config",), ("freeze", "--all", "--reason", "drill")):
        result = signer(*command, user=NOBODY, cwd=public_site)
        assert result.code == 4
        assert f"it belongs to the user {pwd.getpwuid(os.geteuid()).pw_name}" in " ".join(
            lines_of(result.err)
        )
    as_json = signer("check-config", "--json", user=NOBODY, cwd=public_site)
    assert (as_json.code, json.loads(as_json.out)["valid"]) == (4, False)


def test_a_config_in_a_folder_that_this_user_may_not_enter_is_4(signer: Signer, public_site: Path) -> None:
    """The folder that is in the way is named."""
    inner = public_site / "inner"
    inner.mkdir(mode=0o700)
    (public_site / "signer.toml").rename(inner / "signer.toml")

    result = signer("--config", "inner/signer.toml", "status", user=NOBODY, cwd=public_site)

    assert result.code == 4
    assert f"the folder {inner} belongs to" in result.err


# -- status, reload, stop ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [("status",), ("reload",), ("stop",)],
)
def test_a_signer_that_does_not_run_is_3(command: tuple[str, ...], signer: Signer) -> None:
    """The message says how to start it."""
    result = signer(*command)

    assert result.code == 3
    (line,) = lines_of(result.err)
    assert "not running" in line
    assert "signer serve" in line
    assert "as the signer's user" in line
    assert "./deploy/quickstart --detach" in line


def test_status_as_json_of_a_signer_that_does_not_run(signer: Signer) -> None:
    """A script gets JSON, whatever the state."""
    result = signer("status", "--json")

    assert result.code == 3
    assert json.loads(result.out)["state"] == "not-running"
    assert result.err == ""


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 1)])
def test_status_is_0_if_ready_and_1_if_not(ready: bool, code: int, signer: Signer, answers: Answers) -> None:  # noqa: FBT001
    """The exit code is enough for a health check."""
    answers.json("/v1/status", STATUS | {"ready": ready})

    result = signer("status")

    assert result.code == code
    assert json.loads(signer("status", "--json").out) == STATUS | {"ready": ready}


def test_status_shows_what_matters(signer: Signer, answers: Answers) -> None:
    """Tokens, keys, freezes and reasons are in the table; nothing steers the terminal."""
    answers.json("/v1/status", STATUS)

    out = signer("status").out

    for word in (
        "serving",
        "logged-in",
        "FROZEN node b: drill",
        R1,
        "quarantined",
        "doubled",
        "2023-11-14T22:13:20Z",
    ):
        assert word in out
    assert "\x1b" not in out


def test_status_says_first_why_the_signer_is_not_ready(signer: Signer, answers: Answers) -> None:
    """Exit code 1, and a sentence for each reason."""
    obstacles = ["node a has no key that can sign", "node b: no signature and no probe of token t for 60 s"]
    answers.json("/v1/status", STATUS | {"ready": False, "obstacles": obstacles})
    done = signer("status")
    assert done.code == 1
    assert done.out.splitlines()[1:3] == [f"not ready: {each}" for each in obstacles]


def test_status_tells_what_needs_attention_first(signer: Signer, answers: Answers) -> None:
    """Right under line 1, one line each; nothing in them steers the terminal."""
    answers.json("/v1/status", STATUS | {"problems": ["token a is away", "odd\u001b[31m"], "restarts": 3})

    out = signer("status").out.splitlines()

    assert out[0].startswith("serving, ready")
    assert out[1:3] == ["attention: token a is away", "attention: odd?[31m"]
    assert "restarts of the signing process: 3" in out


@pytest.mark.parametrize(
    ("ready", "problems", "code"),
    [(True, [], 0), (True, ["x"], 5), (False, ["x"], 1)],
)
def test_strict_status_is_5_with_a_problem(
    ready: bool,  # noqa: FBT001
    problems: list[str],
    code: int,
    signer: Signer,
    answers: Answers,
) -> None:
    """Not ready stays 1; without --strict a problem alone is 0."""
    answers.json("/v1/status", STATUS | {"ready": ready, "problems": problems})

    assert signer("status", "--strict").code == code
    assert signer("status", "--strict", "--json").code == code
    assert signer("status").code == (0 if ready else 1)


def test_status_counts_lanes_by_what_is_configured(signer: Signer, answers: Answers) -> None:
    answers.json("/v1/status", STATUS)
    shown = signer("status").out

    assert "  1 of 2" in shown
    assert "SIGNED SINCE START" in shown


def test_status_tells_that_the_file_is_broken_now(signer: Signer, answers: Answers, site: Path) -> None:
    """What runs goes on with what it has read; who asks should not hear of it at the next start."""
    answers.json("/v1/status", STATUS | {"problems": ["x"]})
    assert "not valid" not in signer("status").out
    with (site / "signer.toml").open("a", encoding="utf-8") as file:
        file.write("\nnonsense = 1\n")

    shown = signer("status")
    assert "attention: x\n" in shown.out
    assert "attention: the file is not valid now, a start or a reload fails: " in shown.out
    assert "nonsense" in shown.out
    problems = json.loads(signer("status", "--json").out)["problems"]
    assert [problem.partition(",")[0] for problem in problems] == ["x", "the file is not valid now"]
    assert signer("status", "--strict").code == 5


def test_status_tells_what_was_not_signed_and_how_the_audit_log_is(signer: Signer, answers: Answers) -> None:
    """In one line."""
    counters = {"verdicts": {"signed": 9, "late": 2, "failed": 1}}
    audit = {"seq": 4, "waiting": 5, "lost": 6, "degraded": "disk full"}
    answers.json("/v1/status", STATUS | {"counters": counters, "audit": audit})

    line = (
        "requests not signed: 2 late, 0 refused, 1 failed   audit log: 5 waiting, 6 lost, degraded: disk full"
    )
    assert line in signer("status").out.splitlines()


def test_status_of_an_old_or_new_signer_is_no_traceback(signer: Signer, answers: Answers) -> None:
    """Missing fields are shown as unknown."""
    answers.json("/v1/status", {"state": "starting"})

    result = signer("status")

    assert (result.code, result.err) == (1, "")


def test_a_refused_reload_is_1_with_the_signers_words(signer: Signer, answers: Answers) -> None:
    """The refusal is shown as the signer gave it."""
    answers.json(
        "/v1/reload", {"error": {"code": "refused", "message": "would lose a key", "remedy": ""}}, 409
    )

    result = signer("reload")

    assert (result.code, result.err) == (1, "signer: would lose a key\n")


def test_a_reload_tells_the_generation(signer: Signer, answers: Answers) -> None:
    """The new generation is in the answer."""
    answers.json("/v1/reload", {"generation": 4, "quarantined": {}})

    result = signer("reload")

    assert (result.code, result.out, result.err) == (0, "reloaded, generation 4\n", "")


def test_a_reload_that_quarantines_a_key_is_5(signer: Signer, answers: Answers) -> None:
    """The key and the reason are told; a script gets the signer's answer."""
    answer = {"generation": 4, "quarantined": {R1: "doubled\u001b[31m"}}
    answers.json("/v1/reload", answer)

    result = signer("reload")

    assert (result.code, result.out) == (5, "reloaded, generation 4\n")
    (line,) = lines_of(result.err)
    assert R1 in line
    assert line.endswith("doubled?[31m")
    as_json = signer("reload", "--json")
    assert (as_json.code, json.loads(as_json.out)) == (5, answer)


def test_stop_waits_until_nobody_listens(signer: Signer, answers: Answers, site: Path) -> None:
    """After `signer stop` a new signer can start."""
    answers.json("/v1/stop", {"stopping": True})

    result = signer("stop")

    assert (result.code, result.out) == (0, "stopped\n")
    with socket.socket(socket.AF_UNIX) as probe:
        assert probe.connect_ex(str(site / "admin.sock")) != 0


def test_stop_waits_until_the_process_is_gone(signer: Signer, answers: Answers) -> None:
    """It writes the end of its audit log after nobody listens any more."""
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as running:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        answers.json("/v1/stop", {"stopping": True, "pid": running.pid, "pid_namespace": namespace})
        ended: list[int] = []
        stopping = threading.Thread(target=lambda: ended.append(signer("stop").code))
        stopping.start()
        stopping.join(0.5)
        assert not ended
        running.kill()
        stopping.join(20)
        assert ended == [0]


def test_a_pid_of_another_namespace_is_nobody_here(signer: Signer, answers: Answers) -> None:
    """A signer in a container says 1, and a process 1 runs everywhere."""
    answers.json("/v1/stop", {"stopping": True, "pid": 1, "pid_namespace": 1})

    assert signer("stop").code == 0


def test_stop_as_json(signer: Signer, answers: Answers) -> None:
    """For scripts."""
    answers.json("/v1/stop", {"stopping": True})

    assert json.loads(signer("stop", "--json").out) == {"stopped": True}


def test_a_signer_that_says_403_is_4(signer: Signer, answers: Answers) -> None:
    """Not permitted is told apart from not possible."""
    answers.json("/v1/status", {"error": {"code": "peer", "message": "uid 5 may not", "remedy": ""}}, 403)

    assert signer("status").code == 4


def test_a_socket_that_may_not_be_used_is_4(signer: Signer, public_site: Path) -> None:
    """The kernel's refusal is told with the remedy."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(public_site / "admin.sock"))
        listener.listen()
        (public_site / "admin.sock").chmod(0o600)

        result = signer("status", user=NOBODY, cwd=public_site)

    assert result.code == 4
    assert "as root or as the signer's user" in lines_of(result.err)[0]


# -- freeze -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "frozen"),
    [
        (("--all",), ("all", "")),
        (("--node", "a"), ("node", "a")),
        (("--key", K1), ("key", K1_PUB)),
        (("--key", R1), ("key", R1)),
        (("--key", "k1-1"), ("key", K1_PUB)),
    ],
)
def test_a_freeze_goes_to_the_signer(
    arguments: tuple[str, ...], frozen: tuple[str, str], signer: Signer, answers: Answers, site: Path
) -> None:
    """The running signer makes the marker, so the command makes none."""
    scope, name = frozen
    answers.json("/v1/freeze", {})

    result = signer("freeze", *arguments, "--reason", "drill")

    assert (result.code, result.out) == (0, f"frozen: {scope} {name}".rstrip() + "\n")
    assert answers.asked == [("POST", "/v1/freeze", {"scope": scope, "name": name, "reason": "drill"})]
    assert not (site / "state").exists()


def test_a_label_of_two_keys_freezes_nothing(signer: Signer, site: Path, answers: Answers) -> None:
    """The same label on two tokens: both keys are named, with their tokens."""
    text = (site / "signer.toml").read_text(encoding="utf-8")
    other = '[tokens.other]\nuri = "pkcs11:token=o?module-path=/usr/lib/softhsm/libsofthsm2.so"\npin_credential = "o"\n'
    key = "PUB_R1_5B4YWRuzRL1vhyywAY3BQRRRsA8RkXHVfb11yawNRWYb2fdLj8"
    block = f'[[keys]]\npublic_key = "{key}"\nrole = "block"\nnode = "a"\ntoken = "other"\nlabel = "k1-1"\n'
    (site / "signer.toml").write_text(f"{text}\n{other}\n{block}", encoding="utf-8")

    for command in ("freeze", "unfreeze"):
        result = signer(command, "--key", "k1-1", "--reason", "drill")

        assert result.code == 2
        assert f"{K1_PUB} on token primary, {key} on token other" in result.err
    assert answers.asked == []


def test_a_freeze_by_label_with_a_broken_config_is_2(signer: Signer, site: Path) -> None:
    """A label means nothing without the file; the message says that a public key works."""
    with (site / "signer.toml").open("a", encoding="utf-8") as file:
        file.write("\nnonsense = 1\n")

    result = signer("freeze", "--key", "r1-1", "--reason", "drill")

    assert result.code == 2
    assert "labels are unknown while the file is invalid" in result.err


def test_freeze_and_unfreeze_as_json(signer: Signer, site: Path) -> None:
    """Who froze, and what is still frozen."""
    FreezeMarkers(site / "state" / "frozen").set("node", "a", "me", "repair")
    frozen = json.loads(signer("freeze", "--key", "r1-1", "--reason", "drill", "--json").out)
    unfrozen = json.loads(signer("unfreeze", "--key", "r1-1", "--json").out)
    again = json.loads(signer("unfreeze", "--key", "r1-1", "--json").out)

    assert (frozen["frozen"], frozen["by"]) == ({"scope": "key", "name": R1}, "marker")
    assert (unfrozen["unfrozen"], again["unfrozen"]) == (True, False)
    assert [mark["name"] for mark in unfrozen["still_frozen"]] == ["a"]


def test_a_freeze_by_the_signer_as_json(signer: Signer, answers: Answers) -> None:
    """The marker is the signer's own."""
    answers.json("/v1/freeze", {})

    answer = json.loads(signer("freeze", "--all", "--reason", "drill", "--json").out)

    assert answer == {"frozen": {"scope": "all", "name": ""}, "by": "signer"}


@pytest.mark.parametrize("server", ["answers", "site"])
def test_a_freeze_without_a_signer_is_a_marker(
    server: str, signer: Signer, site: Path, request: pytest.FixtureRequest
) -> None:
    """Silent or absent: the command freezes itself, and says so."""
    request.getfixturevalue(server)

    result = signer("freeze", "--key", K1, "--reason", "drill")

    assert result.code == 0
    assert "by a marker in" in result.out
    assert ("not running" in result.out) == (server == "site")
    assert FreezeMarkers(site / "state" / "frozen").frozen("a", K1_PUB) == "drill"


def test_a_freeze_works_with_a_broken_config(signer: Signer, site: Path) -> None:
    """A typing error elsewhere in the file does not stop a freeze."""
    text = (site / "signer.toml").read_text(encoding="utf-8")
    (site / "signer.toml").write_text(text + "\nnonsense = 1\n", encoding="utf-8")

    assert signer("freeze", "--node", "a", "--reason", "drill").code == 0
    assert FreezeMarkers(site / "state" / "frozen").frozen("a", R1) == "drill"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--node", "b"), "has no node b"),
        (("--key", "PUB_R1_x"), "--key"),
        (("--key", "PUB_R1_5B4YWRuzRL1vhyywAY3BQRRRsA8RkXHVfb11yawNRWYb2fdLj8"), "nothing was frozen"),
    ],
)
def test_a_freeze_of_nothing_is_2(arguments: tuple[str, ...], word: str, signer: Signer, site: Path) -> None:
    """A mistyped name must not look like a freeze."""
    result = signer("freeze", *arguments, "--reason", "drill")

    assert result.code == 2
    assert word in result.err
    assert not (site / "state").exists()


def test_a_freeze_that_may_not_be_made_is_4(signer: Signer, public_site: Path) -> None:
    """Without permission nothing is claimed."""
    (public_site / "state").mkdir(mode=0o700)

    result = signer("freeze", "--all", "--reason", "drill", user=NOBODY, cwd=public_site)

    assert result.code == 4
    assert "frozen:" not in result.out
    lines_of(result.err)


def test_a_freeze_that_cannot_be_kept_freezes_nothing_and_says_so(signer: Signer, site: Path) -> None:
    """Here a file is where the folder has to be; a full disk is another reason."""
    (site / "state").mkdir(exist_ok=True)
    (site / "state" / "frozen").write_text("")
    result = signer("freeze", "--all", "--reason", "drill")
    assert result.code == 1
    assert "NOTHING IS FROZEN" in result.err
    assert "state/frozen: Not a directory" in result.err
    assert "stop the signer" in result.err


def test_unfreeze_removes_the_marker_and_tells_what_is_left(signer: Signer, site: Path) -> None:
    """Without a signer the marker is removed; other freezes are named."""
    markers = FreezeMarkers(site / "state" / "frozen")
    markers.set("all", "", "me", "drill")
    markers.set("node", "a", "me", "repair")

    result = signer("unfreeze", "--all")

    assert result.code == 0
    assert "unfrozen: all" in result.out
    assert "still frozen: node a: repair" in result.out
    assert markers.frozen("a", R1) == "repair"


@pytest.mark.parametrize(("found", "words"), [(True, "unfrozen: node a"), (False, "node a was not frozen")])
def test_unfreeze_tells_whether_there_was_a_freeze(
    found: bool,  # noqa: FBT001
    words: str,
    signer: Signer,
    answers: Answers,
) -> None:
    """The running signer says what it found."""
    answers.json("/v1/unfreeze", {"unfrozen": found})

    assert signer("unfreeze", "--node", "a").out == f"{words}\n"


def test_unfreeze_does_not_go_around_a_silent_signer(signer: Signer, site: Path, answers: Answers) -> None:
    """While a signer runs, only it ends a freeze."""
    FreezeMarkers(site / "state" / "frozen").set("all", "", "me", "drill")

    result = signer("unfreeze", "--all")

    assert result.code == 3
    assert FreezeMarkers(site / "state" / "frozen").frozen("a", R1) == "drill"


# -- nodes and keys ---------------------------------------------------------------------------------------


def test_the_lines_for_a_node(signer: Signer, site: Path) -> None:
    """What is pasted into config.ini: each block key, the timeout, by TCP; the unix form has no path."""
    result = signer("nodes", "config", "a")

    live = [line for line in result.out.splitlines() if not line.startswith("#")]
    assert live == [
        "keosd-provider-timeout = 7",
        f"signature-provider = {R1}=KEOSD:http://127.0.0.1:8900/v1/wallet/sign_digest",
        f"signature-provider = {K1_PUB}=KEOSD:http://127.0.0.1:8900/v1/wallet/sign_digest",
    ]
    assert f"# signature-provider = {R1}=KEOSD:unix://{site}/run/a.sock\n" in result.out


def test_the_lines_for_a_node_by_unix_socket(signer: Signer, site: Path) -> None:
    """--unix turns the comment around."""
    live = [
        line for line in signer("nodes", "config", "a", "--unix").out.splitlines() if not line.startswith("#")
    ]

    assert live[1:] == [f"signature-provider = {key}=KEOSD:unix://{site}/run/a.sock" for key in (R1, K1_PUB)]


def test_a_relative_config_gives_plain_socket_paths(signer: Signer, site: Path) -> None:
    """What is pasted into another program's file has no `..`."""
    below = site / "below"
    below.mkdir()

    out = signer("nodes", "config", "a", "--config", "../signer.toml", cwd=below).out

    assert ".." not in out
    assert f"KEOSD:unix://{site.resolve()}/run/a.sock\n" in out


def test_the_lines_for_a_node_as_json(signer: Signer, site: Path) -> None:
    """A script gets the parts."""
    answer = json.loads(signer("nodes", "config", "a", "--json").out)

    assert answer["url"] == "http://127.0.0.1:8900/v1/wallet/sign_digest"
    assert answer["socket"] == f"{site}/run/a.sock"
    assert answer["public_keys"] == [R1, K1_PUB]
    assert len(answer["lines"]) == 3


def test_an_unknown_node_is_2(signer: Signer) -> None:
    """The known ones are named."""
    result = signer("nodes", "config", "b")

    assert result.code == 2
    assert "known are: a" in result.err


@pytest.mark.parametrize("kind", ["node", "chain"])
def test_the_doctor_says_what_it_does_not_know(kind: str, signer: Signer) -> None:
    """A node's name is no chain's."""
    result = signer("doctor", "--quick", f"--{kind}", "nobody")

    assert (result.code, f"has no {kind} nobody" in result.err) == (2, True), result.err


def test_keys_are_listed_with_and_without_a_signer(signer: Signer, request: pytest.FixtureRequest) -> None:
    """Offline the state is 'not running'; online it is the signer's."""
    offline = json.loads(signer("keys", "list", "--json").out)
    answers: Answers = request.getfixturevalue("answers")
    answers.json("/v1/status", STATUS)
    online = json.loads(signer("keys", "list", "--json").out)

    assert [each["state"] for each in offline] == ["not running", "not running"]
    assert [each["state"] for each in online] == ["quarantined", "not loaded"]
    assert [each["legacy_public_key"] for each in offline] == [None, K1]
    assert "quarantined" in signer("keys", "list").out


@pytest.mark.parametrize("name", ["k1-1", K1, K1_PUB])
def test_a_key_is_shown_by_any_name(name: str, signer: Signer) -> None:
    """Label, legacy and PUB_ form find the same key."""
    assert json.loads(signer("keys", "show", name, "--json").out)["label"] == "k1-1"


def test_a_shown_key_has_a_readable_date(signer: Signer, answers: Answers) -> None:
    """In JSON it stays a number."""
    answers.json("/v1/status", STATUS)

    assert "2023-11-14T22:13:20Z" in signer("keys", "show", R1).out
    assert json.loads(signer("keys", "show", R1, "--json").out)["last_signature_at"] == 1700000000.5


def test_an_unknown_key_is_2(signer: Signer) -> None:
    """The nearest label is suggested."""
    result = signer("keys", "show", "k1-2")

    assert result.code == 2
    assert 'did you mean "k1-1"' in result.err


# -- tokens and the audit log -----------------------------------------------------------------------------


def test_an_access_token_is_shown_once(signer: Signer, site: Path) -> None:
    """Created, listed without its text, revoked."""
    assert signer("token", "create", "me", "--scope", "view", "--out", "t").code == 0
    token = (site / "t").read_text(encoding="ascii").strip()

    listed = signer("token", "list", "--json").out

    assert (site / "t").stat().st_mode & 0o777 == 0o600
    assert token not in listed
    assert json.loads(listed)[0]["name"] == "me"
    assert "me" in signer("token", "list").out
    lasts = datetime.fromisoformat(json.loads(listed)[0]["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23) < lasts <= timedelta(days=90)
    assert signer("token", "revoke", "me").code == 0
    assert signer("token", "revoke", "me").code == 1
    acts = [json.loads(line) for line in signer("audit", "export").out.splitlines()]
    assert [(act["act"], act["detail"]) for act in acts if act["kind"] == "act"] == [
        ("token-create", "for 'me', scopes view"),
        ("token-revoke", "of 'me'"),
    ]
    assert all(act["by"].startswith(f"uid {os.getuid()} ") for act in acts if act["kind"] == "act")
    assert json.loads(signer("token", "list", "--json").out)[0]["revoked_at"] is not None


def test_an_access_token_on_standard_output_stands_there_alone(signer: Signer) -> None:
    """When it ends is said beside it."""
    made = signer("token", "create", "me", "--scope", "view", "--days", "3650")

    assert re.fullmatch(r"sgn_[\w-]{43}\n", made.out)
    assert re.search(r"ends on 20\d\d-\d\d-\d\d", made.err)


def test_the_help_of_token_create_has_a_line_for_each_scope(signer: Signer) -> None:
    """And for no other."""
    text = signer("token", "create", "--help").out

    assert re.findall(r"^  ([a-z]+)  +[a-z]", text.partition("scopes,")[2], re.MULTILINE) == list(Scope)


def test_retry_and_revoke_as_json(signer: Signer, request: pytest.FixtureRequest) -> None:
    """For scripts."""
    assert signer("token", "create", "me", "--scope", "view").code == 0
    offline = json.loads(signer("token", "retry", "primary", "--json").out)
    answers: Answers = request.getfixturevalue("answers")
    answers.json("/v1/token/retry", {"retried": "primary"})
    online = json.loads(signer("token", "retry", "primary", "--json").out)

    assert json.loads(signer("token", "revoke", "me", "--json").out) == {"revoked": "me"}
    assert offline == {"token": "primary", "retried": False, "forgotten": False}
    assert online == {"token": "primary", "retried": True, "forgotten": False}


def test_an_access_token_does_not_overwrite_a_file(signer: Signer, site: Path) -> None:
    """A file that exists stays, and no token is made."""
    (site / "t").write_text("mine", encoding="ascii")

    result = signer("token", "create", "me", "--scope", "view", "--out", "t")

    assert result.code == 1
    lines_of(result.err)
    assert (site / "t").read_text(encoding="ascii") == "mine"


def test_a_wrong_scope_is_2_and_leaves_no_file(signer: Signer, site: Path) -> None:
    """The scopes are named."""
    result = signer("token", "create", "me", "--scope", "everything", "--out", "t")

    assert result.code == 2
    assert "view" in result.err
    assert not (site / "t").exists()


def test_a_token_is_retried_by_the_signer(signer: Signer, answers: Answers) -> None:
    """The running signer tries the PIN again."""
    answers.json("/v1/token/retry", {"retried": "primary"})

    assert signer("token", "retry", "primary").code == 0
    assert answers.asked == [("POST", "/v1/token/retry", {"token": "primary"})]
    assert signer("token", "retry", "x").code == 2


def test_a_token_is_retried_without_a_signer(signer: Signer, site: Path) -> None:
    """Without a signer the marker is removed."""
    marker = site / "state" / "pin-refused" / "primary.json"
    marker.parent.mkdir(parents=True)
    marker.touch()

    result = signer("token", "retry", "primary")

    assert result.code == 0
    assert "forgotten" in result.out
    assert not marker.exists()


def test_a_damaged_audit_log_is_5(signer: Signer, site: Path) -> None:
    """A log that holds is 0, one that does not is 5, one that cannot be read is 1."""
    (site / "good").touch()
    (site / "bad").write_bytes(b"nonsense\n")

    assert signer("audit", "verify", "good").code == 0
    assert signer("audit", "verify", "good", "bad").code == 5
    assert json.loads(signer("audit", "verify", "bad", "--json").out)[0]["ok"] is False
    assert signer("audit", "verify", "absent").code == 1
    assert signer("audit", "verify", "good", "--anchor", "absent").code == 1


def test_an_anchor_is_found_in_its_log(signer: Signer, site: Path) -> None:
    """What `anchor` prints, `verify --anchor` accepts."""
    (site / "good").touch()
    (site / "anchor").write_text(signer("audit", "anchor", "good").out, encoding="ascii")

    assert signer("audit", "verify", "good", "--anchor", "anchor").code == 0
    (site / "anchor").write_text("{}", encoding="ascii")
    assert signer("audit", "verify", "good", "--anchor", "anchor").code == 2


def test_a_closed_pipe_is_no_traceback(site: Path) -> None:
    """`signer ... | head` ends quietly."""
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "signer.cli", "nodes", "config", "a"],
        cwd=site,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")
