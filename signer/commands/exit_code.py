"""What a script learns from a command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of `signer`, the same for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    FORBIDDEN = 4
    FINDINGS = 5
    TOKEN = 6
    INTERRUPTED = 130


#: For `signer --help`.
TEXT = """\
exit codes:
  0    done
  1    the operation failed or was refused; for status: the signer runs and is not ready; for rotate and rotations
       watch: it ended otherwise than done or registered-unscheduled; for producer: no API node tells; for policy
       test: the transaction would be refused
  2    wrong usage, or an invalid configuration
  3    the signer cannot be reached: its admin socket or its control listener is absent or does not answer
  4    this user may not do that
  5    findings: check-config --strict has warnings, audit verify found a fault, audit reconcile a block that
       somebody signed who has a key of ours, reload or upgrade left a key quarantined, status --strict: the signer
       is ready and something needs attention, alarms list: there is one, permission verify: it is not as it should
       be, nodes attest --strict: the node does not list every key, doctor: there is a failure, and with --strict a
       warning or what is not known
  6    a problem with a token or its PIN
  130  interrupted

Without --config, ./signer.toml is used, else /etc/antelope-signer/signer.toml."""
