"""The real world for tests: nodeos, cleos, keosd, SoftHSM and the signer itself, as processes.

The chain's programs are in deploy/localchain, because the demo uses them too.
"""

import sys
from pathlib import Path

# Wherever the tests are run from, also as `PYTHONPATH=tests python -m ...`.
sys.path.append(str(Path(__file__).parents[2] / "deploy"))
