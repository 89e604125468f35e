"""Freeze markers: a freeze is a file, and whatever is unclear is frozen."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from signer.errors import FormatError
from signer.signing.freeze import FreezeMarkers

KEY = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
OTHER = "PUB_R1_5B4YWRuzRL1vhyywAY3BQRRRsA8RkXHVfb11yawNRWYb2fdLj8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The markers' folder, which does not exist yet."""
    return tmp_path / "state" / "frozen"


@pytest.fixture
def markers(folder: Path) -> FreezeMarkers:
    """The markers in that folder."""
    return FreezeMarkers(folder)


def test_nothing_is_frozen_at_first(markers: FreezeMarkers) -> None:
    """Without a folder nothing is frozen."""
    assert markers.frozen("a", KEY) is None
    assert markers.list() == []


@pytest.mark.parametrize(
    ("scope", "name", "frozen"),
    [
        ("all", "", {("a", KEY), ("a", OTHER), ("b", KEY), ("", KEY)}),
        ("node", "a", {("a", KEY), ("a", OTHER)}),
        ("key", KEY, {("a", KEY), ("b", KEY), ("", KEY)}),
    ],
)
def test_a_freeze_covers_its_scope_and_no_more(
    scope: str, name: str, frozen: set[tuple[str, str]], markers: FreezeMarkers
) -> None:
    """All, one node or one key is frozen, with the reason, until the freeze is ended."""
    markers.set(scope, name, "me", "drill")

    asked = {("a", KEY), ("a", OTHER), ("b", KEY), ("", KEY), ("b", OTHER)}
    if scope == "all":
        frozen = asked
    assert {pair for pair in asked if markers.frozen(*pair) == "drill"} == frozen
    assert markers.clear(scope, name)
    assert not markers.clear(scope, name)
    assert all(markers.frozen(*pair) is None for pair in asked)


def test_a_freeze_outlives_the_object(markers: FreezeMarkers, folder: Path) -> None:
    """Another process sees the marker, who made it, when and why."""
    markers.set("node", "a", "me", "drill")

    (marker,) = FreezeMarkers(folder).list()

    assert marker.pop("at").endswith("Z")  # type: ignore[misc]
    assert marker == {"scope": "node", "name": "a", "by": "me", "reason": "drill"}
    assert json.dumps(marker)


def test_a_second_freeze_replaces_the_reason(markers: FreezeMarkers) -> None:
    """A shorter reason leaves nothing of the longer one."""
    markers.set("all", "", "me", "a rather long reason")
    markers.set("all", "", "me", "x")

    assert markers.frozen("a", KEY) == "x"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"reason": 3}', b"\xff\xfe", b"[" * 8000])
def test_a_marker_freezes_whatever_is_in_it(content: bytes, markers: FreezeMarkers, folder: Path) -> None:
    """An empty, torn or foreign file freezes too: `touch` is enough."""
    folder.mkdir(parents=True)
    (folder / "all").write_bytes(content)

    assert "gives no reason" in (markers.frozen("a", KEY) or "")
    assert [marker["scope"] for marker in markers.list()] == ["all"]


def test_a_dangling_link_and_a_folder_freeze_too(markers: FreezeMarkers, folder: Path) -> None:
    """Existence counts, not the kind of file."""
    folder.mkdir(parents=True)
    (folder / "all").symlink_to("nowhere")
    assert markers.frozen("a", KEY) is not None
    (folder / "all").unlink()
    (folder / f"key-{KEY}").mkdir()
    assert markers.frozen("a", KEY) is not None


def test_what_cannot_be_looked_up_is_frozen(markers: FreezeMarkers, folder: Path) -> None:
    """A file in the folder's place freezes everything, because nothing can be known."""
    folder.parent.mkdir()
    folder.write_bytes(b"")

    assert "cannot be looked up" in (markers.frozen("a", KEY) or "")


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("all", "a"),
        ("node", ""),
        ("node", "../x"),
        ("node", "a/b"),
        ("key", "."),
        ("x", "a"),
        ("node", "a\n"),
        ("", ""),
    ],
)
def test_a_name_cannot_leave_the_folder(scope: str, name: str, markers: FreezeMarkers, folder: Path) -> None:
    """Only names that nodes and keys can have become file names."""
    with pytest.raises(FormatError):
        markers.set(scope, name, "me", "drill")
    with pytest.raises(FormatError):
        markers.clear(scope, name)
    assert not folder.exists()


def test_other_files_are_no_freezes(markers: FreezeMarkers, folder: Path) -> None:
    """An editor's leavings freeze nothing and are not listed."""
    folder.mkdir(parents=True)
    for name in (".all.swp", "README", "node-", "all~"):
        (folder / name).touch()

    assert markers.list() == []
    assert markers.frozen("a", KEY) is None


def test_a_freeze_is_on_disk_before_set_returns(
    markers: FreezeMarkers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is fsynced after it is written, and then the folder that names it."""
    synced: list[tuple[str, int]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        synced.append((path, os.fstat(descriptor).st_size if path.endswith("/all") else 0))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    markers.set("all", "", "me", "drill")

    assert synced[-2][0] == f"{folder}/all"
    assert synced[-2][1] == (folder / "all").stat().st_size > 0
    assert synced[-1][0] == str(folder)
    assert str(folder.parent) in [path for path, _ in synced]


def test_a_full_disk_does_not_stop_a_freeze(markers: FreezeMarkers, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the reason finds no room, the marker stands without it."""

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    markers.set("all", "", "me", "drill")

    assert "gives no reason" in (markers.frozen("a", KEY) or "")


def test_a_freeze_that_is_not_durable_is_an_error(
    markers: FreezeMarkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fails, nobody is told that the key is frozen for good; it is frozen for now."""

    def broken(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    markers.set("node", "b", "me", "drill")
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        markers.set("all", "", "me", "drill")

    assert markers.frozen("a", KEY) is not None


def test_the_files_are_for_the_owner_alone(markers: FreezeMarkers, folder: Path) -> None:
    """Folder 0700, marker 0600."""
    markers.set("all", "", "me", "drill")

    assert (folder.stat().st_mode & 0o777, (folder / "all").stat().st_mode & 0o777) == (0o700, 0o600)


def test_roots_freeze_belongs_to_the_owner_of_the_state(markers: FreezeMarkers, folder: Path) -> None:
    """The signer can read and end what root froze."""
    folder.parent.mkdir()
    os.chown(folder.parent, 4711, 4712)

    markers.set("all", "", "root", "drill")

    for path in (folder, folder / "all"):
        assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712)


def test_a_folder_that_cannot_be_read_freezes_everything_and_is_shown_so(tmp_path: Path) -> None:
    """A file in the place of the folder above it: root, too, gets an error of the kernel."""
    (tmp_path / "state").write_text("in the way")
    markers = FreezeMarkers(tmp_path / "state" / "frozen")

    (marker,) = markers.standing()

    assert (marker["scope"], marker["name"], marker["by"]) == ("all", "", "")
    assert marker["reason"] == markers.frozen("a", "PUB_R1_x")
    assert marker["reason"].endswith("cannot be looked up: Not a directory")
