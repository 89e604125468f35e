"""The laws of the record: what is written comes back, and nothing else is read as a rotation."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rotation.samples import FULL, NOW, rotations

from signer.errors import FormatError, JournalError
from signer.rotation.record import dump, dump_moment, load, load_moment
from signer.rotation.rotation import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signer.rotation.rotation import Rotation

Path = tuple[str | int, ...]
#: The machine may be busy with other tests: how long an example takes says nothing.
BUSY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def places(value: object, path: Path = ()) -> Iterator[Path]:
    """Where every value of a JSON document is, the document itself first."""
    yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*path, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*path, number))


def at(value: Any, path: Path) -> Any:  # noqa: ANN401 - JSON
    for step in path:
        value = value[step]
    return value


def changed(path: Path, new: object) -> str:
    """The full record with another value at `path`."""
    value = copy.deepcopy(WHOLE)
    at(value, path[:-1])[path[-1]] = new
    return json.dumps(value)


WHOLE = json.loads(dump(FULL))
PATHS = [path for path in places(WHOLE) if path]
FIELDS = [path for path in PATHS if isinstance(path[-1], str) and path[0] != "reached"]


@BUSY
@given(rotation=rotations)
def test_what_is_written_comes_back(rotation: Rotation) -> None:
    """Every field, with any value; the text is ASCII, so that any program can store it."""
    text = dump(rotation)
    assert text.isascii()
    assert load(text, rotation.id) == rotation


@pytest.mark.parametrize("path", FIELDS, ids=str)
def test_a_missing_field_is_named(path: Path) -> None:
    value = copy.deepcopy(WHOLE)
    del at(value, path[:-1])[path[-1]]
    with pytest.raises(JournalError, match=rf"rotation 7 .*{path[-1]} is missing"):
        load(json.dumps(value), 7)


@pytest.mark.parametrize(
    "path",
    [(), *(path for path in PATHS if isinstance(at(WHOLE, path), dict) and path != ("reached",))],
    ids=str,
)
def test_an_unknown_field_is_named(path: Path) -> None:
    value = copy.deepcopy(WHOLE)
    at(value, path)["more"] = "x"
    with pytest.raises(JournalError, match=r"rotation 7 .*'more' is unknown"):
        load(json.dumps(value), 7)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("request",), []),
        (("request", "kind"), "emergency"),
        (("request", "kind"), None),
        (("request", "chain"), None),
        (("request", "emergency"), 1),
        (("request", "emergency"), None),
        (("to_key",), None),
        (("to_key",), []),
        (("to_key",), "PUB_R1_6"),
        (("from_keys",), None),
        (("from_keys",), {}),
        (("from_keys",), "PUB_R1_6"),
        (("from_keys", 0), str(FULL.from_keys[0].legacy)),
        (("from_node",), 0),
        (("created_at",), "2026-01-02T03:04:05Z"),
        (("created_at",), "2026-01-02T03:04:05.000000+01:00"),
        (("created_at",), "2026-01-02T03:04:05.000000"),
        (("created_at",), "0001-01-01T00:00:00.000000+23:59"),
        (("created_at",), "2026-02-30T03:04:05.000000Z"),
        (("created_at",), 1_700_000_000),
        (("state",), "gone"),
        (("state",), ["done"]),
        (("reached",), []),
        (("reached", "planned"), None),
        (("reached", "gone"), "2026-01-02T03:04:05.000000Z"),
        (("findings", 0), None),
        (("findings", 0, "level"), "hint"),
        (("transactions",), None),
        (("transactions", 0, "packed"), "0"),
        (("transactions", 0, "packed"), "AB"),
        (("transactions", 0, "packed"), "a b"),
        (("transactions", 0, "signed_by"), 5),
        (("transactions", 1, "purpose"), None),
        (("head_seen",), -1),
        (("head_seen",), 1.0),
        (("head_seen",), True),
        (("head_seen",), "1"),
        (("verified",), "yes"),
        (("verified", "number"), None),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_where_it_is(path: Path, wrong: object) -> None:
    """With the row's number and the way to the field."""
    with pytest.raises(JournalError) as failure:
        load(changed(path, wrong), 7)
    message = str(failure.value)
    assert "rotation 7" in message
    for step in path:
        assert f"{step}: " in message


@BUSY
@given(
    path=st.sampled_from(PATHS),
    new=st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from([[], {}, [[]], [{}], str(FULL.to_key), "aa", dump_moment(NOW), "done", "return"]),
)
def test_whatever_is_read_is_written_the_same(path: Path, new: object) -> None:
    """Nothing is converted on the way in: a text is no number, a number no flag."""
    text = changed(path, new)
    try:
        read = load(text, 7)
    except JournalError:
        return
    written = json.loads(dump(read))
    assert written == json.loads(text)
    assert str(written) == str(json.loads(text))  # 1 == True == 1.0 in Python


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "1", '"x"', "NaN", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, dump(FULL)[:-1]],
    ids=lambda text: text[:6],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(JournalError, match="rotation 7"):
        load(text, 7)


def test_a_doubled_field_is_refused() -> None:
    """Which of two values counts would be a guess."""
    text = dump(FULL).replace('"state":"verified"', '"state":"verified","state":"done"')
    with pytest.raises(JournalError, match="twice"):
        load(text, 7)


def test_a_moment_without_a_zone_is_not_written() -> None:
    """Nobody would know when it was."""
    naive = NOW.replace(tzinfo=None)
    for rotation in (replace(FULL, created_at=naive), replace(FULL, reached={State.DONE: naive})):
        with pytest.raises(ValueError, match="time zone"):
            dump(rotation)


@BUSY
@given(moments=st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2, max_size=2))
def test_moments_sort_as_their_texts(moments: list[datetime]) -> None:
    """So that the file can compare them."""
    first, second = moments
    assert (first < second) == (dump_moment(first) < dump_moment(second))
    assert load_moment(dump_moment(first)) == first
    assert load_moment(dump_moment(first)).utcoffset() == timedelta()


def test_only_text_is_a_moment() -> None:
    for wrong in (None, 5, b"2026-01-02T03:04:05.000000Z", NOW):
        with pytest.raises(FormatError):
            load_moment(wrong)
