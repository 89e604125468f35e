"""The keys of a trial, generated in their tokens. A second call finds the keys of the first."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from hsm.errors import HsmError, TokenAbsentError
from hsm.keys import generate_key, list_keys
from hsm.module import Module
from hsm.pin import PinFile
from hsm.provision import init_token
from hsm.softhsm import CONFIG_VARIABLE, write_configuration
from hsm.uri import TokenUri
from signer.antelope.keys import Curve, PublicKey
from trial import private_file
from trial.errors import TrialError
from trial.layout import CONTROL, NODES, TOKENS

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from hsm.keys import KeyRecord
    from hsm.point import Curve as PointCurve
    from trial.layout import Layout

#: Where Debian's libsofthsm2 puts the module, and where it is a link from.
_MODULE_PATHS: Final = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
_POINT_CURVES: Final[dict[Curve, PointCurve]] = {Curve.K1: "secp256k1", Curve.R1: "prime256v1"}

Role = Literal["block", "rotation", "audit", "probe"]


@dataclass(frozen=True, slots=True)
class WantedKey:
    """A key that a trial has.

    Attributes:
        token: the name of its token.
        label: CKA_LABEL.
        curve: K1 or R1.
        role: what it signs.
        node: for block keys, the node that may ask for it.
    """

    token: str
    label: str
    curve: Curve
    role: Role
    node: str | None = None


@dataclass(frozen=True, slots=True)
class RingKey:
    """A key that exists."""

    wanted: WantedKey
    public_key: PublicKey


def _of_node(node: str, size: int) -> tuple[WantedKey, ...]:
    return (
        *(WantedKey(node, f"{node}-r1-{number}", Curve.R1, "block", node) for number in range(1, size + 1)),
        WantedKey(node, f"{node}-k1-1", Curve.K1, "block", node),
        WantedKey(node, f"{node}-probe-r1", Curve.R1, "probe"),
        WantedKey(node, f"{node}-probe-k1", Curve.K1, "probe"),
    )


def _wanted(size: int) -> tuple[WantedKey, ...]:
    """For each node `size` R1 keys, to sign with and to rotate to, and one of the other curve."""
    return (
        *(key for node in NODES for key in _of_node(node, size)),
        WantedKey(CONTROL, "rotation-r1-1", Curve.R1, "rotation"),
        WantedKey(CONTROL, "audit-r1-1", Curve.R1, "audit"),
        WantedKey(CONTROL, "control-probe-r1", Curve.R1, "probe"),
    )


def module_path() -> str:
    """Return the path of SoftHSM's module.

    Raises:
        TrialError: it is not installed.
    """
    for path in _MODULE_PATHS:
        if Path(path).exists():
            return path
    raise TrialError(f"SoftHSM is not at {' or '.join(_MODULE_PATHS)}; install the Debian package softhsm2")


def provision(layout: Layout, size: int) -> tuple[RingKey, ...]:
    """Make the three tokens and every key that is not there yet; return all keys, in the order of the config.

    Args:
        layout: the trial.
        size: R1 keys of each node.

    Raises:
        TrialError: the module refused, or what is there does not fit.
    """
    for folder in (layout.pins, layout.so_pins, layout.folder / "softhsm"):
        private_file.make_folder(folder)
    module = module_path()
    wanted = _wanted(size)
    found: dict[str, bytes] = {}
    for name in TOKENS:
        found |= _in_a_child(layout, name, module, [key for key in wanted if key.token == name])
    return tuple(
        RingKey(key, PublicKey.from_ec_point(key.curve, found[f"{key.token}/{key.label}"])) for key in wanted
    )


def _in_a_child(layout: Layout, name: str, module_file: str, wanted: list[WantedKey]) -> dict[str, bytes]:
    """Do `_provision_token` in a process of its own: a module reads the configuration of one token only.

    Raises:
        TrialError: it said so, or ended without a word.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(theirs, layout, name, module_file, wanted))
    child.start()
    theirs.close()
    try:
        points, problem = ours.recv()
    except EOFError:
        points, problem = {}, f"token {name}: the process that makes it ended; the message above says why"
    child.join()
    if problem:
        raise TrialError(problem)
    return dict(points)


def _answer(
    answers: Connection, layout: Layout, name: str, module_file: str, wanted: list[WantedKey]
) -> None:
    answers.send(_provision_token(layout, name, module_file, wanted))


def _provision_token(
    layout: Layout, name: str, module_file: str, wanted: list[WantedKey]
) -> tuple[dict[str, bytes], str]:
    """Return compressed points (bytes, 33) by `token/label`, and the problem, empty if there is none."""
    try:
        os.environ[CONFIG_VARIABLE] = str(write_configuration(layout.softhsm(name)))
        module = Module(module_file)
        try:
            uri = _token(module, layout, name, module_file)
            return {f"{name}/{key.label}": point for key, point in _keys(module, layout, uri, wanted)}, ""
        finally:
            module.finalize()
    except (HsmError, TrialError) as error:
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        return {}, f"token {name}: {error}{notes}"


def _token(module: Module, layout: Layout, name: str, module_file: str) -> TokenUri:
    uri = TokenUri(module_file, token=name)
    pins = (layout.pin(name), layout.so_pin(name))
    try:
        module.find_token(uri)
    except TokenAbsentError:
        # PINs of a run that ended before it made the token: no token knows them.
        for path in pins:
            path.unlink(missing_ok=True)
        return init_token(module, name, *pins).uri
    for path in pins:
        if not path.exists():
            raise TrialError(
                f"the token exists, but {path} does not; remove {layout.folder} and start afresh"
            ) from None
    return uri


def _keys(
    module: Module, layout: Layout, uri: TokenUri, wanted: list[WantedKey]
) -> list[tuple[WantedKey, bytes]]:
    with module.session(uri, PinFile(layout.pin(str(uri.token))).read(), write=True) as session:
        there: dict[str, KeyRecord] = {record.label: record for record in list_keys(session)}
        made = []
        for key in wanted:
            curve = _POINT_CURVES[key.curve]
            record = there.get(key.label) or generate_key(session, key.label, curve)
            if record.point is None or record.point.curve != curve:
                raise TrialError(
                    f"key {key.label} is no usable {curve} key ({record.problem or 'it is of another'}); "
                    f"remove {layout.folder} and start afresh"
                )
            made.append((key, record.point.compressed))
        return made
