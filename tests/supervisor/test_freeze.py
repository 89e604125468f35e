"""A freeze is confirmed at once, whatever hangs, and nothing is signed after it."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from rig.site import NODES, Load

from signer.errors import AdminRefusedError

if TYPE_CHECKING:
    from rig.site import Site

#: s. The law is 0.1 s, held by tests/bench on an idle machine; this bounds a hang on a loaded one.
_GENEROUS_S = 5.0


def freeze(site: Site, scope: str = "all", name: str = "") -> float:
    """Freeze, and say how long that took. Return the time of the confirmation."""
    began = time.monotonic()
    answer = site.admin.post("/v1/freeze", {"scope": scope, "name": name, "reason": "drill"})
    took_s, confirmed_at = time.monotonic() - began, time.time()
    assert answer == {"frozen": {"scope": scope, "name": name}, "durable": True}
    print(f"freeze {scope} {name} confirmed after {took_s * 1000:.1f} ms")  # noqa: T201
    assert took_s < _GENEROUS_S
    return confirmed_at


def unfreeze(site: Site, scope: str = "all", name: str = "") -> None:
    """End a freeze."""
    assert site.admin.post("/v1/unfreeze", {"scope": scope, "name": name}) == {
        "unfrozen": True,
        "durable": True,
    }


def is_frozen(site: Site, label: str, node: str = "primary") -> bool:
    """Whether a request is refused because of a freeze."""
    reply = site.ask(site.key(label, node), node=node)
    assert (reply.status == 201) != (b"signer_frozen_exception" in reply.body)
    return reply.status != 201


def test_nothing_is_signed_after_the_confirmation(site: Site) -> None:
    site.start()
    with Load(site, ("r1-1", "primary", "tcp"), ("k1-1", "standby", "unix")) as load:
        confirmed_at = freeze(site)
        load.wait_for_more(50)
    site.wait(
        lambda status: sum(key["signatures"] for key in status["keys"]) == load.signed, "all are counted"
    )
    assert max(key["last_signature_at"] or 0 for key in site.status()["keys"]) < confirmed_at
    answered = [failure for failure in load.failed if " 500 " in failure]
    # A marker freezes from the moment it exists; its reason is readable a moment later.
    assert all("rule frozen" in failure for failure in answered), set(answered)
    assert not answered or "drill" in answered[-1]
    # On a machine that is too busy for a confirmation in time, the process is killed: those get no answer.
    killed = site.events("signing process did not confirm the freeze; killed")
    assert answered == load.failed or killed, set(load.failed) - set(answered)
    assert all(is_frozen(site, label, node) for label in ("r1-1", "k1-1") for node in ("primary", "standby"))
    assert {key["state"] for key in site.status()["keys"]} == {"frozen"}
    unfreeze(site)
    site.sign("r1-1")
    site.sign("k1-1", node="standby")


def test_a_freeze_survives_a_restart_a_reload_and_a_crash(site: Site) -> None:
    site.start()
    freeze(site)
    site.admin.post("/v1/reload")
    assert is_frozen(site, "r1-1")
    os.kill(site.status()["signing_pid"], signal.SIGKILL)
    assert is_frozen(site, "r1-1")
    assert site.stop() == 0
    site.start()
    assert is_frozen(site, "r1-1")
    unfreeze(site)
    site.sign("r1-1")


def test_a_node_is_frozen_alone(site: Site) -> None:
    site.start()
    freeze(site, "node", "primary")
    assert is_frozen(site, "r1-1")
    assert is_frozen(site, "k1-1")
    site.sign("r1-1", node="standby")
    unfreeze(site, "node", "primary")
    site.sign("r1-1")


def test_a_key_is_frozen_alone_and_by_any_spelling(site: Site) -> None:
    site.start()
    freeze(site, "key", site.key("r1-1"))
    assert is_frozen(site, "r1-1")
    site.sign("r1-2")
    legacy = site.key_status("k1-1")["legacy_public_key"]
    answer = site.admin.post("/v1/freeze", {"scope": "key", "name": legacy, "reason": "drill"})
    assert answer["frozen"]["name"] == site.key("k1-1")
    assert is_frozen(site, "k1-1")
    assert site.ask(legacy).status == 500
    assert len(site.status()["frozen"]) == 2


def test_a_freeze_of_nothing_is_refused_and_readable(site: Site) -> None:
    site.start()
    bodies: tuple[dict[str, Any], ...] = (
        {"scope": "node", "name": "nobody", "reason": "drill"},
        {"scope": "key", "name": "nobody", "reason": "drill"},
        {"scope": "everything", "name": "", "reason": "drill"},
        {"scope": "node", "name": "../../all", "reason": "drill"},
        {"scope": "all", "name": ""},
        {"scope": 7},
        {},
    )
    for body in bodies:
        with pytest.raises(AdminRefusedError) as refused:
            site.admin.post("/v1/freeze", body)
        assert refused.value.status in (400, 409)
        assert refused.value.code in ("bad-request", "refused")
    site.sign("r1-1")


def every_lane_is_busy(status: dict[str, Any]) -> bool:
    """Whether it is."""
    return all(lane["state"] == "busy" for token in status["tokens"].values() for lane in token["lanes"])


def test_a_freeze_is_confirmed_while_every_lane_hangs(site: Site) -> None:
    site.timeout_ms = 1_000
    site.tables = ["[warmth]", "enabled = false", "[lanes]", "stuck_after_ms = 60000"]
    shims = [site.shim("primary"), site.shim("standby")]
    site.start()
    for shim in shims:
        shim.tell("hang")
    with Load(site, ("r1-1", "primary", "tcp"), ("r1-1", "standby", "tcp"), first=0) as load:
        site.wait(every_lane_is_busy, "every lane hangs")
        freeze(site)
    assert load.signed == 0
    assert is_frozen(site, "k1-1")


def test_a_freeze_is_confirmed_while_the_signing_process_is_stopped(site: Site) -> None:
    """A process that does not confirm is killed; what it would have signed is never signed."""
    site.start()
    pid = site.status()["signing_pid"]
    os.kill(pid, signal.SIGSTOP)
    freeze(site)
    assert is_frozen(site, "r1-1")
    assert site.wait(lambda status: status["signing_pid"], "it is replaced")["signing_pid"] != pid
    unfreeze(site)
    site.sign("r1-1")


def test_a_marker_that_a_person_makes_freezes_too(site: Site) -> None:
    site.start()
    folder = site.state / "frozen"
    folder.mkdir(exist_ok=True)
    (folder / "node-primary").touch()
    assert is_frozen(site, "r1-1")
    assert site.status()["frozen"][0]["name"] == "primary"
    site.sign("r1-1", node="standby")


def test_a_freeze_that_comes_during_a_reload_lets_it_go_on(site: Site) -> None:
    """A signing process that just starts cannot confirm, and has nothing to: it is not killed for it."""
    site.start()
    pid = site.status()["signing_pid"]
    reloading = threading.Thread(target=site.admin.post, args=("/v1/reload",))
    reloading.start()
    site.wait(lambda _: len(site.events("token state")) > len(NODES), "the new process has a token")
    freeze(site)
    reloading.join()
    status = site.wait(lambda status: status["generation"] == 2, "the reload is done")
    assert status["signing_pid"] != pid
    assert (site.events("signing process did not confirm the freeze; killed"), status["restarts"]) == ([], 0)
    assert is_frozen(site, "r1-1")
    unfreeze(site)
    site.sign("r1-1")
