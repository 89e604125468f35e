"""Write keosd_answers.json anew from real keosd: `PYTHONPATH=tests python -m conformance.record`.

To be run when cases.py changes; the difference is then read by a person.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from conformance.answers import Keys, reduce, send
from conformance.cases import CASES
from rig import keypair
from rig.keosd import Keosd
from rig.tools import Tools
from rig.wire import Address

ANSWERS = Path(__file__).with_name("keosd_answers.json")


def main() -> None:
    """Ask keosd every case over the first kind of listener it is for."""
    tools = Tools.find()
    k1, r1 = keypair.generate(tools, "k1"), keypair.generate(tools, "r1")
    keys = Keys(k1.public, r1.public)
    with tempfile.TemporaryDirectory() as folder, Keosd(tools, Path(folder)) as keosd:
        keosd.add(k1, r1)
        addresses = {"tcp": Address(port=keosd.port), "unix": Address(unix=keosd.socket)}
        answers = {case.name: reduce(*send(case, addresses[case.over[0]], keys), keys) for case in CASES}
    ANSWERS.write_text(json.dumps(answers, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
