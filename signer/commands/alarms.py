"""`signer alarms list` and `clear`: what a person has to look at, and that somebody did."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from signer import config_file
from signer.admin_client import AdminClient
from signer.alarm import MEANINGS
from signer.commands import table
from signer.commands.exit_code import ExitCode
from signer.commands.moment import readable

if TYPE_CHECKING:
    import argparse


def list_alarms(arguments: argparse.Namespace) -> int:
    """Show the alarms in force; exit 5 if there is one."""
    site = config_file.locate(config_file.find(arguments.config))
    alarms = AdminClient(site.admin_socket).get("/v1/status")["alarms"]
    if arguments.json:
        print(json.dumps(alarms, indent=2))
    elif not alarms:
        print("no alarm is in force")
    else:
        rows = [
            (each["name"], each["subject"] or "-", readable(each["since"]), str(each["count"]), each["text"])
            for each in alarms
        ]
        print("\n".join(table.lines(("ALARM", "ABOUT", "SINCE", "TIMES", "WHAT"), rows)))
        for name in sorted({each["name"] for each in alarms}):
            print(f"{name}: {MEANINGS[name].sentence} See 'Alarm: {name}' in deploy/runbook.md.")
            if MEANINGS[name].event:
                print(f"When it is dealt with: signer alarms clear {name} --reason WHY")
    return ExitCode.FINDINGS if alarms else ExitCode.OK


def clear(arguments: argparse.Namespace) -> int:
    """End an alarm. One whose condition is still there comes back."""
    site = config_file.locate(config_file.find(arguments.config))
    body = {"name": arguments.name, "reason": arguments.reason}
    if arguments.subject is not None:
        body["subject"] = arguments.subject
    count = AdminClient(site.admin_socket).post("/v1/alarms/clear", body)["cleared"]
    if arguments.json:
        print(json.dumps({"cleared": count}))
    else:
        print(f"cleared: {count}" if count else "no such alarm is in force")
    return ExitCode.OK
