"""deploy/quickstart: one command makes a signer for trials, and running it twice changes nothing."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shlex
import signal
import socket
import sqlite3
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from rig.condition import HANG_S, until
from rig.family import commands
from rig.trial import QUICKSTART, REPOSITORY, Trial, sign, uid_of

from signer.admin_client import AdminClient
from signer.antelope.keys import PublicKey, parse_digest
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature

_DIGEST = "5a" * 32
_SERVICE_USER = "antelope-signer"
_AS_ROOT = os.geteuid() == 0


def _control_token(found: dict[str, Any]) -> str:
    return Path(found["control_token_file"]).read_text(encoding="ascii").strip()


def _whoami(found: dict[str, Any], token: str) -> int:
    """Ask the control API who has this token; return the status."""
    connection = http.client.HTTPConnection(str(urlsplit(found["control_url"]).netloc), timeout=10)
    connection.request("GET", "/v1/whoami", headers={"Authorization": f"Bearer {token}"} if token else {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


class TestRunning:
    """Laws of a trial that runs."""

    def test_the_description_has_every_field(self, running: Trial) -> None:
        """A script needs no other file."""
        found = running.description()
        assert set(found) == {
            "nodes",
            "wallet_socket",
            "admin_socket",
            "control_url",
            "control_token_file",
            "keys",
            "pid",
            "config",
            "venv",
        }
        assert set(found["nodes"]) == {"primary", "standby"}
        for offset, node in enumerate(("primary", "standby")):
            url = f"http://127.0.0.1:{running.port + offset}/v1/wallet/sign_digest"
            assert found["nodes"][node]["url"] == url
            assert stat.S_ISSOCK(os.stat(found["nodes"][node]["socket"]).st_mode)  # noqa: PTH116 - a text path
        assert found["control_url"] == f"http://127.0.0.1:{running.port + 2}"
        for key in found["keys"]:
            assert set(key) == {"public_key", "legacy_public_key", "curve", "role", "node", "label"}

    def test_the_ring_has_two_r1_and_one_k1_for_each_node(self, running: Trial) -> None:
        """Beside them a rotation key, an audit key, and a probe key of each curve that a token signs with."""
        keys = running.description()["keys"]
        count = {
            (curve, role, node): sum((k["curve"], k["role"], k["node"]) == (curve, role, node) for k in keys)
            for curve, role, node in {(k["curve"], k["role"], k["node"]) for k in keys}
        }
        assert count == {
            ("R1", "block", "primary"): 2,
            ("K1", "block", "primary"): 1,
            ("R1", "block", "standby"): 2,
            ("K1", "block", "standby"): 1,
            ("R1", "rotation", None): 1,
            ("R1", "audit", None): 1,
            ("R1", "probe", None): 3,
            ("K1", "probe", None): 2,
        }
        assert len({key["public_key"] for key in keys}) == len(keys)
        for key in keys:
            assert (key["legacy_public_key"] is not None) == (key["curve"] == "K1")
            assert PublicKey.parse(key["public_key"]).legacy == key["legacy_public_key"]

    @pytest.mark.parametrize("node", ["primary", "standby"])
    @pytest.mark.parametrize("way", ["url", "socket"])
    def test_every_block_key_signs_for_its_node(self, running: Trial, node: str, way: str) -> None:
        """By both addresses that the description names."""
        found = running.description()
        keys = [key for key in found["keys"] if key["node"] == node]
        assert len(keys) == 3
        for key in keys:
            status, answer = sign(found["nodes"][node][way], _DIGEST, key["public_key"])
            assert status == 201, answer
            assert str(recover(parse_digest(_DIGEST), Signature.parse(answer))) == key["public_key"]

    def test_a_key_does_not_sign_for_the_other_node(self, running: Trial) -> None:
        """Each node has its own address and keys."""
        found = running.description()
        key = next(key for key in found["keys"] if key["node"] == "standby")
        for target in found["nodes"]["primary"].values():
            assert sign(target, _DIGEST, key["public_key"])[0] == 500

    def test_the_control_process_knows_its_token(self, running: Trial) -> None:
        """The token in the file is accepted, and nobody is without one."""
        found = running.description()
        assert _whoami(found, _control_token(found)) == 200
        assert _whoami(found, "") == 401

    def test_nothing_is_open_to_others(self, running: Trial) -> None:
        """Folders 0700, files 0600; sockets, made by the signer, 0660 in folders of 0750."""
        assert stat.S_IMODE(running.folder.stat().st_mode) == 0o700
        for path in running.folder.rglob("*"):
            mode = path.lstat().st_mode
            below_run = "run" in path.relative_to(running.folder).parts[:-1]
            if stat.S_ISSOCK(mode):
                assert stat.S_IMODE(mode) == 0o660, path
            elif stat.S_ISDIR(mode):
                assert stat.S_IMODE(mode) == (0o750 if below_run else 0o700), path
            else:
                assert stat.S_IMODE(mode) == 0o600, path

    def test_every_pin_is_another(self, running: Trial) -> None:
        """Three tokens, two PINs each, and a control token: seven secrets."""
        assert len(set(running.secrets())) == 7

    def test_the_signer_does_not_run_as_root(self, running: Trial) -> None:
        """Started as root it runs as a user made for it; otherwise as who started it."""
        expected = pwd.getpwnam(_SERVICE_USER).pw_uid if _AS_ROOT else os.geteuid()
        assert uid_of(running.description()["pid"]) == expected
        assert running.folder.stat().st_uid == expected

    def test_it_goes_before_everything_else_where_root_may_ask_for_that(self, running: Trial) -> None:
        """The signing process is a real-time process, also where root may not raise limits (hsm/realtime.py)."""
        may = _AS_ROOT and subprocess.run(["chrt", "--fifo", "1", "true"], check=False).returncode == 0
        (signing,) = [
            int(folder.name)
            for folder, command in commands(running.description()["pid"]).items()
            if b"signer.signing.process" in command
        ]

        is_one = os.sched_getscheduler(signing) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
        assert is_one or not may

    def test_running_it_again_changes_nothing(self, running: Trial) -> None:
        """Same keys, same files, same process; nothing secret printed."""
        before, description = running.fingerprint(), running.description()
        again = running.run("--detach")
        assert again.returncode == 0, again.stderr
        assert "already running" in again.stderr
        assert "software token" in again.stderr + again.stdout
        assert running.fingerprint() == before
        assert running.description() == description
        for key in (key for key in description["keys"] if key["role"] == "block"):
            assert f"signature-provider = {key['public_key']}=KEOSD:http://127.0.0.1:" in again.stdout
        assert not [secret for secret in running.secrets() if secret in again.stdout + again.stderr]

    def test_the_next_command_is_printed_and_runs(self, running: Trial) -> None:
        """In full, to be pasted as it is."""
        printed = running.run("--detach").stderr.partition("look at it: ")[2].splitlines()[0]
        done = subprocess.run(shlex.split(printed), capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("serving, ready")

    def test_json_is_all_that_json_prints(self, running: Trial) -> None:
        """The file's content, for a script to read."""
        again = running.run("--detach", "--json")
        assert again.stdout == (running.folder / "quickstart.json").read_text()

    def test_another_port_is_refused(self, running: Trial) -> None:
        """The config keeps the port that it was made for."""
        before = running.fingerprint()
        refused = running.run("--port", str(running.port + 3), "--detach")
        assert refused.returncode == 1
        assert f"was made for port {running.port}" in refused.stderr
        assert running.fingerprint() == before

    def test_the_log_has_no_secret(self, running: Trial) -> None:
        """Nor has any file but those made for one."""
        log = (running.folder / "signer.log").read_text()
        assert not [secret for secret in running.secrets() if secret in log]


class TestLife:
    """Laws of starting, stopping and starting again."""

    def test_stopping_ends_the_process_and_keeps_the_keys(self, trial: Trial) -> None:
        """A second stop finds nothing to do; a second start has the same keys."""
        first = trial.start()
        trial.stop()
        assert not os.path.exists(f"/proc/{first['pid']}/exe")  # noqa: PTH110 - a zombie has no exe
        assert trial.description()["pid"] is None
        assert "no signer runs" in trial.stop().stderr
        second = trial.start()
        assert {**second, "pid": 0} == {**first, "pid": 0}

    def test_a_signer_that_was_killed_is_started_again(self, trial: Trial) -> None:
        """A stale process id and stale sockets are in nobody's way."""
        first = trial.start()
        os.kill(first["pid"], signal.SIGKILL)
        second = until(
            lambda: (
                json.loads(result.stdout)
                if (result := trial.run("--detach", "--json")).returncode == 0
                else None
            ),
            "the killed signer's helpers have ended and a new one is ready",
        )
        assert second["pid"] != first["pid"]
        assert second["keys"] == first["keys"]

    def test_an_interrupted_first_run_is_completed(self, trial: Trial) -> None:
        """Whatever was there is used; nothing is made twice."""
        first = trial.start()
        trial.stop()
        for name in ("quickstart.json", "signer.toml", "control.token"):
            (trial.folder / name).unlink()
        second = trial.start()
        assert second["keys"] == first["keys"]

    def test_an_ended_control_token_is_replaced(self, trial: Trial) -> None:
        """It lasts for 90 days; one that holds is left alone."""
        found = trial.start()
        token = _control_token(found)
        trial.start()
        assert _control_token(found) == token
        signer = (f"{found['venv']}/bin/signer", "--config", found["config"])
        subprocess.run([*signer, "token", "revoke", "quickstart"], check=True)
        trial.start()
        assert _whoami(found, token) == 401
        assert _whoami(found, _control_token(found)) == 200

    def test_a_control_token_that_ends_soon_is_replaced_and_the_audit_log_has_it(self, trial: Trial) -> None:
        """Within the two weeks in which `signer doctor` asks for it."""
        found = trial.start()
        token = _control_token(found)
        soon = int(time.time()) + 13 * 86_400
        with closing(sqlite3.connect(trial.folder / "state/control.sqlite")) as database, database:
            database.execute("UPDATE tokens SET expires_at = ?", (soon,))
        trial.start()
        assert _whoami(found, token) == 401
        assert _whoami(found, _control_token(found)) == 200
        log = (trial.folder / "state/audit/audit.jsonl").read_text()
        assert '"token-revoke"' in log
        assert '"token-create"' in log

    def test_a_damaged_control_database_stops_no_signatures(self, trial: Trial) -> None:
        """Nodes are served without it, and the status says which file it is."""
        found = trial.start()
        trial.stop()
        (trial.folder / "state/control.sqlite").write_bytes(b"no database" * 1000)
        result = trial.run("--detach")
        assert result.returncode == 0, result.stderr
        assert "whether the control token holds is not known" in result.stderr
        key = next(key for key in found["keys"] if key["node"] == "primary")
        assert sign(found["nodes"]["primary"]["url"], _DIGEST, key["public_key"])[0] == 201
        admin = AdminClient(Path(found["admin_socket"]), HANG_S)
        until(
            lambda: any(
                "control.sqlite" in problem and "runbook, The control process restarts" in problem
                for problem in admin.get("/v1/status")["problems"]
            ),
            "the status names the file",
            explain=lambda: str(admin.get("/v1/status")["problems"]),
        )

    def test_pins_without_a_token_are_made_again(self, trial: Trial) -> None:
        """A run that ended between the PIN files and the token left PINs that nothing knows."""
        trial.start()
        trial.stop()
        before = set(trial.secrets())
        for name in ("quickstart.json", "signer.toml"):
            (trial.folder / name).unlink()
        subprocess.run(["rm", "-r", trial.folder / "softhsm" / "standby"], check=True)
        trial.start()
        assert len(set(trial.secrets()) - before) == 2

    def test_a_signer_that_cannot_start_says_why(self, trial: Trial) -> None:
        """Exit code 1, the log of this start and of no other, and nothing left running."""
        trial.start()
        trial.stop()
        config = trial.folder / "signer.toml"
        good = config.read_text()
        config.write_text(good.replace("timeout_ms", "timeout_msx"))
        failed = trial.run("--detach")
        assert failed.returncode == 1
        assert "timeout_msx" in failed.stderr
        assert "request not signed" not in failed.stderr
        assert "serving" not in failed.stderr
        assert trial.description()["pid"] is None
        config.write_text(good)
        trial.start()

    def test_a_frozen_trial_says_that_it_is_frozen_and_starts_again_once_it_is_not(
        self, trial: Trial
    ) -> None:
        """A freeze outlives a restart, and ends by a command that needs no signer."""
        trial.start()
        trial.stop()
        signer = [str(REPOSITORY / ".venv/bin/signer"), "--config", str(trial.folder / "signer.toml")]
        subprocess.run([*signer, "freeze", "--all", "--reason", "a drill"], check=True)
        failed = trial.run("--detach")
        assert failed.returncode == 1
        last = failed.stderr.splitlines()[-1]
        assert "node primary has no key that can sign" in last
        assert "all is frozen: a drill; 'signer unfreeze' ends it" in last
        subprocess.run([*signer, "unfreeze", "--all"], check=True)
        trial.start()

    def test_in_the_foreground_ctrl_c_stops_it(self, trial: Trial, tmp_path: Path) -> None:
        """It prints what to paste, serves, and ends with code 0."""
        output = tmp_path / "stdout"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [QUICKSTART, "--dir", trial.folder, "--port", str(trial.port)],
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert process.stderr is not None
        printed = []
        for line in process.stderr:
            printed.append(line)
            if "Ctrl-C" in line:
                break
        assert process.poll() is None, printed
        assert output.read_text().count("signature-provider = PUB_") >= 6
        found = trial.description()
        key = next(key for key in found["keys"] if key["node"] == "primary")
        assert sign(found["nodes"]["primary"]["url"], _DIGEST, key["public_key"])[0] == 201
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, process.stderr.read()
        process.stderr.close()
        assert trial.description()["pid"] is None

    def test_a_long_path_gets_short_sockets(self, private_folder: Path) -> None:
        """The kernel takes 107 bytes for the path of a unix socket."""
        trial = Trial(private_folder / ("long" * 25) / "trial")
        try:
            found = trial.start()
            for node in ("primary", "standby"):
                path = found["nodes"][node]["socket"]
                assert len(path) <= 107
                key = next(key for key in found["keys"] if key["node"] == node)
                assert sign(path, _DIGEST, key["public_key"])[0] == 201
        finally:
            trial.stop()
        assert not os.path.exists(found["admin_socket"].removesuffix("/run/admin/admin.sock"))  # noqa: PTH110

    def test_a_plain_user_needs_no_root(self, running: Trial, private_folder: Path) -> None:
        """With the packages there, any user can make a trial; it runs as that user."""
        trial = Trial(private_folder / "trial")
        if _AS_ROOT:
            # The user that can reach this clone for certain: quickstart gave it the right, see `running`.
            user = pwd.getpwnam(_SERVICE_USER)
            assert running.folder.stat().st_uid == user.pw_uid
            trial.folder.mkdir(mode=0o700)
            os.chown(trial.folder, user.pw_uid, user.pw_gid)
            ids = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
            trial.wrapper = ("setpriv", *ids)
            _let_through(private_folder, user.pw_uid)
        try:
            found = trial.start()
            assert uid_of(found["pid"]) == trial.folder.stat().st_uid != 0
        finally:
            trial.stop()


class TestRefused:
    """What cannot be done is said before anything is made."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--unknown"],
            ["--port", "0"],
            ["--port", "65534"],
            ["--port", "http"],
            ["--port"],
            ["--dir", ""],
            ["--dir", "/"],
            ["--dir", 'a"b'],
            ["word"],
        ],
    )
    def test_wrong_usage(self, trial: Trial, arguments: list[str]) -> None:
        """Exit code 2."""
        refused = trial.run(*arguments)
        assert refused.returncode == 2
        assert "deploy/quickstart --help" in refused.stderr
        assert not trial.folder.exists()

    @pytest.mark.parametrize("offset", [0, 1, 2])
    def test_a_port_in_use(self, trial: Trial, offset: int) -> None:
        """The port is named."""
        with socket.create_server(("127.0.0.1", trial.port + offset)):
            refused = trial.run("--port", str(trial.port), "--detach")
        assert refused.returncode == 1
        assert f"port {trial.port + offset} is in use" in refused.stderr
        assert not trial.folder.exists()

    def test_a_folder_of_something_else(self, trial: Trial) -> None:
        """Its files stay, with their owner."""
        trial.folder.mkdir()
        (trial.folder / "letter").write_text("dear reader")
        refused = trial.run("--port", str(trial.port), "--detach")
        assert refused.returncode == 1
        assert "was not made by quickstart" in refused.stderr
        assert [path.name for path in trial.folder.iterdir()] == ["letter"]
        assert trial.folder.stat().st_uid == os.geteuid()

    def test_a_file_in_the_place_of_the_folder(self, trial: Trial) -> None:
        """It stays."""
        trial.folder.write_text("a file")
        refused = trial.run("--port", str(trial.port), "--detach")
        assert refused.returncode == 1
        assert "is a file" in refused.stderr
        trial.folder.unlink()

    def test_stopping_what_was_never_made(self, trial: Trial) -> None:
        """Is no error, and makes nothing."""
        assert "nothing runs" in trial.stop().stderr
        assert not trial.folder.exists()

    def test_help_names_every_option(self) -> None:
        """On stdout."""
        text = subprocess.run([QUICKSTART, "--help"], capture_output=True, text=True, check=True).stdout
        for option in (
            *("--dir", "--port", "--ring", "--chain", "--producer", "--other-rotation-key"),
            *("--detach", "--stop", "--json"),
        ):
            assert option in text


def _let_through(folder: Path, uid: int) -> None:
    for parent in (folder, *folder.parents):
        if not stat.S_IMODE(parent.stat().st_mode) & 0o001:
            subprocess.run(["setfacl", "-m", f"u:{uid}:--x", parent], check=True)
