"""The signer as a whole: does it run, is it ready, is it the one installed, does anything hold it back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signer.alarm import MEANINGS
from signer.doctor.finding import Finding, failure, ok, unknown, unless, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What stands in the way of every node while the signing process hangs (signer.supervisor.run).
_SILENT: Final = "the signing process does not answer"


def down(silence: str, *, running: bool) -> Iterator[Finding]:
    """Yield what a signer that does not answer comes to.

    Args:
        silence: what was met on its admin socket.
        running: whether somebody listens there.
    """
    if running:
        remedy = "blocks may be signed all the same. Look at its log; if it stays so: runbook, Start and stop"
    else:
        remedy = "systemctl start antelope-signer (a trial: ./deploy/quickstart --detach)"
    yield failure("signer", "", silence.split(";", maxsplit=1)[0], remedy)


def check(status: Mapping[str, Any], installed: str) -> Iterator[Finding]:
    """Yield what `signer status` says of the signer as a whole.

    Args:
        status: the answer of the admin socket.
        installed: the version of the code that looks.
    """
    yield from _running(status)
    yield from _version(status, installed)
    yield from _restarts(status)
    yield from _requests(status)
    yield from _realtime(status)
    yield from _freezes(status)
    yield from _alarms(status)
    yield from _control(status)


def _running(status: Mapping[str, Any]) -> Iterator[Finding]:
    state = str(status.get("state", "?"))
    what = f"{state}, pid {status.get('pid', '?')}, generation {status.get('generation', '?')}"
    if status.get("only") == "control":
        yield ok("signer", "", f"{what}; only the control process is here, so nothing signs blocks")
    elif status.get("ready") is True:
        yield ok("signer", "", f"{what}; every node has a key that can sign")
    elif state == "starting":
        yield failure("signer", "", f"{what}: it does not serve yet", "wait a few seconds and look again")
    else:
        why = "; ".join(str(each) for each in status.get("obstacles") or ["a node has no key that can sign"])
        remedy = "see the lines of tokens and keys"
        if _SILENT in why:
            remedy = (
                "one that hangs is killed and replaced after 3.5 s; runbook, The signing process restarts"
            )
        yield failure("signer", "", f"{what}, NOT READY: {why}", remedy)


def _version(status: Mapping[str, Any], installed: str) -> Iterator[Finding]:
    running = str(status.get("version", "?"))
    if running == installed:
        yield ok("version", "signer", f"{running} runs and is installed")
    else:
        yield warning(
            "version",
            "signer",
            f"{running} runs, {installed} is installed here",
            "restart the signer between two rounds: runbook, Planned restart between rounds",
        )


def _restarts(status: Mapping[str, Any]) -> Iterator[Finding]:
    count = status.get("restarts") or 0
    if count:
        yield warning(
            "restarts",
            "signing",
            f"the signing process was replaced {count} times since the signer started",
            "its log says why: grep 'signing process ended' in it",
        )
    else:
        yield ok("restarts", "signing", "the signing process is the first one since the signer started")


def _requests(status: Mapping[str, Any]) -> Iterator[Finding]:
    counted = (status.get("counters") or {}).get("verdicts")
    if not isinstance(counted, dict):
        yield unknown("requests", "", "the signing process does not say", "wait a second and look again")
        return
    signed, late, failed = (int(counted.get(word, 0)) for word in ("signed", "late", "failed"))
    fine = ok("requests", "", f"{signed} signed, none late, none failed, since the signer started")
    faults = []
    if late or failed:
        faults.append(
            warning(
                "requests",
                "",
                f"{late} signatures came too late and {failed} failed, of {signed + late + failed} requests since "
                "the signer started",
                "see the lines of latency, tokens and the host; "
                + ("runbook, Late signatures" if late else "runbook, Refused and failed requests"),
            )
        )
    yield from unless(faults, fine)


def _realtime(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Without it a busy machine takes 2 to 3 of nodeos' 5 ms (hsm.realtime)."""
    realtime = status.get("realtime")
    if realtime is None:
        return  # no signing process
    if realtime.get("on"):
        yield ok("priority", "signing", "the signing process and its lanes go before all else on the machine")
        return
    yield warning(
        "priority",
        "signing",
        f"it waits for its turn when the machine is busy, and a signature may be late: {realtime.get('reason')}",
        "[realtime] enabled = true, and LimitRTPRIO=2 in the unit (prlimit --rtprio=2 without systemd)",
    )


def _freezes(status: Mapping[str, Any]) -> Iterator[Finding]:
    faults = []
    for marker in status.get("frozen") or []:
        scope, name = str(marker.get("scope", "?")), str(marker.get("name") or "")
        option = "--all" if scope == "all" else f"--{scope} {name}"
        what = "every key" if scope == "all" else f"{scope} {name}"
        told = f"by {marker['by']} at {marker.get('at')}" if marker.get("by") else "nobody knows by whom"
        faults.append(
            failure(
                "freeze",
                name or scope,
                f"{what} is frozen and signs nothing: {marker.get('reason', '')} ({told})",
                "give the folder back to the signer's user; runbook, Freeze"
                if "cannot be looked up" in str(marker.get("reason"))
                else f"if the reason is gone: signer unfreeze {option} --reason WHY",
            )
        )
    yield from unless(faults, ok("freeze", "", "nothing is frozen"))


def _alarms(status: Mapping[str, Any]) -> Iterator[Finding]:
    alarms = status.get("alarms")
    if alarms is None:
        return
    faults = [
        failure(
            "alarm",
            str(each.get("subject") or each.get("name")),
            f"{each.get('name')}: {each.get('text')} ({each.get('count', 1)} times)",
            f"runbook, Alarm: {each.get('name')}" + _after(str(each.get("name"))),
        )
        for each in alarms
    ]
    yield from unless(faults, ok("alarm", "", "no alarm is in force"))


def _after(name: str) -> str:
    """An event stands until a person says that it was looked at."""
    meaning = MEANINGS.get(name)
    return f"; then: signer alarms clear {name} --reason WHY" if meaning is not None and meaning.event else ""


def _control(status: Mapping[str, Any]) -> Iterator[Finding]:
    control = status.get("control") or {}
    state = str(control.get("state", "?"))
    if state == "ready" and (status.get("answers") or {}).get("control") is False:
        yield warning(
            "control",
            "",
            f"the control process, pid {control.get('pid', '?')}, does not answer: blocks are signed, production "
            "cannot be moved",
            "one that hangs is killed and replaced after 15 s; runbook, The control process restarts",
        )
    elif state == "ready":
        yield ok("control", "", f"the control process serves, pid {control.get('pid', '?')}")
    elif state == "off" or status.get("only") == "signing":
        yield ok("control", "", "there is no control process here, so this signer moves no production")
    elif control.get("unable"):
        yield failure(
            "control",
            "",
            f"the control process cannot run: {control['unable']}: blocks are signed, production cannot be moved",
            "do what the reason says; runbook, The control process restarts",
        )
    else:
        yield warning(
            "control",
            "",
            f"the control process is {state}: blocks are signed, production cannot be moved",
            'wait a second; then its log says why: grep \'"level": "error"\' in it',
        )
