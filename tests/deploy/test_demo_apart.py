"""The product knows nothing of the demo, of trials or of the local chain."""

from __future__ import annotations

import ast
from typing import Final

import pytest
from rig.trial import REPOSITORY

_PRODUCT: Final = sorted(path for folder in ("signer", "hsm") for path in (REPOSITORY / folder).rglob("*.py"))
_OF_DEPLOY: Final = {path.stem for path in (REPOSITORY / "deploy").iterdir() if path.suffix == ".py"} | {
    path.name for path in (REPOSITORY / "deploy").iterdir() if (path / "__init__.py").exists()
}


def _imported(source: str) -> set[str]:
    tree = ast.parse(source)
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    from_ = {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {name.partition(".")[0] for name in plain | from_}


def test_the_folders_are_found() -> None:
    assert {"demo", "demo_parts", "localchain", "quickstart", "trial"} <= _OF_DEPLOY
    assert len(_PRODUCT) > 100


@pytest.mark.parametrize("path", _PRODUCT, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_it_imports_nothing_of_deploy(path: object) -> None:
    source = (REPOSITORY / str(path)).read_text(encoding="utf-8")

    assert _imported(source) & (_OF_DEPLOY | {"deploy", "tests", "rig"}) == set()
    for fault in ("kill-lane", "stop-lane", "kill-node", "restart-node", "take-token", "return-token"):
        assert fault not in source
