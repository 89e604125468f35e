"""What cleos may do with tokens, where the PINs are: unlock, lock, make and remove account keys, stop.

The signing process speaks keosd's protocol (signer.signing.wallet) and asks here. What it guarantees:
- A PIN is tried only on a token that waits for one and says that it takes one more wrong one; at most two wrong ones
  in a row, then only after `signer token retry`. Each wrong one is counted on disk, reported, and followed by a pause.
- Lock and idle time act on tokens that a person unlocked, and on no other.
- A PIN is in no log, answer or audit line.
- However many ask, few questions of a kind are in work, and one process looks for a token.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from hsm.errors import HsmError, PinSourceError
from hsm.pin import Pin, same_pin
from hsm.refused import RefusedMarker
from signer import config_edit, config_file
from signer.antelope.keys import Curve, PublicKey
from signer.config_edit import CURVE_NAMES, Plan
from signer.errors import ConfigError, SignerError
from signer.signing import audit
from signer.supervisor import keymaker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hsm.pin import TypedPin
    from signer.channel import Message
    from signer.config import Config, Key, Token
    from signer.supervisor.expected import Expected
    from signer.supervisor.lanes import LaneKeeper
    from signer.supervisor.run import Supervisor

log = logging.getLogger("signer.supervisor")

#: Wrong PINs in a row that a token is given: one less than the fewest after which any token that we know locks (three).
MAX_TRIES: Final = 2
#: The pause after a wrong PIN, in s.
_PAUSE_S: Final = 2.0
#: A login to a hardware token may take seconds, and the check of its keys too.
_UNLOCK_S: Final = 20.0
_CHECK_S: Final = 10.0
#: Questions of one kind in work: many more than there are persons.
_MAX_QUESTIONS: Final = 16
#: What was seen of a token holds for so long, in s: not every question may start a process that looks.
_SEEN_S: Final = 1.0
#: asyncio's timers are not meant for years; a timer that is too short sets itself again.
_TIMER_S: Final = 3600.0


class WalletRefusalError(SignerError):
    """The wallet says no. `code` is a stable name that signer.signing.supervisor turns into keosd's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WalletRemains(BaseModel, frozen=True, extra="forbid"):
    """For the next image of the supervisor. Times in s of the monotonic clock."""

    timeout_s: float | None
    used: float
    guesses: dict[str, int]
    pauses: dict[str, float]


class Wallet:
    """The tokens of purpose block, as cleos sees them: each is a wallet.

    Args:
        supervisor: of this process.
        config: what is in service first.
        expected: when no process is to begin.
    """

    def __init__(self, supervisor: Supervisor, config: Config, expected: Expected) -> None:
        self._supervisor = supervisor
        self._expected = expected
        self._marker = RefusedMarker(config.pin_refused_dir)
        self._guesses: dict[str, int] = {}
        self._pause_until: dict[str, float] = {}
        self._one_at_a_time = asyncio.Lock()
        self._in_work: Counter[str] = Counter()
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._timeout_s: float | None = None
        self._used = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._acts = {
            "open": self._open_wallet,
            "unlock": self._unlock,
            "lock": self._lock,
            "lock-all": self._lock_all,
            "set-timeout": self._set_timeout,
            "create-key": self._create_key,
            "remove-key": self._remove_key,
            "stop": self._stop,
        }

    async def answer(self, question: Message) -> Message:
        """Return the content of the answer. Raises nothing: one question's fault must not reach another."""
        act = question["act"]
        if self._in_work[act] >= _MAX_QUESTIONS:
            text = f"{self._in_work[act]} others ask for the same; try again when they have their answers"
            return {"error": text, "code": "crowded"}
        self._in_work[act] += 1
        try:
            content = await self._acts[act](question)
        except WalletRefusalError as error:
            return {"error": str(error), "code": error.code}
        except (SignerError, HsmError) as error:
            return {"error": str(error), "code": "failed"}
        except Exception:
            log.exception("a question of the wallet ended in a fault of the supervisor")
            return {"error": "a fault of the supervisor; its log has the place", "code": "failed"}
        finally:
            self._in_work[act] -= 1
        self.used()
        return content or {}

    def remains(self) -> WalletRemains:
        """Return what `adopt` needs in the next image of this process. PINs are not in it."""
        return WalletRemains(
            timeout_s=self._timeout_s, used=self._used, guesses=self._guesses, pauses=self._pause_until
        )

    def adopt(self, remains: WalletRemains) -> None:
        """Go on with the clocks and counts of the image before."""
        self._timeout_s, self._used = remains.timeout_s, remains.used
        self._guesses.update(remains.guesses)
        self._pause_until.update(remains.pauses)
        self._arm()

    # -- locks ---------------------------------------------------------------------------------------

    def used(self) -> None:
        """A command succeeded or a key signed: the idle time begins again."""
        self._used = time.monotonic()

    def lock_frozen(self) -> None:
        """Lock the tokens none of whose keys may sign since a freeze: their PINs are of no use to anyone."""
        config, frozen = self._config, self._supervisor.is_frozen
        for name in self._by_person():
            keys = [key for key in config.keys if key.token == name and key.role != "probe"]
            if keys and all(frozen(key) for key in keys):
                self._lock_tokens([name], "signer", "all its keys are frozen")

    def forgive(self, token: str) -> None:
        """A person with the admin socket says that the token's PIN may be tried again."""
        self._guesses.pop(token, None)
        self._pause_until.pop(token, None)

    def close(self) -> None:
        """The signer ends."""
        if self._timer is not None:
            self._timer.cancel()

    async def _lock(self, question: Message) -> None:
        name = self._known(question["wallet"])
        if self._typed(name) is None:
            raise WalletRefusalError("by-source", _BY_SOURCE.format(name))
        self._lock_tokens([name], question["by"], "asked for")

    async def _lock_all(self, question: Message) -> None:
        self._lock_tokens(self._by_person(), question["by"], "asked for")

    async def _set_timeout(self, question: Message) -> None:
        seconds = float(question["seconds"])
        detail = f"tokens that a person unlocked lock after {question['seconds']} s without use"
        self._supervisor.act(audit.SET_TIMEOUT, question["by"], detail)
        # 0 s: now, before the answer, and not over and over: whoever reads the answer finds them locked.
        self._timeout_s = seconds or None
        if not seconds:
            self._lock_idle(seconds)
        self.used()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._timeout_s is not None:
            left = self._used + self._timeout_s - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(0.0, min(left, _TIMER_S)), self._idle)

    def _idle(self) -> None:
        assert self._timeout_s is not None  # noqa: S101 - _arm looked
        if time.monotonic() - self._used >= self._timeout_s:
            self._lock_idle(self._timeout_s)
            self.used()  # what is unlocked later has its whole time
        self._arm()

    def _lock_idle(self, seconds: float) -> None:
        self._lock_tokens(self._by_person(), "signer", f"not used for {seconds:g} s")

    def _by_person(self) -> list[str]:
        return [name for name in self._config.tokens if self._typed(name) is not None]

    def _lock_tokens(self, names: Iterable[str], by: str, why: str) -> None:
        """Wipe PINs and end lanes. What is locked stays so, without a line in the audit log."""
        for name in names:
            typed = self._typed(name)
            if typed is None or not typed.present:
                continue
            typed.wipe()
            self._supervisor.log_out(name)
            self._supervisor.act(audit.LOCK, by, f"token {name}: {why}")
            log.warning("token locked", extra={"token": name, "caller": by, "reason": why})

    async def _open_wallet(self, question: Message) -> None:
        """See whether a token that nobody is logged in to is there."""
        name = self._known(question["wallet"])
        if self._keeper(name).state.state == "logged-in":
            return
        if name not in self._looks:
            self._looks[name] = asyncio.create_task(self._look(name, self._config.tokens[name]))
        await asyncio.shield(self._looks[name])

    async def _look(self, name: str, token: Token) -> None:
        try:
            await keymaker.look(token, self._expected)
        finally:
            asyncio.get_running_loop().call_later(_SEEN_S, self._looks.pop, name)

    # -- unlock --------------------------------------------------------------------------------------

    async def _unlock(self, question: Message) -> None:
        name = self._known(question["wallet"])
        async with self._one_at_a_time:
            keeper = self._keeper(name)
            if keeper.state.state == "logged-in":
                raise WalletRefusalError("unlocked", f"Wallet is already unlocked: {name}")
            typed = self._typed(name)
            if typed is None:
                raise WalletRefusalError(
                    "by-source",
                    f"token {name} takes its PIN from its configured source and is {keeper.state.state}: "
                    f"{keeper.state.reason}; correct the source, then run `signer token retry {name}`",
                )
            try:
                Pin(question["pin"])
            except PinSourceError as error:
                raise WalletRefusalError("password", f"{error}; token {name} was not asked") from None
            tries = self._marker.tries(name)
            self._refuse_try(name, tries)
            typed.set(question["pin"])
            await self._log_in(name, keeper, typed, tries, question["by"])
        self._supervisor.act(audit.UNLOCK, question["by"], f"token {name}")
        log.info("token unlocked", extra={"token": name, "caller": question["by"]})
        self.used()
        self._arm()

    async def _log_in(self, name: str, keeper: LaneKeeper, typed: TypedPin, tries: int, by: str) -> None:
        """Open a lane with the typed PIN and wait until its keys are checked.

        Raises:
            WalletRefusalError: the PIN was refused, or the token is not there. The PIN is wiped.
        """
        state, reason = "away", f"no answer within {_UNLOCK_S:g} s"
        try:
            async with asyncio.timeout(_UNLOCK_S):
                state, reason = await keeper.attempt()
        except TimeoutError:
            pass
        finally:
            if state != "logged-in":
                typed.wipe()
        if state == "logged-in":
            self._marker.clear(name)
            self.forgive(name)
            await self._supervisor.checked(name, _CHECK_S)
            return
        wrong = self._marker.tries(name)
        if state != "pin-refused":
            raise WalletRefusalError("away", f"token {name} is {state}: {reason}")
        if wrong == tries:
            raise WalletRefusalError("withheld", f"token {name}: {reason}")
        self._supervisor.act(audit.WRONG_PIN, by, f"token {name}: {wrong} in a row")
        raise self._wrong(name, wrong)

    def _wrong(self, name: str, wrong: int) -> WalletRefusalError:
        """Begin the pause after a wrong PIN; return the refusal."""
        self._pause_until[name] = time.monotonic() + _PAUSE_S
        left = max(0, MAX_TRIES - wrong)
        rest = f"{left} more may be tried" if left else f"no more are tried until `signer token retry {name}`"
        return WalletRefusalError(
            "password", f"Invalid password for wallet: {name} (wrong PINs in a row: {wrong}; {rest})"
        )

    def _refuse_try(self, name: str, wrong: int) -> None:
        """Raise unless a PIN may be tried now.

        Raises:
            WalletRefusalError: too many wrong ones, or too soon after one.
        """
        if wrong >= MAX_TRIES:
            raise WalletRefusalError(
                "tries",
                f"token {name} was given {wrong} wrong PINs in a row, and most tokens lock after a few; nothing was "
                f"tried. On the signer's host, `signer token retry {name}` allows more",
            )
        pause = self._pause_until.get(name, 0.0) - time.monotonic()
        if pause > 0:
            raise WalletRefusalError(
                "tries", f"the last PIN for token {name} was wrong; wait {pause:.1f} s. Nothing was tried"
            )

    # -- keys ----------------------------------------------------------------------------------------

    async def _create_key(self, question: Message) -> dict[str, Any]:
        name, token = self._open(question["wallet"])
        curve = Curve(question["curve"])
        if token.allow_create_key is None:
            raise WalletRefusalError(
                "forbidden",
                f"tokens.{name} has no allow_create_key; run `signer keys generate --token {name} --role account "
                "--chain CHAIN --append` on the signer's host, or set it to the name of a chain",
            )
        async with self._one_at_a_time:
            self._supervisor.refuse_while_leaving()
            path = self._refuse_other_edits()
            label = f"account-{curve.value.lower()}-{secrets.token_hex(4)}"
            plan = Plan("account", None, token.allow_create_key, name, label)
            plan.check(path, curve)
            made = await self._change(name, {"label": label, "curve": CURVE_NAMES[curve]})
            key = PublicKey(curve, bytes.fromhex(made["point"]))
            config_edit.append(path, plan.block(key, made["id"]))
            self._supervisor.act(audit.CREATE_KEY, question["by"], f"{key}, {label} in token {name}")
            await self._supervisor.reload(question["by"], wait=False)
        return {"key": key.fc}

    async def _remove_key(self, question: Message) -> None:
        name, token = self._open(question["wallet"])
        if not token.allow_remove_key:
            raise WalletRefusalError(
                "forbidden",
                f"tokens.{name} has no allow_remove_key = true; take the key out of the configuration, then run "
                "`signer keys destroy` on the signer's host",
            )
        async with self._one_at_a_time:
            self._supervisor.refuse_while_leaving()
            self._refuse_wrong_pin(name, question["pin"], question["by"])
            key = self._account_key(name, question["key"])
            path = self._refuse_other_edits()
            config_edit.remove(path, key.public_key)
            lost = frozenset({str(key.public_key)})
            await self._supervisor.reload(question["by"], wait=False, giving_up=lost)
            point = key.public_key.data.hex()
            await self._change(name, {"label": key.label, "id": key.id or "", "point": point})
            self._supervisor.act(
                audit.REMOVE_KEY, question["by"], f"{key.public_key}, {key.label} in token {name}"
            )

    def _account_key(self, token: str, asked: str) -> Key:
        """Return the configured account key `asked` (PUB_ form) of `token`.

        Raises:
            WalletRefusalError: there is none, or it is of another role.
        """
        for key in self._config.keys:
            if str(key.public_key) == asked and key.token == token:
                if key.role == "account":
                    return key
                raise WalletRefusalError(
                    "role", f"{asked} is a {key.role} key; cleos removes account keys and no others"
                )
        raise WalletRefusalError("no-key", "Key not in wallet")

    def _refuse_wrong_pin(self, name: str, pin: str, by: str) -> None:
        """Compare a PIN with the known one. The token is not asked, so it cannot lock; guesses are bounded as if."""
        wrong = self._guesses.get(name, 0)
        self._refuse_try(name, wrong)
        if same_pin(self._supervisor.pins.source(self._config, name), pin):
            self.forgive(name)
            return
        self._guesses[name] = wrong + 1
        self._supervisor.act(audit.WRONG_PIN, by, f"token {name}: {wrong + 1} in a row, to remove a key")
        raise self._wrong(name, wrong + 1)

    def _refuse_other_edits(self) -> Any:  # noqa: ANN401 - a Path, whose import is for types only
        """Return the configuration file's path if it can be changed and holds what is in service.

        Raises:
            WalletRefusalError: it does not: a reload would take more into service than was asked for.
            ConfigError: it is invalid.
        """
        path = self._supervisor.path
        if not config_edit.is_writable(path):
            raise WalletRefusalError(
                "forbidden",
                f"{path}: the signer's user cannot replace this file, where the key would be configured; "
                "use `signer keys generate --append` and `signer reload` as its owner",
            )
        if config_file.load(path) != self._config:
            raise ConfigError(f"{path} has changes that are not in service; run `signer reload` first")
        return path

    async def _change(self, name: str, change: dict[str, str]) -> dict[str, str]:
        token = self._config.tokens[name]
        pin = self._supervisor.pins.source(self._config, name).read()
        return await keymaker.perform(token, self._expected, pin, change)

    # -- the rest ------------------------------------------------------------------------------------

    async def _stop(self, question: Message) -> None:
        self._supervisor.stop(question["by"])

    @property
    def _config(self) -> Config:
        return self._supervisor.config

    def _known(self, name: str) -> str:
        token = self._config.tokens.get(name)
        if token is None or token.purpose != "block":
            raise WalletRefusalError("nonexistent", f"Wallet not found: {name}")
        return name

    def _open(self, name: str) -> tuple[str, Token]:
        """Return a wallet that is unlocked.

        Raises:
            WalletRefusalError: it does not exist, or is locked.
        """
        if self._keeper(self._known(name)).state.state != "logged-in":
            raise WalletRefusalError("locked", f"Wallet is locked: {name}")
        return name, self._config.tokens[name]

    def _keeper(self, name: str) -> LaneKeeper:
        keeper = self._supervisor.keeper(name)
        if keeper is None:
            raise WalletRefusalError("away", f"token {name} is not open here: the signing process starts")
        return keeper

    def _typed(self, name: str) -> TypedPin | None:
        return self._supervisor.pins.typed(self._config, name)


_BY_SOURCE: Final = (
    "token {0} takes its PIN from its configured source, so a lock would not last; it stays open. "
    "`signer freeze` stops signatures"
)
