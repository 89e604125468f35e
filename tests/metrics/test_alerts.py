"""Alert rules and dashboard: valid, about metrics that exist, and each alert with a place in the runbook.

deploy/install --test puts promtool into .tools.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import yaml
from rig.scrape import of_admin
from rig.trial import REPOSITORY

from signer.alarm import MEANINGS
from signer.metrics.metric import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig.site import Site

_ALERTS = REPOSITORY / "deploy" / "prometheus" / "alerts.yml"
_SCRAPE = REPOSITORY / "deploy" / "prometheus" / "prometheus.yml"
_DASHBOARD = REPOSITORY / "deploy" / "grafana" / "signer.json"
_RUNBOOK = REPOSITORY / "deploy" / "runbook.md"
_NAME = re.compile(r"\bsigner_[a-z_]+")


def promtool(*arguments: str | Path, given: str | None = None) -> None:
    """Run promtool; fail with what it says."""
    tool = REPOSITORY / ".tools" / "promtool"
    done = subprocess.run([tool, *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(_ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_DASHBOARD.read_text())
    return found


def _expressions(value: object) -> Iterator[str]:
    """Yield every query of the dashboard."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in ("expr", "query") and isinstance(each, str):
                yield each
            else:
                yield from _expressions(each)
    elif isinstance(value, list):
        for each in value:
            yield from _expressions(each)


def test_the_rules_are_valid() -> None:
    promtool("check", "rules", _ALERTS)


def test_the_rules_fire_when_they_should() -> None:
    promtool("test", "rules", REPOSITORY / "tests" / "metrics" / "alerts-test.yml")


def test_the_example_for_prometheus_is_valid() -> None:
    """All but the token's file, which is not here."""
    promtool("check", "config", "--syntax-only", _SCRAPE)
    jobs = [each["job_name"] for each in yaml.safe_load(_SCRAPE.read_text())["scrape_configs"]]
    assert f'job="{jobs[0]}"' in _ALERTS.read_text()


def test_alerts_and_dashboard_are_about_metrics_of_a_real_scrape(whole: Site) -> None:
    whole.start()
    whole.sign("r1-1")
    page = of_admin(whole)
    promtool("check", "metrics", given=page.text)
    names = page.names()
    for alert in _alerts():
        used = set(_NAME.findall(alert["expr"]))
        assert used <= names, alert["alert"]
        assert used or alert["alert"] == "SignerDown"
    expressions = list(_expressions(_dashboard()))
    assert len(expressions) > 25
    for expression in expressions:
        assert set(_NAME.findall(expression)) <= names, expression


def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    """As a rule each: promtool parses those."""
    rules = [
        {"record": f"q:{number}", "expr": expression.replace("$instance", ".*")}
        for number, expression in enumerate(_expressions(_dashboard()))
        if not expression.startswith("label_values") and expression != "prometheus"
    ]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", path)


def test_panels_have_titles_and_places_of_their_own() -> None:
    panels = _dashboard()["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for each in panels:
        assert each["title"]
        at = each["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, each["title"]
        taken |= cells
    assert max(x for x, _ in taken) < 24


def _anchor(heading: str) -> str:
    """As Markdown viewers make it."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_every_alert_has_a_severity_a_summary_and_a_place_in_the_runbook() -> None:
    headings = re.findall(r"^###? (.+)$", _RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {_anchor(each) for each in headings}
    names = [alert["alert"] for alert in _alerts()]
    assert len(set(names)) == len(names)
    for alert in _alerts():
        assert alert["labels"]["severity"] in ("critical", "warning"), alert["alert"]
        assert alert["annotations"]["summary"]
        document, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert document == "deploy/runbook.md"
        wanted = {anchor.replace("{{ $labels.name }}", name) for name in MEANINGS}
        assert wanted <= anchors, alert["alert"]


def test_alarms_that_wake_somebody_exist() -> None:
    """A name that is not an alarm's would never fire."""
    expression = next(each["expr"] for each in _alerts() if each["alert"] == "SignerAlarmCritical")
    named = re.search(r'name=~?"([^"]+)"', expression)
    assert named is not None
    assert set(named[1].split("|")) <= set(MEANINGS)


def test_the_list_of_metrics_is_the_signers_own() -> None:
    text = (_ALERTS.parent / "README.md").read_text(encoding="utf-8")
    rows = [f"| `{each.name}` | {each.kind} | {', '.join(each.labels)} | {each.help} |" for each in METRICS]
    assert re.findall(r"^\| `signer_.*\|$", text, re.MULTILINE) == rows
