"""Ways to damage a text, for keys and signatures alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import base58
import pytest
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

_BASE58 = base58.BITCOIN_ALPHABET.decode()
#: White space and invisible characters, and digits and letters that only look like base58.
_INTRUDERS = " \t\n\r\v\f\0\u00a0\u200b\u2028\ufeff\u0661\uff11\u0410\uff21OIl0"


@st.composite
def _damaged(draw: st.DrawFn, text: str) -> str:
    """`text` with one thing wrong. Never `text` itself."""
    place = draw(st.integers(0, len(text) - 1))
    before, here, after = text[:place], text[place], text[place + 1 :]
    foreign = draw(st.sampled_from(_INTRUDERS) | st.characters(min_codepoint=128))
    flipped = draw(st.sampled_from(_BASE58.replace(here, "")))
    inserted = draw(st.sampled_from(_BASE58 + _INTRUDERS))
    return draw(
        st.sampled_from(
            [
                before + flipped + after,
                before + foreign + after,
                before + inserted + here + after,
                text + inserted,
                before,
                before + after,
                text.swapcase(),
                text + text,
            ],
            # The intruder may be the character that stood there: the I of SIG_, a 0 in base64.
        ).filter(lambda wrong: wrong != text),
    )


@pytest.fixture(scope="session")
def damaged() -> Callable[[str], st.SearchStrategy[str]]:
    """Texts that are nearly the given one: a character flipped, cut, added, white space, not ASCII."""
    return _damaged
