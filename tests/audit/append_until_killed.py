"""A program that appends to a log as fast as it can, and says after each batch how many lines it wrote."""

import sys
from pathlib import Path

from signer.signing.audit import Act
from signer.signing.audit_writer import AuditWriter

AT = "2026-01-02T03:04:05.000006Z"

writer = AuditWriter(Path(sys.argv[1]), AT)
while True:
    writer.append([Act(AT, "freeze", f"uid {number}", "x" * (7 * number)) for number in range(40)])
    sys.stdout.write(f"{writer.seq}\n")
    sys.stdout.flush()
