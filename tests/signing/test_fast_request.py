"""The laws of the short way's parser: exactly nodeos' form, and no input that makes it slow."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.signing import fast_request

_BODY = b'["%b","EOS"]' % (b"ab" * 32)
_GOOD = (
    b"POST /v1/wallet/sign_digest HTTP/1.1\r\nHost: 127.0.0.1:8900\r\nUser-Agent: Boost.Beast/330\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


def test_nodeos_request_is_read() -> None:
    assert fast_request.parse(_GOOD) == fast_request.FastRequest(
        root=False, host="127.0.0.1:8900", body=_BODY, ends=False
    )


@pytest.mark.parametrize("cut", range(0, len(_GOOD), 7))
def test_a_part_of_a_request_is_none(cut: int) -> None:
    assert fast_request.parse(_GOOD[:cut]) is None


def test_anything_behind_the_request_makes_it_none() -> None:
    assert fast_request.parse(_GOOD + b"P") is None


@given(st.binary(max_size=4096))
def test_no_bytes_raise(data: bytes) -> None:
    fast_request.parse(data)


@given(st.integers(0, len(_GOOD) - 1), st.integers(0, 255))
def test_one_changed_byte_gives_the_same_length_or_nothing(at: int, value: int) -> None:
    changed = _GOOD[:at] + bytes([value]) + _GOOD[at + 1 :]

    request = fast_request.parse(changed)

    assert request is None or len(request.body) == len(_BODY)


@pytest.mark.parametrize(
    "filler",
    [
        b"A: b\r\n" * 600,
        (b"A:" + b" " * 150 + b"\r\n") * 24,
        b"A:" + b" " * 4000 + b"\r\n",
        b"A:\r\n" * 900,
        b":" * 4000 + b"\r\n",
    ],
)
@pytest.mark.parametrize("end", [b"", b"\r\n", b"X\r\n\r\n", b"Content-Length: 1\r\n"])
def test_no_header_makes_it_try_combinations(filler: bytes, end: bytes) -> None:
    """With a pattern that backtracks, the smallest of these did not end in the life of a block producer."""
    for line in (b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n"):
        for _ in itertools.repeat(None, 10):
            assert fast_request.parse(line + filler + end) is None
