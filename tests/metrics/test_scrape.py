"""Real scrapes: what was done is what is counted, every metric is explained, a process that is gone costs its own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from rig.scrape import Scrape, of_admin

from signer.metrics.metric import METRICS

if TYPE_CHECKING:
    from rig.site import Site


def _settled(site: Site, count: int) -> Scrape:
    """Return a page that has `count` requests: they are counted up to 10 ms after their answers."""
    site.wait(lambda status: sum(status["counters"]["verdicts"].values()) == count, f"{count} counted")
    return of_admin(site)


def test_every_metric_is_explained_and_on_the_page(whole: Site) -> None:
    whole.start()
    helps = of_admin(whole).helps
    assert helps == {each.name.removesuffix("_total"): each.help for each in METRICS}


def test_names_say_what_is_counted_and_in_which_unit() -> None:
    """As Prometheus' naming rules want them."""
    for each in METRICS:
        assert each.name.startswith("signer_")
        assert each.name.endswith("_total") == (each.kind == "counter"), each.name
        assert each.help.endswith("."), each.name
        assert not set(each.labels) & {"reason", "caller", "text"}, "a label that has no bound"


def test_what_was_done_is_what_is_counted(site: Site) -> None:
    site.start()
    for _ in range(3):
        site.sign("r1-1")
    site.sign("k1-1", node="standby", via="tcp")
    site.admin.post("/v1/freeze", {"scope": "node", "name": "standby", "reason": "drill"})
    assert site.refusal("r1-1", node="standby")[0] == "signer_frozen_exception"
    page = _settled(site, 5)
    signed = {"verdict": "signed", "rule": "", "role": "block"}
    assert page.value("signer_requests_total", label="r1-1", node="primary", **signed) == 3
    assert page.value("signer_requests_total", label="k1-1", node="standby", **signed) == 1
    assert page.value("signer_requests_total", node="standby", verdict="refused", rule="frozen") == 1
    duration = "signer_signature_duration_seconds"
    assert page.value(f"{duration}_count", node="primary", curve="R1") == 3
    assert page.value(f"{duration}_bucket", node="primary", curve="R1", le="+Inf") == 3
    assert page.values(f"{duration}_bucket", node="primary", curve="R1", le="0.0046") != []
    assert page.value("signer_signature_tries_count", curve="K1") == 1
    assert page.value("signer_signatures_above_timeout_total", node="primary", curve="R1") == 0
    assert page.value("signer_node_timeout_seconds", node="primary") == site.timeout_ms / 1000
    assert page.value("signer_frozen", scope="node", name="standby") == 1
    assert page.value("signer_key_state", label="r1-1", token="standby", state="frozen") == 1
    assert page.value("signer_key_state", label="r1-1", token="primary", state="active") == 1
    assert page.value("signer_token_state", token="primary", state="logged-in") == 1
    assert sum(page.values("signer_lanes", token="primary")) == 2
    assert page.value("signer_lanes_configured", token="primary") == 2
    assert page.value("signer_ready") == 0  # a node is frozen
    assert page.value("signer_signing_process_up") == 1
    assert page.value("signer_audit_degraded") == 0
    assert 0 < page.value("signer_state_free_bytes") < page.value("signer_state_size_bytes")


def test_a_key_that_signed_says_when(site: Site) -> None:
    site.start()
    site.sign("r1-1")
    page = _settled(site, 1)
    name = "signer_key_last_signature_timestamp_seconds"
    assert page.values(name, label="r1-2") == []
    assert page.value(name, label="r1-1") > page.value("signer_start_time_seconds")


def test_without_a_signing_process_the_rest_is_still_told(site: Site) -> None:
    """A token's module that crashes, and a process that does not run: both are on the page."""
    shim = site.shim("primary")
    site.start()
    site.sign("r1-1")
    _settled(site, 1)
    shim.tell("segv")
    site.wait(lambda status: status["tokens"]["primary"]["state"] == "away", "the token is away")
    page = of_admin(site)
    assert page.value("signer_token_state", token="primary", purpose="block", state="away") == 1
    assert page.value("signer_lanes_lost_total", token="primary") >= 1
    assert page.value("signer_requests_total", label="r1-1", verdict="signed") == 1


def test_without_a_control_process_the_admin_socket_tells_what_the_others_know(whole: Site) -> None:
    whole.start()
    whole.sign("r1-1")
    _settled(whole, 1)
    assert of_admin(whole).value("signer_control_process_up") == 1
    # Its folder is not one it can open any more: it ends at each start.
    database = whole.state / "control.sqlite"
    database.unlink()
    database.mkdir()
    os.kill(whole.status()["control"]["pid"], signal.SIGKILL)
    whole.wait(lambda status: status["control"]["restarts"] >= 2, "the control process cannot start")
    page = of_admin(whole)
    assert page.value("signer_control_process_up") == 0
    assert page.value("signer_control_process_restarts_total") >= 2
    assert page.value("signer_requests_total", label="r1-1", verdict="signed") == 1
    assert page.value("signer_ready") == 1


def test_a_signer_without_control_process_has_no_metric_of_it(site: Site) -> None:
    page = of_admin(site.start())
    assert page.values("signer_control_process_up") == []
    assert page.values("signer_token_state", purpose="control") == []
