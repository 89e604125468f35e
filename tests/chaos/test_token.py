"""A token that goes, comes back, or is another one: the recovery ladder, without a restart, at no other token's cost.

A lane looks its key up again, then the lane is replaced: a new process is a new C_Initialize and a new login. Measured
on SoftHSM, every rung in between needs that in the end.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from rig.hsm_home import SOFTHSM

if TYPE_CHECKING:
    from pathlib import Path

    from rig.site import Site

pytestmark = pytest.mark.chaos

#: The figure that a returned token has to keep, in s.
_BACK_S = 5.0


def is_whole(status: dict[str, Any]) -> bool:
    """Whether every key signs."""
    return {key["state"] for key in status["keys"]} == {"active"}


def served_again(site: Site, began: float) -> None:
    """Wait until every key signs, for as long as the figure allows; print how long it took since `began`."""
    site.wait(is_whole, "the token is back", timeout_s=_BACK_S)
    print(f"served {time.monotonic() - began:.2f} s after the token was back")  # noqa: T201 - the figure
    all_others_sign(site)


def all_others_sign(site: Site, *but: str) -> None:
    """Assert that every block key signs, but those of `primary` whose labels are given."""
    for label in ("r1-1", "r1-2", "k1-1"):
        site.sign(label, node="standby")
        if label not in but:
            site.sign(label)


def test_a_key_that_is_deleted_meanwhile_refuses_and_the_others_sign(site: Site) -> None:
    site.start()
    site.sign("r1-1")
    site.tokens["primary"].home.destroy("r1-1")
    assert site.refusal("r1-1")[0] == "signer_failed_exception"
    name, message = site.refusal("r1-1")
    assert name == "signer_quarantined_exception"
    assert "key 'r1-1' is not on token primary" in message
    all_others_sign(site, "r1-1")


def test_a_key_that_was_deleted_and_is_back_serves_after_a_reload(site: Site) -> None:
    """A key that went while the signer ran is not believed again before a person says so."""
    site.start()
    tokens = site.tokens["primary"].home.folder / "softhsm" / "tokens"
    copy = tokens.with_name("copy")
    shutil.copytree(tokens, copy)
    site.tokens["primary"].home.destroy("r1-1")
    site.refusal("r1-1")
    restore(copy, tokens)
    assert site.refusal("r1-1")[0] == "signer_quarantined_exception"
    site.admin.post("/v1/reload")
    all_others_sign(site)


def restore(copy: Path, tokens: Path) -> None:
    """Put the objects of a token back in their place, as they were."""
    shutil.rmtree(tokens)
    shutil.copytree(copy, tokens)


def test_a_token_that_is_away_at_the_start_serves_within_5_s_after_it_is_back(site: Site) -> None:
    tokens = site.tokens["primary"].home.folder / "softhsm" / "tokens"
    away = tokens.with_name("away")
    shutil.move(tokens, away)
    tokens.mkdir()
    site.start()
    status = site.status()
    assert status["tokens"]["primary"]["state"] == "away"
    assert "no token matches" in status["tokens"]["primary"]["reason"]
    assert not status["ready"]
    name, message = site.refusal("r1-1")
    assert name == "signer_unavailable_exception"
    assert site.key("r1-1") in message
    for label in ("r1-1", "k1-1"):
        site.sign(label, node="standby")
    pids = {process.name for process in site.processes()}
    tokens.rmdir()
    shutil.move(away, tokens)
    served_again(site, time.monotonic())
    assert str(status["signing_pid"]) in pids & {process.name for process in site.processes()}


def test_a_token_that_goes_away_and_comes_back_meanwhile_serves_again(site: Site) -> None:
    site.start()
    site.sign("r1-1")
    processes = site.status()["pid"], site.status()["signing_pid"]
    tokens = site.tokens["primary"].home.folder / "softhsm" / "tokens"
    away = tokens.with_name("away")
    shutil.move(tokens, away)
    site.wait(
        lambda status: status["tokens"]["primary"]["state"] == "away" and site.ask(site.key("r1-1")).status,
        "the loss is noticed",
    )
    assert site.refusal("r1-1")[0] in ("signer_unavailable_exception", "signer_failed_exception")
    site.sign("r1-1", node="standby")
    shutil.move(away, tokens)
    served_again(site, time.monotonic())
    status = site.status()
    assert (status["pid"], status["signing_pid"]) == processes


def test_a_token_that_is_initialised_anew_signs_nothing_and_serves_again_when_it_is_what_it_was(
    site: Site,
) -> None:
    """Its keys are gone for good; nothing that has its name and its PIN is taken for it."""
    site.start()
    home = site.tokens["primary"].home
    tokens = home.folder / "softhsm" / "tokens"
    copy = tokens.with_name("copy")
    shutil.copytree(tokens, copy)
    shutil.rmtree(tokens)
    tokens.mkdir()
    pin = home.pin_file.read_text()
    home.pin_file.unlink()
    home.so_pin_file.unlink()
    done = home.run(
        *("init-token", "--module", SOFTHSM, "--label", "primary", "--softhsm-dir", home.folder / "softhsm"),
        *("--pin-file", home.pin_file, "--so-pin-file", home.so_pin_file),
    )
    assert done.returncode == 0, done.stderr
    site.wait(lambda _: site.ask(site.key("r1-1")).status == 500, "it is noticed")
    for label in ("r1-1", "r1-2", "k1-1"):
        assert site.ask(site.key(label)).status == 500
        site.sign(label, node="standby")
    restore(copy, tokens)
    home.pin_file.write_text(pin)
    site.admin.post("/v1/reload")
    site.wait(is_whole, "every key signs")
    all_others_sign(site)
