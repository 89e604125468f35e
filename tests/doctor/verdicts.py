"""What a test of the doctor's checks looks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from signer.doctor.finding import Finding


def verdicts(found: Iterable[Finding]) -> dict[tuple[str, str], str]:
    """Return check and subject -> verdict. What is not well has a remedy; what is well needs none."""
    every = list(found)
    for each in every:
        assert bool(each.remedy) == (each.verdict.value != "ok"), each
        assert each.text, each
    return {(each.check, each.subject): each.verdict.value for each in every}


def only(found: Iterable[Finding], check: str) -> Finding:
    """Return the one finding of a check."""
    (one,) = [each for each in found if each.check == check]
    return one
