"""Which guards a chain has when the file does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from signer.config import Config

    Load = Callable[[str], Config]

PRODUCER = '[chains.local]\nproducer = "bp"\napi = ["http://127.0.0.1:8888"]\n'


def test_a_chain_without_a_producer_has_no_guard_of_producers(valid_text: str, load: Load) -> None:
    """Nobody has said that all its nodes are of one producer."""
    config = load(valid_text)
    assert (config.lease_mode("local"), config.rate_mode("local"), config.height_mode("local")) == (
        "off",
    ) * 3


def test_a_chain_with_a_producer_has_them(valid_text: str, load: Load) -> None:
    config = load(valid_text.replace("[chains.local]\n", PRODUCER))
    assert config.lease_mode("local") == "observe"
    assert config.rate_mode("local") == "enforce"
    assert config.height_mode("local") == "observe"


@pytest.mark.parametrize("producer", ["", PRODUCER])
def test_what_the_file_says_counts_on_every_chain(valid_text: str, load: Load, producer: str) -> None:
    text = valid_text.replace("[chains.local]\n", producer) if producer else valid_text
    config = load(text + '[guards]\nlease = "enforce"\nrate = "off"\nheight = "off"\n')
    assert (config.lease_mode("local"), config.rate_mode("local"), config.height_mode("local")) == (
        "enforce",
        "off",
        "off",
    )


@pytest.mark.parametrize(
    ("lines", "silence_s"), [("", 252), ("producers = 1\n", 12), ("producers = 4\n", 48)]
)
def test_silence_is_two_rounds_of_all_producers(
    valid_text: str, load: Load, lines: str, silence_s: int
) -> None:
    text = valid_text.replace("[chains.local]\n", f"[chains.local]\n{lines}")
    assert load(text).lease_silence_s("local") == silence_s


def test_a_longer_silence_may_be_given(valid_text: str, load: Load) -> None:
    assert load(valid_text + "[guards]\nlease_silence_s = 600\n").lease_silence_s("local") == 600
