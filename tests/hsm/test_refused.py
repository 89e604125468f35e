"""The marker that a token refused a PIN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hsm.pin import Fingerprint
from hsm.refused import RefusedMarker

if TYPE_CHECKING:
    from pathlib import Path

SEEN = Fingerprint(dev=1, inode=2, mtime_ns=3, size=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "state" / "pin-refused"


def test_nothing_blocks_before_a_refusal(folder: Path) -> None:
    """A missing folder is no refusal."""
    assert RefusedMarker(folder).blocks("primary", SEEN) is None


def test_a_refusal_blocks_this_token_after_a_restart(folder: Path) -> None:
    """A new object on the same folder is what a restart is. Other tokens go on."""
    RefusedMarker(folder).mark("primary", SEEN, "CKR_PIN_INCORRECT")

    again = RefusedMarker(folder)

    assert "CKR_PIN_INCORRECT" in (again.blocks("primary", SEEN) or "")
    assert again.blocks("standby", SEEN) is None


@pytest.mark.parametrize("field", Fingerprint._fields)
def test_a_changed_source_is_not_blocked(folder: Path, field: str) -> None:
    """Each part of the fingerprint counts."""
    marker = RefusedMarker(folder)
    marker.mark("primary", SEEN, "wrong")

    assert marker.blocks("primary", SEEN._replace(**{field: 99})) is None


def test_a_cleared_refusal_blocks_no_more(folder: Path) -> None:
    """`clear` says whether there was one."""
    marker = RefusedMarker(folder)
    marker.mark("primary", SEEN, "wrong")

    assert marker.clear("primary") is True
    assert marker.clear("primary") is False
    assert marker.blocks("primary", SEEN) is None


def test_the_last_refusal_counts(folder: Path) -> None:
    """A second wrong PIN replaces the first marker."""
    marker = RefusedMarker(folder)
    later = SEEN._replace(mtime_ns=5)
    marker.mark("primary", SEEN, "first")
    marker.mark("primary", later, "second")

    assert marker.blocks("primary", SEEN) is None
    assert "second" in (marker.blocks("primary", later) or "")


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"fingerprint": {"dev": 1}}', "\udcff"])
def test_a_marker_that_cannot_be_read_blocks(folder: Path, content: str) -> None:
    """It was written for a reason."""
    marker = RefusedMarker(folder)
    marker.mark("primary", SEEN, "wrong")
    (folder / "primary.json").write_bytes(content.encode("utf-8", "surrogateescape"))

    assert "cannot be read" in (marker.blocks("primary", SEEN) or "")


def test_the_marker_is_private_and_alone(folder: Path) -> None:
    """Mode 0600, and no unfinished file stays."""
    RefusedMarker(folder).mark("primary", SEEN, "wrong")

    assert [path.name for path in folder.iterdir()] == ["primary.json"]
    assert (folder / "primary.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".x"])
def test_a_token_name_stays_in_the_folder(folder: Path, name: str) -> None:
    """A name that could leave the folder is a mistake of the caller."""
    with pytest.raises(ValueError, match="name"):
        RefusedMarker(folder).mark(name, SEEN, "wrong")


def test_wrong_pins_in_a_row_are_counted(folder: Path) -> None:
    """Over restarts and sources; what was not tried does not count, and `clear` begins again."""
    marker = RefusedMarker(folder)
    assert marker.tries("primary") == 0
    marker.mark("primary", SEEN, "wrong")
    marker.mark("primary", SEEN._replace(mtime_ns=9), "wrong")
    assert RefusedMarker(folder).tries("primary") == 2
    marker.mark("primary", SEEN, "withheld", tried=False)
    assert marker.tries("primary") == 2
    assert marker.tries("standby") == 0
    marker.clear("primary")
    assert marker.tries("primary") == 0


def test_a_wrong_pin_that_the_token_counted_alone_counts(folder: Path) -> None:
    """Once: later ones were counted here."""
    marker = RefusedMarker(folder)
    for expected in (2, 3):
        marker.mark("primary", SEEN, "wrong", again=True)
        assert marker.tries("primary") == expected


@pytest.mark.parametrize("content", ["", "[]", '{"tries": -1}', '{"tries": "2"}'])
def test_a_count_that_cannot_be_read_is_too_high(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "primary.json").write_text(content)

    assert RefusedMarker(folder).tries("primary") > 100


def test_a_marker_of_an_older_signer_is_one_wrong_pin(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "primary.json").write_text('{"reason": "wrong"}')

    assert RefusedMarker(folder).tries("primary") == 1
