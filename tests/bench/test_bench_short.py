"""The bench runs and tells what it should. How fast anything is, no test says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

_RUN = Path(__file__).with_name("run")
#: s. A deadline against a hang.
_TIMEOUT_S = 300


def _bench(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    file = folder / "bench.json"
    done = subprocess.run(
        [_RUN, "--json", file, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    return done, file


def test_signer_keosd_and_floor_are_measured_side_by_side(tmp_path: Path) -> None:
    counts = (
        *("closed", "steady", "floor-closed", "floor-steady", "warm-up-off"),
        *("guards-closed", "guards-steady", "slow-closed", "slow-steady"),
        "dashboards",
        "scrapes",
    )
    done, file = _bench(
        tmp_path,
        *(f"--{name}=2" for name in counts),
        *("--idle=0.1", "--starts=1", "--interleave-curves", "--transports=tcp,unix", "--samples"),
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    assert results["problems"] == []
    beside = {
        (row["who"], row["curve"], row["transport"], row["mode"], row["n"])
        for row in results["latency"]
        if row["who"] != "C_Sign" and not row["note"]
    }
    assert beside == {
        (who, curve, way, mode, 2)
        for who in ("signer", "keosd")
        for curve in ("k1", "r1")
        for way in ("tcp", "unix")
        for mode in ("closed", "steady")
    }
    other = {(row["who"], row["note"], row["mode"]) for row in results["latency"]}
    assert other >= {
        *(("C_Sign", "", mode) for mode in ("closed", "steady")),
        *((who, "warm-up off", "steady") for who in ("signer", "keosd")),
        ("C_Sign", "slow module", "closed"),
        *(("signer", "slow module", mode) for mode in ("closed", "steady")),
        *((f"guards-{each}", "guards", mode) for each in ("on", "off") for mode in ("closed", "steady")),
        *(("signer", note, "steady") for note in ("no dashboard", "10 dashboards", "no scrape", "scrapes")),
    }
    for row in results["latency"]:
        assert len(row["samples_ns"]) == row["n"]
        assert 0 < row["p50"] <= row["p90"] <= row["p99"] <= row["worst"]
        assert row["lost"] <= row["above_limit"] + row["errors"] <= 2 * row["lost"]
        if row["who"] == "keosd":
            assert row["errors"] == 0, row["reasons"]
    assert set(results["cost"]) == {
        *("ready_s", "idle_cores", "idle_cores_warm_up_off", "processes", "pss_mb", "pss_mb_after")
    }
    assert {figure["verdict"] for figure in results["figures"]} <= {"reached", "missed", "too few samples"}
    for shown in ("signer", "keosd", "C_Sign", "memory (PSS", "Clopper-Pearson"):
        assert shown in done.stdout


@pytest.mark.chain
def test_rounds_and_real_production_are_measured(tmp_path: Path) -> None:
    done, file = _bench(
        tmp_path,
        *("--rounds=1", "--silence=0.1", "--real-nodeos=2", "--reloads=1", "--upgrades=1", "--rotations=2"),
        *("--curves=r1", "--transports=unix"),
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    assert results["problems"] == []
    assert {(row["who"], row["mode"], row["n"]) for row in results["latency"]} == {
        (who, mode, count)
        for who in ("signer", "keosd")
        for mode, count in (("rounds", 12), ("rounds, first", 1))
    } | {("signer", "steady", 2)}
    run, reloading, upgrading = results["production"]
    assert run["requests"] >= run["blocks"] >= 2
    assert (run["reloads"], reloading["reloads"], upgrading["upgrades"]) == (0, 1, 1)
    assert reloading["blocks"] > 0
    assert upgrading["requests"] >= upgrading["blocks"] > 0
    assert "real nodeos, r1 over unix" in done.stdout


@pytest.mark.parametrize(
    "arguments", [("--curves=ed25519",), ("--closed=-1",), ("--soak=1", "--interleave-curves")]
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done, file = _bench(tmp_path, *arguments)

    assert done.returncode == 2
    assert not file.exists()
