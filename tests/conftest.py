"""For every test: a run in which a test was skipped has failed. What was not tested is not known to work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

#: Outcomes of a test that was not asked, or whose failure was excused.
_NOT_TESTED = ("skipped", "xfailed", "xpassed")


def _not_tested(config: pytest.Config) -> int:
    reporter: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    return 0 if reporter is None else sum(len(reporter.stats.get(outcome, ())) for outcome in _NOT_TESTED)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a success with skipped tests into a failure."""
    if session.exitstatus == pytest.ExitCode.OK and _not_tested(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Say why the run failed."""
    count = _not_tested(config)
    if count:
        terminalreporter.write_line(
            f"FAILED: {count} test(s) skipped or excused; install the missing part or remove the test",
            red=True,
        )
