"""What a running nodeos lists is read on its host, and refused wherever it may not be what it runs with.

Against real nodeos: by file, by command line, by both, from each place that it takes its file from.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig import keypair, two_nodes
from rig.condition import until
from rig.nodeos import Genesis
from rig.program import Program, free_port
from rig.tools import Tools

from signer.errors import AttestError
from signer.rotation.attest import attest
from signer.rotation.evidence import EvidenceKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from signer.rotation.listing import Listing

pytestmark = pytest.mark.chain

URL = "http://127.0.0.1:8901/v1/wallet/sign_digest"
PROVIDERS = [f"{key}=KEOSD:{URL}" for key in two_nodes.A]
NOBODY = 65534


@pytest.fixture(scope="module")
def tools() -> Tools:
    """Real nodeos."""
    return Tools.find()


def write_ini(path: Path, *lines: str) -> Path:
    """Write a config.ini that nodeos starts with: ports of its own and little room."""
    settings = (
        f"http-server-address = 127.0.0.1:{free_port()}",
        f"p2p-listen-endpoint = 127.0.0.1:{free_port()}",
        "chain-state-db-size-mb = 256",
        "resource-monitor-not-shutdown-on-threshold-exceeded = true",
        "producer-name = bravo",
        "keosd-provider-timeout = 7",
        *lines,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(settings) + "\n")
    return path


@contextmanager
def running(
    tools: Tools, folder: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run nodeos in `folder` until it has read its configuration, and further until the test is over."""
    genesis = Genesis.now(keypair.DEVELOPMENT.public).write(folder / "genesis.json")
    program = Program(
        [tools.program, "nodeos", "--data-dir", folder / "data", "--genesis-json", genesis, *arguments],
        folder / "nodeos.log",
        environment={**tools.environment, **(environment or {})},
        folder=folder,
    )
    with program:
        program.wait_for(
            lambda: "using configuration file" in program.log(), "nodeos has read its config.ini"
        )
        # A change within the grain of the kernel's clocks cannot be told from one before the start.
        until(lambda: _age_s(program.pid) > 0.1, "the process is older than the grain of the clocks")
        yield program


def looked_at(pid: int, config_ini: Path) -> Listing:
    return attest(two_nodes.config(), "a", config_ini=config_ini, pid=pid, by="ann")


def listed(found: Listing) -> list[bool]:
    assert [each.key for each in found.evidence] == list(two_nodes.A)
    return [each.kind is EvidenceKind.FILE for each in found.evidence]


def test_keys_of_the_file_are_evidence_and_say_of_which_process(tools: Tools, tmp_path: Path) -> None:
    ini = write_ini(tmp_path / "config.ini", *(f"signature-provider = {each}" for each in PROVIDERS))

    with running(tools, tmp_path, "--config-dir", tmp_path) as nodeos:
        found = looked_at(nodeos.pid, ini)

        assert listed(found) == [True, True, True]
        assert found.findings == ()
        assert {each.by for each in found.evidence} == {"ann"}
        assert f"{ini} and the command line of process {nodeos.pid}, begun 20" in found.evidence[0].detail

        # The same file by another name, as operators have it under /etc.
        link = tmp_path / "link.ini"
        link.symlink_to(ini)
        assert listed(looked_at(nodeos.pid, link)) == [True, True, True]


def test_keys_of_the_command_line_and_of_the_file_add_up(tools: Tools, tmp_path: Path) -> None:
    ini = write_ini(tmp_path / "my.ini", f"signature-provider = {PROVIDERS[0]}")
    arguments = ["--config-dir", ".", "--config", "my.ini", f"--signature-provider={PROVIDERS[1]}"]

    with running(tools, tmp_path, *arguments) as nodeos:
        assert listed(looked_at(nodeos.pid, ini)) == [True, True, False]


def test_keys_of_the_command_line_alone_are_evidence(tools: Tools, tmp_path: Path) -> None:
    ini = write_ini(tmp_path / "config.ini")

    with running(
        tools, tmp_path, "--config-dir", tmp_path, "--signature-provider", PROVIDERS[0], *PROVIDERS[1:]
    ) as nodeos:
        assert listed(looked_at(nodeos.pid, ini)) == [True, True, True]


def test_the_default_folder_is_found_by_the_home_of_the_process(tools: Tools, tmp_path: Path) -> None:
    ini = write_ini(
        tmp_path / ".local/share/eosio/nodeos/config/config.ini", f"signature-provider = {PROVIDERS[0]}"
    )

    with running(tools, tmp_path, environment={"HOME": str(tmp_path)}) as nodeos:
        assert listed(looked_at(nodeos.pid, ini)) == [True, False, False]


def test_a_private_key_is_in_no_answer(tools: Tools, tmp_path: Path) -> None:
    secret = keypair.DEVELOPMENT.private
    ini = write_ini(tmp_path / "config.ini", f"signature-provider = {keypair.DEVELOPMENT.provider}")

    with running(
        tools, tmp_path, "--config-dir", tmp_path, "--signature-provider", keypair.DEVELOPMENT.provider
    ) as nodeos:
        found = looked_at(nodeos.pid, ini)
        ini.touch()
        with pytest.raises(AttestError) as refused:
            looked_at(nodeos.pid, ini)

    assert "key-in-memory" in {each.rule for each in found.findings}
    assert secret not in repr(found)
    assert secret not in str(refused.value)


def test_a_file_that_changed_after_the_start_is_refused_by_whatever_way(tools: Tools, tmp_path: Path) -> None:
    ini = write_ini(tmp_path / "config.ini", f"signature-provider = {PROVIDERS[0]}")
    kept = ini.stat()

    with running(tools, tmp_path, "--config-dir", tmp_path) as nodeos:
        assert listed(looked_at(nodeos.pid, ini)) == [True, False, False]

        # Another file takes its name, with the times of the old one: `cp -p`, `mv`.
        other = write_ini(tmp_path / "new.ini", *(f"signature-provider = {each}" for each in PROVIDERS))
        os.utime(other, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        other.rename(ini)

        with pytest.raises(AttestError, match="it may run with an older content; restart this nodeos"):
            looked_at(nodeos.pid, ini)


def test_a_file_that_is_not_the_one_in_use_is_refused(tools: Tools, tmp_path: Path) -> None:
    ini = write_ini(tmp_path / "n/config.ini", f"signature-provider = {PROVIDERS[0]}")
    other = write_ini(tmp_path / "other.ini", f"signature-provider = {PROVIDERS[0]}")

    with running(tools, tmp_path, "--config-dir", "n") as nodeos:
        with pytest.raises(AttestError, match=rf"does not run with {other} but with n/config.ini"):
            looked_at(nodeos.pid, other)
        with pytest.raises(AttestError, match="there is no file"):
            looked_at(nodeos.pid, tmp_path / "absent.ini")
        with pytest.raises(AttestError, match="does not run with"):
            looked_at(nodeos.pid, tmp_path)

        ini.unlink()
        with pytest.raises(AttestError, match="was started with is gone"):
            looked_at(nodeos.pid, ini)

        ini.mkdir()
        with pytest.raises(AttestError, match="cannot be read: Is a directory"):
            looked_at(nodeos.pid, ini)


def test_a_process_that_may_not_be_looked_at_is_refused(tools: Tools, tmp_path: Path) -> None:
    ini = write_ini(tmp_path / "config.ini", f"signature-provider = {PROVIDERS[0]}")

    with running(tools, tmp_path, "--config-dir", tmp_path) as nodeos:
        pid, user = (nodeos.pid, os.geteuid()) if os.geteuid() == 0 else (1, os.geteuid())
        os.seteuid(NOBODY if user == 0 else user)
        try:
            with pytest.raises(AttestError, match="run this as root or as the user of that nodeos"):
                looked_at(pid, ini)
        finally:
            os.seteuid(user)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["sh", "-c", "read nodeos_is_running"], "(da)?sh"),
        # A name among the arguments, or one that a process gives itself, is not its program.
        (["sh", "-c", "read x", "nodeos"], "(da)?sh"),
        (["bash", "-c", "exec -a nodeos cat"], "cat"),
    ],
)
def test_another_program_is_refused(command: list[str], name: str, tmp_path: Path) -> None:
    ini = write_ini(tmp_path / "config.ini")

    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        until(lambda: _program(process.pid).endswith(("sh", "cat")), "the shell runs")
        if name == "cat":
            until(lambda: _program(process.pid).endswith("cat"), "cat runs")
        with pytest.raises(AttestError, match=rf"process {process.pid} is \S*{name}, not nodeos"):
            looked_at(process.pid, ini)
        process.communicate()


def test_a_process_that_has_ended_is_refused(tmp_path: Path) -> None:
    ini = write_ini(tmp_path / "config.ini")
    process = subprocess.Popen(["true"])
    # It has ended, and stays in the table of processes until it is waited for.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    with pytest.raises(AttestError, match=f"process {process.pid} is no program, not nodeos"):
        looked_at(process.pid, ini)

    process.wait()
    with pytest.raises(AttestError, match=f"there is no process {process.pid}"):
        looked_at(process.pid, ini)


@pytest.mark.parametrize("pid", [0, -1, 2**40])
def test_a_number_that_is_no_process_is_refused(pid: int, tmp_path: Path) -> None:
    with pytest.raises(AttestError, match=f"there is no process {pid}"):
        looked_at(pid, tmp_path / "config.ini")


def _program(pid: int) -> str:
    return str(Path(f"/proc/{pid}/exe").readlink())


def _age_s(pid: int) -> float:
    """Seconds since the process began (proc(5): its 22nd field, in hundredths of a second)."""
    fields = Path(f"/proc/{pid}/stat").read_text().split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[21]) / os.sysconf("SC_CLK_TCK")
