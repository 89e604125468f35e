"""deploy/signer.example.toml is a complete and valid configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signer import config, config_file

if TYPE_CHECKING:
    from pydantic import BaseModel

EXAMPLE = Path(__file__).parents[2] / "deploy" / "signer.example.toml"
MODELS = [
    config.Chain,
    config.Token,
    config.Node,
    config.Listener,
    config.Key,
    config.Abi,
    config.Constraint,
    config.Rule,
    config.Policy,
    config.Rotation,
    config.Guards,
    config.Lanes,
    config.Realtime,
    config.Warmth,
    config.Limits,
    config.Audit,
    config.Config,
]


def test_the_example_is_valid() -> None:
    """The example loads as it stands."""
    loaded = config_file.load(EXAMPLE)

    assert set(loaded.nodes) == {"primary", "standby"}
    assert {key.role for key in loaded.keys} == {"block", "rotation", "account", "audit", "probe"}
    assert {listener.kind for listener in loaded.listeners} == {"node", "wallet", "admin", "control"}


@pytest.mark.parametrize("model", MODELS)
def test_the_example_shows_every_setting(model: type[BaseModel]) -> None:
    """Each field stands in the example: set, commented out, or as a table."""
    text = EXAMPLE.read_text(encoding="utf-8")

    missing = [
        name
        for name in model.model_fields
        if not re.search(rf"^(# )?{name} = |^(# )?\[+([a-z]+\.)*{name}[\].]", text, re.MULTILINE)
    ]

    assert missing == []


def test_every_model_is_looked_at() -> None:
    """The list above has every model that the configuration is made of."""
    assert set(MODELS) == set(config.Model.__subclasses__())


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_is_documented(model: type[BaseModel]) -> None:
    """Each field has one line that messages end with."""
    lines = config.documentation(model)

    assert set(lines) == set(model.model_fields)
    assert [name for name, line in lines.items() if not line or "\n" in line] == []


@pytest.mark.parametrize(
    "model", [config.Rotation, config.Guards, config.Lanes, config.Realtime, config.Warmth, config.Limits]
)
def test_the_example_shows_the_defaults(model: type[BaseModel]) -> None:
    """The last six tables of the example are the defaults."""
    loaded = config_file.load(EXAMPLE)

    assert getattr(loaded, model.__name__.lower()) == model()
