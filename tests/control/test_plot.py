"""The picture of latencies: every request is in it, and what came too late is seen."""

from __future__ import annotations

from signer.control.pages import plot
from signer.supervisor.latency import BUCKETS_MS, Latency


def _state(*micros: int, late: int = 0) -> dict[str, object]:
    latency = Latency()
    for each in micros:
        latency.add(each, 5000, late=False)
    for _ in range(late):
        latency.add(5000, 5000, late=True)
    return {"primary": {"R1": latency.state()}}


def test_bars_stand_in_order_within_the_picture_and_are_told_in_words() -> None:
    [shown] = plot.plots(_state(300, 300, 900, 6000, late=2), {"primary": 5.0})

    assert [bar.text for bar in shown.bars] == [
        "up to 0.5 ms: 2",
        "up to 1 ms: 1",
        "up to 7.5 ms: 1",
        f"above {BUCKETS_MS[-1]:g} ms or not sent: 2",
    ]
    assert [bar.late for bar in shown.bars] == [False, False, True, True]
    edges = [edge for bar in shown.bars for edge in (bar.x, bar.x + bar.width)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= plot.WIDTH
    assert shown.bars[1].x < shown.timeout_x <= shown.bars[2].x
    assert (shown.count, shown.late) == (6, 3)


def test_the_one_late_request_of_thousands_can_be_seen() -> None:
    [shown] = plot.plots(_state(*[300] * 5000, late=1), {"primary": 5.0})

    assert shown.bars[-1].late
    assert shown.bars[-1].height >= 2


def test_who_has_not_signed_or_is_not_configured_any_more_has_no_picture() -> None:
    assert plot.plots({}, {"primary": 5.0}) == []
    assert plot.plots(_state(300), {"other": 5.0}) == []
