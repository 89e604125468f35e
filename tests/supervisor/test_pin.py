"""A wrong PIN is tried once, whatever restarts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rig.condition import until
from rig.family import content
from rig.small_disk import fill, small_disk

from signer.errors import AdminRefusedError

if TYPE_CHECKING:
    from rig.shim import Shim
    from rig.site import Site

_INCORRECT = 0xA0
_WRONG = "0000-wrong-0000"


def with_wrong_pin(site: Site) -> tuple[Shim, str]:
    """Put a wrong PIN into the file of `primary`; return the shim that counts logins, and the right PIN."""
    shim = site.shim("primary")
    path = site.tokens["primary"].home.pin_file
    right = path.read_text()
    path.write_text(_WRONG)
    return shim, right


def is_checked(status: dict[str, Any]) -> bool:
    """Whether every key was checked. A node is ready when its first one is."""
    return {key["state"] for key in status["keys"]} == {"active"}


def refused(site: Site) -> None:
    """Wait until the PIN is known to be refused, and assert what is left of it."""
    status = site.wait(lambda status: status["tokens"]["primary"]["state"] == "pin-refused", "PIN refused")
    assert "refused the PIN" in status["tokens"]["primary"]["reason"]
    path = site.state / "pin-refused" / "primary.json"
    until(path.exists, "the marker")
    marker = json.loads(path.read_text())
    assert "CKR_PIN_INCORRECT" in marker["reason"]
    assert _WRONG not in json.dumps(marker)
    site.sign("r1-1", node="standby")
    assert site.refusal("r1-1")[0] == "signer_unavailable_exception"


def test_a_wrong_pin_is_tried_once_over_restart_and_reload(site: Site) -> None:
    shim, _ = with_wrong_pin(site)
    site.start()
    refused(site)
    site.admin.post("/v1/reload")
    refused(site)
    assert site.stop() == 0
    site.start()
    refused(site)
    assert shim.logins() == [_INCORRECT]


def test_a_wrong_pin_is_tried_once_also_on_a_disk_that_is_full(site: Site) -> None:
    """The room for its marker was kept before: a restart does not forget it."""
    shim = site.shim("primary")
    with small_disk(site.state):
        try:
            site.start()
            site.stop()
            tried = len(shim.logins())
            fill(site.state / "ballast")
            site.tokens["primary"].home.pin_file.write_text(_WRONG)
            for _ in range(2):
                site.start()
                refused(site)
                site.stop()
            assert len(shim.logins()) == tried + 1
        finally:
            site.stop()


def test_a_changed_pin_file_is_tried_without_being_asked(site: Site) -> None:
    shim, right = with_wrong_pin(site)
    site.start()
    refused(site)
    site.tokens["primary"].home.pin_file.write_text(right)
    site.wait(is_checked, "the right PIN is used")
    site.sign("k1-1")
    until(lambda: len(shim.logins()) == 3, "the second lane logs in too")
    assert shim.logins() == [_INCORRECT, 0, 0]


def test_a_retry_tries_the_same_pin_once_more(site: Site) -> None:
    shim, _ = with_wrong_pin(site)
    site.start()
    refused(site)
    site.admin.post("/v1/token/retry", {"token": "primary"})
    until(lambda: len(shim.logins()) == 2, "the second try")
    refused(site)
    site.admin.post("/v1/reload")
    refused(site)
    assert shim.logins() == [_INCORRECT, _INCORRECT]


def test_a_retry_of_no_token_is_refused(site: Site) -> None:
    site.start()
    bodies: tuple[dict[str, Any], ...] = ({"token": "nobody"}, {}, {"token": 7})
    for body in bodies:
        with pytest.raises(AdminRefusedError) as refused:
            site.admin.post("/v1/token/retry", body)
        assert refused.value.status in (400, 409)
    assert site.status()["ready"]


def test_a_pin_file_that_others_can_read_is_not_used(site: Site) -> None:
    shim = site.shim("primary")
    path = site.tokens["primary"].home.pin_file
    path.chmod(0o644)
    site.start()
    status = site.status()["tokens"]["primary"]
    assert str(path) in status["reason"]
    assert "has mode 0644" in status["reason"]
    assert "chmod 0400" in status["reason"]
    assert shim.logins() == []
    path.chmod(0o400)
    site.wait(lambda status: status["ready"], "the PIN is used")


def test_the_pin_is_told_to_nobody(site: Site) -> None:
    """Not to the log, the arguments, the environment, the status, or any file but its own."""
    pin = site.tokens["primary"].home.pin_file.read_text().strip()
    site.start()
    site.sign("r1-1")
    site.admin.post("/v1/reload")
    site.sign("k1-1")
    processes = list(site.processes())
    assert len(processes) >= 6  # supervisor, signing process, two lanes of two tokens
    for process in processes:
        for name in ("cmdline", "environ"):
            assert pin.encode() not in content(process, name), (process, name)
    assert pin not in json.dumps(site.status())
    assert site.stop() == 0
    assert pin not in site.log
    own = {site.tokens["primary"].home.pin_file}
    telling = [
        path for path in site.folder.rglob("*") if path.is_file() and pin.encode() in path.read_bytes()
    ]
    assert set(telling) == own


def test_a_wrong_pin_is_told_to_nobody(site: Site) -> None:
    with_wrong_pin(site)
    site.start()
    refused(site)
    status = json.dumps(site.status())
    assert site.stop() == 0
    assert _WRONG not in status + site.log
    assert _WRONG not in (site.state / "audit" / "audit.jsonl").read_text()
