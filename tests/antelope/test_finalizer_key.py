"""Finalizer keys: the texts of Spring's and the system contract's own tests, and those texts damaged."""

from __future__ import annotations

import base64
import string
from typing import TYPE_CHECKING

import pytest
from antelope.transactions import FINALIZER_KEYS
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.antelope.finalizer_key import parse_finalizer_key
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

#: test_bls.cpp:336-342: a character of the point changed, one of the checksum, and the last but one.
BAD = [
    FINALIZER_KEYS[0].replace("82P3oM", "92P3oM"),
    FINALIZER_KEYS[0][:-3] + "hdg",
    FINALIZER_KEYS[0][:-3] + "hTg",
]
BASE64URL = string.ascii_letters + string.digits + "-_"


@pytest.mark.parametrize("text", FINALIZER_KEYS)
def test_foreign_keys_are_read(text: str) -> None:
    """The text comes back as it is: it is what the action carries."""
    assert parse_finalizer_key(text) == text


@pytest.mark.parametrize("text", BAD)
def test_what_spring_refuses_is_refused(text: str) -> None:
    """The checksum covers the point."""
    with pytest.raises(FormatError, match="mistyped"):
        parse_finalizer_key(text)


@settings(deadline=None)
@given(data=st.data(), text=st.sampled_from(FINALIZER_KEYS))
def test_damaged_text_is_refused(
    damaged: Callable[[str], st.SearchStrategy[str]], data: st.DataObject, text: str
) -> None:
    """One wrong character, a cut, an addition, white space or a look-alike: refused, and not repeated."""
    wrong = data.draw(damaged(text))

    with pytest.raises(FormatError) as caught:
        parse_finalizer_key(wrong)

    assert len(wrong) <= len("PUB_BLS_") or wrong not in str(caught.value)  # the message may name the prefix


@pytest.mark.parametrize("text", FINALIZER_KEYS)
def test_a_key_has_one_text(text: str) -> None:
    """Fifteen other last characters stand for the same bytes, and are refused; so is padding."""
    raw = base64.urlsafe_b64decode(text[8:] + "==")
    aliases = [
        text[:-1] + last
        for last in BASE64URL
        if base64.urlsafe_b64decode(text[8:-1] + last + "==") == raw and last != text[-1]
    ]

    assert len(aliases) == 15
    for alias in [*aliases, text + "==", text + "="]:
        with pytest.raises(FormatError):
            pytest.fail(f"{alias} gave {parse_finalizer_key(alias)}")


@pytest.mark.parametrize(
    "value", [None, 1, FINALIZER_KEYS[0].encode(), [FINALIZER_KEYS[0]], True, "", "PUB_BLS_"]
)
def test_anything_else_is_refused(value: object) -> None:
    """What JSON can hold besides a key is refused, not converted."""
    with pytest.raises(FormatError, match="finalizer key"):
        parse_finalizer_key(value)
