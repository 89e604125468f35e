"""deploy/demo: a real chain, faults that are held, a promotion, and nothing left after Ctrl-C.

A chain of one elected producer, because a schedule changes at once on it but for the system contract's look, once a
minute; with four it takes twice as long and shows nothing else. The demo's own default is four.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
from rig.condition import until
from rig.program import free_port
from rig.trial import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEMO: Final = REPOSITORY / "deploy" / "demo"
#: s. Against a hang.
_BUILD_S: Final = 600.0
_FAULT_S: Final = 240.0
#: s. Longer than a rotation that just misses one look of eosio.system.
_ROTATION_S: Final = 600.0
#: One client: to make one takes 34 ms of a processor, for certificates that nobody shows here.
_HTTP: Final = httpx.Client(
    trust_env=False, timeout=_FAULT_S, limits=httpx.Limits(max_keepalive_connections=0)
)


def four_free_ports() -> int:
    """Return N so that nobody listened on N to N+3 a moment ago."""
    while True:
        first = free_port()
        if all(_is_free(first + offset) for offset in range(1, 4)):
            return first


def _is_free(port: int) -> bool:
    try:
        _HTTP.get(f"http://127.0.0.1:{port}/")
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        return False
    return False


def _start(folder: Path, port: int, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [_DEMO, "--dir", folder, "--port", str(port), "--producers", "1", "--no-browser", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of all processes that name the folder, or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = str((process / "cwd").readlink()).startswith(str(folder))
        except OSError:
            continue
        if (str(folder) in command or inside) and int(process.name) != os.getpid():
            found.append(f"{process.name} {command}")
    return found


@dataclass
class World:
    """What a demo could leave behind: users, access lists of the folders above its own, files beside it."""

    users: list[str]
    access: str
    beside: list[str]
    sockets: list[str]

    @classmethod
    def now(cls, folder: Path) -> World:
        """Look."""
        # Not of the clone: other tests may run signers of it, which keep what they need.
        above = [folder.parent, *folder.parent.parents]
        access = subprocess.run(["getfacl", "-ps", *above], capture_output=True, text=True, check=True).stdout
        return cls(
            sorted(entry.pw_name for entry in pwd.getpwall() if entry.pw_name != "antelope-signer"),
            access,
            sorted(path.name for path in folder.parent.iterdir()),
            sorted(path.name for path in Path("/run").glob("antelope-signer*")),
        )


@dataclass
class Demo:
    """A demo that runs."""

    folder: Path
    process: subprocess.Popen[str]
    about: dict[str, Any]
    before: World

    def state(self) -> dict[str, Any]:
        """What its page shows."""
        answer = _HTTP.get(self.about["faults_url"] + "state")
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def fault(self, name: str) -> str:
        """Press a button."""
        answer = _HTTP.post(f"{self.about['faults_url']}faults/{name}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["done"])

    def control(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Ask the signer's control API, as a script would."""
        token = Path(self.about["token_file"]).read_text().strip()
        answer = _HTTP.request(
            method,
            self.about["control_url"] + path,
            json=body,
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.is_success, answer.text
        return answer.json()

    def lanes(self, token: str) -> set[int]:
        """Return the process ids of a token's lanes that can sign."""
        lanes = self.control("GET", "/v1/status")["tokens"][token]["lanes"]
        return {lane["pid"] for lane in lanes if lane["state"] != "starting"}

    def blocks_of(self, node: str) -> int:
        """Count the slots that a node filled, of those that the page shows."""
        return sum(slots.count(node) for slots in self.state()["rounds"])

    def signs_on(self, node: str) -> None:
        """Wait until the node has made three more blocks."""
        head = self.head()
        until(
            lambda: self.head() >= head + 3 and self.state()["last_block_by"] == node,
            f"{node} goes on",
            timeout_s=_FAULT_S,
            explain=lambda: str(self.state()),
        )

    def head(self) -> int:
        """Return the chain's head."""
        answer = _HTTP.get(f"{self.about['chain_url']}/v1/chain/get_info")
        return int(answer.json()["head_block_num"])


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One demo for all tests here; the last one ends it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as parent:
        folder = Path(parent) / "d"
        before = World.now(folder)
        process = _start(folder, four_free_ports(), "--json")
        try:
            about = folder / "demo.json"
            until(
                lambda: process.poll() is not None or about.exists(),
                "the demo runs",
                timeout_s=_BUILD_S,
                interval_s=0.2,
            )
            assert process.poll() is None, process.communicate()[1]
            yield Demo(folder, process, json.loads(about.read_text()), before)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=_FAULT_S)


def test_a_token_signs_and_what_is_printed_holds_no_secret(demo: Demo) -> None:
    secret = Path(demo.about["token_file"]).read_text().strip()

    assert secret.startswith("sgn_")
    assert secret not in json.dumps(demo.about)
    assert Path(demo.about["token_file"]).stat().st_mode & 0o077 == 0
    dashboard = _HTTP.get(demo.about["dashboard_url"], follow_redirects=True)
    assert dashboard.status_code == 200
    assert "text/html" in dashboard.headers["content-type"]
    demo.signs_on("primary")


def test_the_page_has_its_files_and_a_policy(demo: Demo) -> None:
    for name in ("", "page.css", "page.js"):
        answer = _HTTP.get(demo.about["faults_url"] + name)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert _HTTP.get(demo.about["faults_url"] + "../demo.json").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://attacker.example"}, 403),
        ({"host": "attacker.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_another_page_breaks_nothing(demo: Demo, headers: dict[str, str], status: int) -> None:
    before = demo.lanes("primary")
    url = demo.about["faults_url"] + "faults/kill-lane-primary"

    assert _HTTP.post(url, headers=headers).status_code == status
    assert demo.lanes("primary") == before


def test_what_cannot_be_done_is_said(demo: Demo) -> None:
    for name, status, word in (
        ("return-token-standby", 409, "is there"),
        ("restart-node-standby", 409, "runs"),
        ("format-disk", 404, "no such fault"),
    ):
        answer = _HTTP.post(f"{demo.about['faults_url']}faults/{name}")
        assert answer.status_code == status
        assert word in answer.json()["problem"]


@pytest.mark.parametrize("fault", ["kill-lane-primary", "stop-lane-primary"])
def test_a_broken_lane_is_replaced_while_blocks_go_on(demo: Demo, fault: str) -> None:
    before = until(lambda: lanes if len(lanes := demo.lanes("primary")) == 2 else None, "two lanes")

    said = demo.fault(fault)

    broken = next(pid for pid in before if str(pid) in said)
    until(
        lambda: len(now := demo.lanes("primary")) == 2 and broken not in now,
        f"two lanes, and not {broken}",
        timeout_s=_FAULT_S,
        explain=lambda: str(demo.lanes("primary")),
    )
    demo.signs_on("primary")


def test_a_token_that_comes_back_is_taken_back(demo: Demo) -> None:
    demo.fault("take-token-standby")
    until(lambda: demo.state()["tokens"]["standby"]["state"] == "away", "it is away", timeout_s=_FAULT_S)
    demo.signs_on("primary")

    demo.fault("return-token-standby")

    until(
        lambda: demo.state()["tokens"]["standby"] == {"state": "logged-in", "lanes": 2},
        "it is back",
        timeout_s=_FAULT_S,
    )


def test_a_killed_node_comes_back(demo: Demo) -> None:
    demo.fault("kill-node-standby")
    assert demo.state()["nodes"]["standby"] == "ended"
    demo.signs_on("primary")

    demo.fault("restart-node-standby")

    assert demo.state()["nodes"]["standby"].startswith("runs")


def test_a_promotion_makes_the_standby_sign(demo: Demo) -> None:
    asked = demo.control(
        "POST", "/v1/rotations", {"kind": "promote", "node": "standby", "accept_warnings": True}
    )

    ended = until(
        lambda: (
            found
            if (found := demo.control("GET", f"/v1/rotations/{asked['id']}"))["state"]
            not in (
                "planned",
                "preflight",
                "signed",
                "registered",
                "proposed",
                "pending",
                "active",
                "verified",
            )
            else None
        ),
        "the rotation ends",
        timeout_s=_ROTATION_S,
        interval_s=0.5,
    )

    assert ended["state"] == "done", ended
    demo.signs_on("standby")
    schedule = _HTTP.get(f"{demo.about['chain_url']}/v1/chain/get_producer_schedule").json()
    keys = json.loads(Path(demo.about["quickstart"]).read_text())["keys"]
    standby = [key["public_key"] for key in keys if key["node"] == "standby"]
    assert schedule["active"]["producers"][0]["authority"][1]["keys"][0]["key"] in standby


def test_the_signer_has_none_of_the_faults(demo: Demo) -> None:
    token = Path(demo.about["token_file"]).read_text().strip()
    described = json.dumps(demo.control("GET", "/v1/openapi.json"))
    with (
        httpx.Client(base_url=demo.about["control_url"]) as control,
        httpx.Client(
            transport=httpx.HTTPTransport(uds=_admin_socket(demo)), base_url="http://localhost"
        ) as admin,
    ):
        for name in demo.state()["faults"]:
            assert name not in described
            for client, headers in ((control, {"authorization": f"Bearer {token}"}), (admin, {})):
                assert client.post(f"/faults/{name}", headers=headers).status_code == 404


def _admin_socket(demo: Demo) -> str:
    return str(json.loads(Path(demo.about["quickstart"]).read_text())["admin_socket"])


def test_ctrl_c_leaves_nothing(demo: Demo) -> None:
    """With a lane that is stopped and a node that was killed, which cannot end by themselves."""
    demo.fault("stop-lane-standby")
    demo.fault("kill-node-primary")
    assert len(processes_of(demo.folder)) > 8

    demo.process.send_signal(signal.SIGINT)
    printed, said = demo.process.communicate(timeout=_FAULT_S)

    assert demo.process.returncode == 0, said
    assert json.loads(printed) == demo.about
    assert "nothing is left" in said
    assert processes_of(demo.folder) == []
    assert World.now(demo.folder) == demo.before


def test_ctrl_c_while_it_is_built_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="demo-") as parent:
        folder = Path(parent) / "d"
        before = World.now(folder)
        process = _start(folder, four_free_ports())
        assert process.stderr is not None
        said = ""
        while "making tokens" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line

        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=_FAULT_S)[1]

        assert process.returncode == 0, said
        assert processes_of(folder) == []
        assert World.now(folder) == before


def test_what_a_killed_demo_leaves_is_removed_by_stop() -> None:
    """Detached, then killed: the kernel ends its nodes, and the signer is left for `--stop`."""
    with tempfile.TemporaryDirectory(prefix="demo-") as parent:
        folder = Path(parent) / "d"
        before = World.now(folder)
        started = _start(folder, four_free_ports(), "--detach", "--json")
        printed, said = started.communicate(timeout=_BUILD_S)
        assert started.returncode == 0, said
        try:
            assert json.loads(printed)["producer"] == "bravo"
            os.kill(int((folder / ".demo").read_text()), signal.SIGKILL)
            until(lambda: not any("nodeos" in line for line in processes_of(folder)), "no nodeos is left")
            again = subprocess.run([_DEMO, "--dir", folder], capture_output=True, text=True, check=False)
            assert again.returncode == 1
            assert "--stop" in again.stderr
        finally:
            stopped = subprocess.run(
                [_DEMO, "--dir", folder, "--stop"],
                capture_output=True,
                text=True,
                check=False,
                timeout=_FAULT_S,
            )

        assert stopped.returncode == 0, stopped.stderr
        assert processes_of(folder) == []
        assert World.now(folder) == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--producers", "22"], "from 1 to 21"),
        (["--producers", "0"], "from 1 to 21"),
        (["--port", "80"], "from 1024"),
        (["--dir", "/srv/with space"], "takes a path"),
        (["--dir", "/srv/" + "a" * 60], "at most"),
        (["--faults"], "unrecognized"),
    ],
)
def test_wrong_usage_ends_with_2(options: list[str], word: str) -> None:
    done = subprocess.run([_DEMO, *options], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert word in done.stderr


def test_a_folder_of_somebody_is_not_touched(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        mine = Path(folder) / "mine"
        mine.write_text("x")

        done = subprocess.run([_DEMO, "--dir", folder], capture_output=True, text=True, check=False)
        stopped = subprocess.run(
            [_DEMO, "--dir", folder, "--stop"], capture_output=True, text=True, check=False
        )

        assert done.returncode == 1
        assert "no empty folder" in done.stderr
        assert stopped.returncode == 0
        assert mine.read_text() == "x"


def test_the_help_names_every_option() -> None:
    done = subprocess.run([_DEMO, "--help"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    for option in (
        "--dir",
        "--port",
        "--producers",
        "--detach",
        "--stop",
        "--json",
        "--no-browser",
        "Exit codes",
    ):
        assert option in done.stdout
