"""Scenes of one chain that play at the same time: each waits for the chain most of its time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

T = TypeVar("T")

#: s. Longer than any scene, also in its long form: a deadline against a hang.
_SCENE_S = 3600.0


class Scenes:
    """Functions that run side by side, each asked for its result by the test that it belongs to.

    Its threads live until it is left: the kernel ends a process started with --pdeathsig when the thread that started
    it ends (prctl(2)).
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=count)
        self._running: dict[str, Future[Any]] = {}
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def play(self, name: str, scene: Callable[[T], Any], cast: T) -> None:
        """Begin a scene with its cast."""

        def timed() -> Any:  # noqa: ANN401 - whatever the scene shows
            try:
                return scene(cast)
            except BaseException as error:
                print(f"scene {name}: {error}")  # noqa: T201 - long before its test comes
                raise
            finally:
                print(f"scene {name} ended after {time.monotonic() - self._began:.0f} s")  # noqa: T201 - for -s

        self._running[name] = self._pool.submit(timed)

    def result(self, name: str) -> Any:  # noqa: ANN401 - whatever the scene returned
        """Wait for a scene and return what it showed; what it raised is raised here."""
        return self._running[name].result(_SCENE_S)
