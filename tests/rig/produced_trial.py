"""A trial whose primary node produces on a real chain, with two API nodes in front of it that can be made odd."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rig.api_proxy import ApiProxy
from rig.condition import until
from rig.own_producer import OwnProducer
from rig.rotating_signer import RotatingSigner
from rig.tools import Tools
from rig.trial import Trial

if TYPE_CHECKING:
    from pathlib import Path

    from rig.chain import Chain


class ProducedTrial:
    """A chain with two API nodes in front of it, and a trial with one of its nodes running."""

    def __init__(self, folder: Path, chain: Chain) -> None:
        self.chain = chain
        self.apis = [ApiProxy(chain.boot.url), ApiProxy(chain.boot.url)]
        self.producer = OwnProducer(Tools.find(), chain, "ours")
        self.signer = RotatingSigner(Trial(folder / "trial"), "ours")

    def start(self) -> None:
        """Make the trial, its permission and its primary node."""
        self.signer.quickstart([each.url for each in self.apis], ring=4)
        self.signer.allow(self.chain, self.chain.cleos)
        node = self.producer.join("primary", self.signer.providers("primary"))
        table = "[nodes.primary]"
        self.config.write_text(self.config.read_text().replace(table, f'{table}\napi = "{node.url}"'))
        self.producer.register(self.signer.keys("primary")[0])
        assert self.signer.run("reload").returncode == 0
        self.well()

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.signer.trial.folder / "signer.toml"

    def doctor(self, *arguments: str, code: int = 5) -> dict[tuple[str, str], dict[str, str]]:
        """Return what the doctor finds, by check and subject."""
        done = self.signer.run("doctor", "--json", "--quick", *arguments)
        assert done.stdout, done.stderr
        findings = json.loads(done.stdout)["findings"]
        assert done.returncode == code, [each for each in findings if each["verdict"] == "failure"]
        return {(each["check"], each["subject"]): each for each in findings}

    def status(self) -> Any:  # noqa: ANN401 - JSON
        """Return `signer status --json`, also of a signer that is not ready."""
        return json.loads(self.signer.run("status", "--json").stdout)

    def well(self) -> None:
        """Wait until nothing is broken any more."""

        def look() -> bool:
            status = self.status()
            return bool(status["ready"]) and not status["problems"] and status["control"]["state"] == "ready"

        until(look, "the signer is well", explain=self.signer.log)
