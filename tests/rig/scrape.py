"""What Prometheus would read, parsed by its own library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from rig.site import Site


class Scrape:
    """One page.

    Attributes:
        text: as it came.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._families = {each.name: each for each in text_string_to_metric_families(text)}

    @property
    def helps(self) -> dict[str, str]:
        """Metric, without `_total`, to its help."""
        return {name: family.documentation for name, family in self._families.items()}

    def values(self, name: str, /, **labels: str) -> list[float]:
        """Return the values of all samples of a name that have these labels."""
        return [
            sample.value
            for family in self._families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, /, **labels: str) -> float:
        """Return the value of the one sample that has these labels."""
        (value,) = self.values(name, **labels)
        return value

    def names(self) -> set[str]:
        """Return every name that a query can use: of all samples, and of metrics without any."""
        names = set()
        for name, family in self._families.items():
            names |= {sample.name for sample in family.samples}
            if family.type == "histogram":
                names |= {f"{name}_{part}" for part in ("bucket", "count", "sum")}
            else:
                names.add(f"{name}_total" if family.type == "counter" else name)
        return names


def of_admin(site: Site) -> Scrape:
    """Return what the admin socket gives, without a token."""
    transport = httpx.HTTPTransport(uds=str(site.folder / "run/admin/admin.sock"))
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        answer = client.get("/metrics")
    answer.raise_for_status()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(answer.text)
