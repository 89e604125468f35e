"""Token URIs: what is accepted, what is refused, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import UriError
from hsm.uri import TokenUri, parse_uri

MODULE = "/usr/lib/module.so"
PLAIN = f"pkcs11:token=primary?module-path={MODULE}"

_printable = st.characters(codec="utf-8", exclude_categories=("C", "Z"))


def _field(size: int) -> st.SearchStrategy[str]:
    return st.text(_printable, min_size=1, max_size=size).filter(lambda text: len(text.encode()) <= size)


def _optional(size: int) -> st.SearchStrategy[str | None]:
    return st.none() | _field(size)


@given(
    st.builds(
        TokenUri,
        module_path=_field(60).map(lambda text: "/" + text),
        token=_field(32),
        serial=_optional(16),
        manufacturer=_optional(32),
        model=_optional(16),
    )
)
def test_the_text_of_a_uri_parses_to_the_same_uri(uri: TokenUri) -> None:
    """`str` and `parse_uri` are inverse."""
    assert parse_uri(str(uri)) == uri


def test_a_plain_uri_is_canonical() -> None:
    """The form in the documentation is the form that is printed."""
    assert str(parse_uri(PLAIN)) == PLAIN


def test_every_attribute_is_read_and_percent_decoded() -> None:
    """Each attribute goes to its field."""
    uri = parse_uri(
        f"PKCS11:model=v%202;serial=0a;manufacturer=A%26B;token=m%C3%BC%3B?module-path={MODULE}",
    )

    assert uri == TokenUri(MODULE, "mü;", serial="0a", manufacturer="A&B", model="v 2")


@pytest.mark.parametrize("name", ["pin-value", "pin-source"])
@pytest.mark.parametrize("form", ["pkcs11:token=a;{}?module-path=/m", "pkcs11:token=a?module-path=/m&{}"])
def test_a_pin_in_a_uri_is_refused_without_repeating_it(name: str, form: str) -> None:
    """The message names the attribute and the remedy, not the PIN."""
    with pytest.raises(UriError, match=f"{name} is refused.*PIN") as caught:
        parse_uri(form.format(f"{name}=31415926"))

    assert "31415926" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "starts with 'pkcs11:'"),
        ("http://x", "starts with 'pkcs11:'"),
        ("pkcs11:", "names no token"),
        (f"pkcs11:?module-path={MODULE}", "names no token"),
        (f"pkcs11:model=a?module-path={MODULE}", "names no token"),
        ("pkcs11:token=a", "names no module"),
        ("pkcs11:token=a?", "names no module"),
        ("pkcs11:token=a?module-path=softhsm.so", "must be absolute"),
        ("pkcs11:token=a?module-name=softhsm", "module-name is refused"),
        (f"pkcs11:token=a;object=k?module-path={MODULE}", "object is refused"),
        (f"pkcs11:token=a;type=private?module-path={MODULE}", "type is refused"),
        (f"pkcs11:token=a;id=%01?module-path={MODULE}", "id is refused"),
        (f"pkcs11:token=a;slot-id=0?module-path={MODULE}", "slot-id is refused"),
        (f"pkcs11:token=a;x-vendor=1?module-path={MODULE}", "'x-vendor' is not understood"),
        (f"pkcs11:token=a;Token=b?module-path={MODULE}", "not understood"),
        (f"pkcs11:token=a;module-path=/m?module-path={MODULE}", "'module-path' is not understood"),
        (f"pkcs11:token=a?module-path={MODULE}&token=b", "'token' is not understood"),
        (f"pkcs11:token=a;token=b?module-path={MODULE}", "token stands twice"),
        (f"pkcs11:token=a?module-path={MODULE}&module-path={MODULE}", "module-path stands twice"),
        (f"pkcs11:token=?module-path={MODULE}", "token has no value"),
        (f"pkcs11:token?module-path={MODULE}", "token has no value"),
        (f"pkcs11:token=a;?module-path={MODULE}", "not understood"),
        (f"pkcs11:token=a b?module-path={MODULE}", "percent-encoded"),
        (f"pkcs11:token=a#b?module-path={MODULE}", "percent-encoded"),
        (f"pkcs11:token=a%2?module-path={MODULE}", "percent-encoded"),
        (f"pkcs11:token=a%zz?module-path={MODULE}", "percent-encoded"),
        (f"pkcs11:token=ü?module-path={MODULE}", "percent-encoded"),
        (f"pkcs11:token=%FF?module-path={MODULE}", "not UTF-8"),
        (f"pkcs11:token=a%00?module-path={MODULE}", "control character"),
        (f"pkcs11:token=a%0a?module-path={MODULE}", "control character"),
        (f"pkcs11:token={'a' * 33}?module-path={MODULE}", "longer than 32 bytes"),
        (f"pkcs11:serial={'a' * 17}?module-path={MODULE}", "longer than 16 bytes"),
        (f"{PLAIN}\n", "percent-encoded"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, message: str) -> None:
    """Nothing is read over."""
    with pytest.raises(UriError, match=message):
        parse_uri(text)
