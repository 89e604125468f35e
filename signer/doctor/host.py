"""The machine: room, limits, swap, load, versions, and what systemd keeps the signer from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signer.doctor.finding import Finding, failure, ok, unknown, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signer.config import Config
    from signer.doctor.facts import HostFact, ProcessFact, TokenFact

#: A signature is a line of 600 bytes: a day of a producer of 21 with two nodes writes some 10 MB.
_FREE_FAILURE: Final = 100 * 10**6
_FREE_WARNING: Final = 10**9
_FILES_FAILURE: Final = 100
_MB: Final = 10**6
#: Every listener may have its connections; lanes, files and the channel need some more.
_OTHER_FILES: Final = 64
_NEARLY: Final = 0.8
#: systemd's own words: OK below 4, MEDIUM from 4 on, EXPOSED from 7 on (systemd-analyze(1), security).
_EXPOSURE_WARNING: Final = 4.0


def check(
    config: Config,
    host: HostFact,
    processes: Sequence[ProcessFact],
    tokens: Mapping[str, TokenFact],
    python: str,
) -> Iterator[Finding]:
    """Yield what is known of the machine.

    Args:
        config: the configuration.
        host: the machine.
        processes: the signer's, none while it is down.
        tokens: the tokens as their modules show them.
        python: the version that looks.
    """
    yield _disk(config, host)
    for process in processes:
        yield from _process(config, process)
    yield _load(host)
    yield from _versions(host, tokens, python, running=bool(processes))
    yield _unit(host, running=bool(processes))


def _disk(config: Config, host: HostFact) -> Finding:
    at = str(config.state_dir)
    if host.free_bytes is None:
        return unknown("disk", at, "this user may not look at it", "run this as root or as the signer's user")
    free, log = f"{host.free_bytes / _MB:.0f} MB", f"{host.log_bytes / _MB:.1f} MB"
    text = f"{free} and {host.free_files} files free; the audit log has {log}"
    remedy = f"make room on the file system of {at}: df -h {at}, df -i {at}; runbook, Disk and files"
    if host.free_bytes < _FREE_FAILURE or host.free_files < _FILES_FAILURE:
        return failure("disk", at, f"{text}: soon nothing is logged, and no rotation is kept", remedy)
    if host.free_bytes < _FREE_WARNING:
        return warning("disk", at, text, remedy)
    return ok("disk", at, text)


def _process(config: Config, process: ProcessFact) -> Iterator[Finding]:
    if process.problem:
        yield unknown(
            "limits", process.name, process.problem, "run this as root or as the signer's user, on its host"
        )
        return
    needed = sum(config.limits.max_connections for _ in config.listeners) + _OTHER_FILES
    used = "?" if process.open_files is None else process.open_files
    text = f"{used} of {process.max_files} descriptors in use"
    if process.open_files is not None and process.open_files > process.max_files * _NEARLY:
        yield failure(
            "limits",
            process.name,
            f"{text}: soon it takes no connection",
            "LimitNOFILE=65536 in the unit (ulimit -n 65536 without systemd); then restart the signer",
        )
    elif process.max_files < needed:
        yield warning(
            "limits",
            process.name,
            f"{text}; all listeners together may need {needed}",
            "LimitNOFILE=65536 in the unit (ulimit -n 65536 without systemd), or a smaller limits.max_connections",
        )
    else:
        yield ok("limits", process.name, text)
    if process.core_bytes != 0:
        yield failure(
            "core-dump",
            process.name,
            "it may leave a core dump, which can hold a PIN",
            "LimitCORE=0 in the unit; then restart the signer",
        )
    yield _swap(process)


def _swap(process: ProcessFact) -> Finding:
    if not process.swaps:
        return ok("swap", process.name, "this machine has no swap")
    if process.locked_bytes:
        return ok("swap", process.name, f"{process.locked_bytes // _MB} MB of memory are kept out of swap")
    if process.name == "signing":
        return ok("swap", process.name, "it has no PIN")
    return warning(
        "swap",
        process.name,
        "its memory may be swapped out, and PINs go through it",
        "LimitMEMLOCK=infinity in the unit (prlimit --memlock=unlimited without systemd), or encrypted swap, or none",
    )


def _load(host: HostFact) -> Finding:
    text = f"load {host.load:.1f} on {host.cores} cores"
    if is_busy(host.load, host.cores):
        return warning(
            "load",
            "",
            f"{text}: signatures may be late",
            "find what runs: top; give the signer a host of its own",
        )
    return ok("load", "", text)


def is_busy(load: float, cores: int) -> bool:
    """Whether twice as many processes want to run as there are processors."""
    return load > 2 * cores


def _versions(
    host: HostFact, tokens: Mapping[str, TokenFact], python: str, *, running: bool
) -> Iterator[Finding]:
    if running and host.python and host.python != python:
        yield warning(
            "version", "python", f"the signer runs on {host.python}, this on {python}", "restart the signer"
        )
    else:
        yield ok("version", "python", python)
    for module in sorted({fact.module for fact in tokens.values() if fact.module}):
        yield ok("version", "module", module)


def _unit(host: HostFact, *, running: bool) -> Finding:
    if not running:
        return unknown("systemd", "", "the signer does not run, so its unit is not known", "start the signer")
    if not host.unit:
        return unknown(
            "systemd",
            "",
            "the signer was not started by systemd, so nothing is known of what it is kept from",
            "in production use deploy/systemd/antelope-signer.service",
        )
    if host.exposure is None:
        return unknown(
            "systemd", host.unit, "systemd-analyze says nothing", f"systemd-analyze security {host.unit}"
        )
    text = f"exposure {host.exposure:.1f} of 10 by systemd-analyze security"
    if host.exposure >= _EXPOSURE_WARNING:
        return warning(
            "systemd", host.unit, text, "take the settings of deploy/systemd/antelope-signer.service"
        )
    return ok("systemd", host.unit, text)
