"""Remote signer for Antelope block producers: keys stay in PKCS#11 tokens, nodeos asks over keosd's protocol."""

import sys

__version__ = "0.1.0"

# httpx loads its own command line where it can, and with it click, rich and pygments: 40 ms of a processor in the
# control process and in each command that asks it. It takes an ImportError as an answer (httpx/__init__.py), which is
# what the import system gives for a name that is None here
# (https://docs.python.org/3/reference/import.html#the-module-cache).
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
