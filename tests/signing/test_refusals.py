"""The laws of the refusal log: the first is shown, the flood is a number."""

from __future__ import annotations

from signer.signing.refusals import Refusals
from signer.signing.service import Decision


def _decision(at: float, rule: str = "frozen", key: str = "PUB_R1_a") -> Decision:
    return Decision(at, "primary", "uid 1 pid 2", key, "block", "", "refused", rule, "", 0, 0, 10, "why")


def test_the_first_is_shown() -> None:
    assert Refusals().note(_decision(0.0)) == 0


def test_a_flood_is_not_shown_but_counted() -> None:
    refusals = Refusals()

    shown = [refusals.note(_decision(0.01 * number)) for number in range(1000)]
    later = refusals.note(_decision(11.0))

    assert [number for number in shown if number is not None] == [0]
    assert later == 999


def test_another_rule_or_key_is_shown_at_once() -> None:
    refusals = Refusals()
    refusals.note(_decision(0.0))

    assert refusals.note(_decision(0.1, rule="late")) == 0
    assert refusals.note(_decision(0.1, key="PUB_R1_b")) == 0


def test_a_clock_that_steps_back_does_not_silence_it() -> None:
    refusals = Refusals()
    refusals.note(_decision(1000.0))

    assert refusals.note(_decision(0.0)) == 0


def test_a_flood_of_unknown_keys_hides_no_other_refusal() -> None:
    """Whoever asks can choose among any number of them."""
    refusals = Refusals()
    shown = [
        refusals.note(_decision(0.0, rule="wallet_missing_pub_key_exception", key=f"PUB_R1_{number}"))
        for number in range(3000)
    ]

    assert [number for number in shown if number is not None] == [0]
    assert refusals.note(_decision(0.1, rule="frozen")) == 0


def test_memory_is_bounded() -> None:
    refusals = Refusals()
    for number in range(3000):
        refusals.note(_decision(0.0, key=f"PUB_R1_{number}"))

    assert len(refusals._seen) <= 1001  # noqa: SLF001 - what it keeps is what the law is about
