"""The lines of the audit log, and the chain that binds them. Pure: no I/O, no clock.

The log is JSON lines. Laws of a whole log:

* Line n has `seq` n, and its `prev` is the SHA-256 of the exact bytes of line n-1, newline included.
  The first line's `prev` is 64 zeros.
* A line is the one canonical serialisation of its fields (`serialise`): two readers cannot disagree on it.
* Each key counts its signatures. A `signed` decision carries the count after it, any other decision the
  count as it stands. A `gap` says how many signatures of each key it stands for.
* A `counters` entry repeats all counts, so that a writer that starts reads back to the last of them only.
* A log that follows a damaged one begins with the act `log-damaged` and takes over the counts in the
  `counters` entry after it.

* A `checkpoint` names a line before it, its hash, and the audit key's signature on both.
* A `repeated` stands for decisions that did not sign and were like others a moment before. It says how many.

What a chain cannot show: that its last lines were cut off at a line's end. That needs an `Anchor`.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from signer.errors import AuditError, FormatError

#: `prev` of the first line.
GENESIS: Final = "0" * 64
#: Bytes of the longest line, newline included. A reader refuses a longer one.
MAX_LINE: Final = 65536
#: Characters of one text field. Ten of them, each character escaped to 12 bytes, stay within MAX_LINE.
MAX_TEXT: Final = 400
#: Characters of a transaction's text. Each escaped to 12 bytes, they stay within MAX_LINE.
MAX_TRANSACTION: Final = 4000
#: Keys in one `counters` or `gap` line: 500 times a PUB_ key and its count stay within MAX_LINE.
MAX_KEYS_PER_LINE: Final = 500
#: Lines of one set of `counters`, and the keys they hold: the bound on a reader's memory.
MAX_PARTS: Final = 200
MAX_KEYS: Final = MAX_PARTS * MAX_KEYS_PER_LINE
#: Integers that every JSON reader holds exactly (RFC 8259 section 6).
MAX_COUNT: Final = 2**53 - 1

# The names of the fields, in the order in which a line carries them.
KIND: Final = "kind"
SEQ: Final = "seq"
AT: Final = "at"
NODE: Final = "node"
KEY: Final = "key"
ROLE: Final = "role"
DIGEST: Final = "digest"
VERDICT: Final = "verdict"
RULE: Final = "rule"
SIGNATURE: Final = "signature"
CALLER: Final = "caller"
LANE: Final = "lane"
TRIES: Final = "tries"
MICROS: Final = "micros"
KEY_COUNT: Final = "key_count"
ACT: Final = "act"
BY: Final = "by"
DETAIL: Final = "detail"
PART: Final = "part"
PARTS: Final = "parts"
COUNTERS: Final = "counters"
UNTIL: Final = "until"
LOST: Final = "lost"
SIGNED: Final = "signed"
TRANSACTION: Final = "transaction"
UPTO: Final = "upto"
HASH: Final = "hash"
SIGNER: Final = "signer"
COUNT: Final = "count"
PREV: Final = "prev"

# Administrative acts. The last four are the writer's own.
START: Final = "start"
STOP: Final = "stop"
RELOAD: Final = "reload"
UPGRADE: Final = "upgrade"
SIGNING_ENDED: Final = "signing-ended"
FREEZE: Final = "freeze"
UNFREEZE: Final = "unfreeze"
TOKEN_RETRY: Final = "token-retry"  # noqa: S105  # the name of an act
PIN_REFUSED: Final = "pin-refused"
PROBE: Final = "probe"
ALARM: Final = "alarm"
ALARM_ENDED: Final = "alarm-ended"
DISMISS: Final = "alarm-dismissed"
UNLOCK: Final = "unlock"
LOCK: Final = "lock"
SET_TIMEOUT: Final = "set-timeout"
WRONG_PIN: Final = "wrong-pin"
CREATE_KEY: Final = "create-key"
REMOVE_KEY: Final = "remove-key"
LEASE: Final = "lease"
TORN_TAIL: Final = "torn-tail"
LOG_DAMAGED: Final = "log-damaged"
LOG_MISSING: Final = "log-missing"
SYNC_FAILED: Final = "sync-failed"
ENTRIES_LOST: Final = "entries-lost"

#: Acts by which the writer tells of trouble with the log itself.
OF_THE_WRITER: Final = frozenset({TORN_TAIL, LOG_DAMAGED, LOG_MISSING, SYNC_FAILED, ENTRIES_LOST})

#: Acts that the signer writes itself, when it does them: nobody else may use these names.
RESERVED: Final = frozenset(
    {
        *(START, STOP, RELOAD, UPGRADE, SIGNING_ENDED, FREEZE, UNFREEZE, TOKEN_RETRY, PIN_REFUSED, PROBE),
        *(ALARM, ALARM_ENDED, DISMISS),
        *(UNLOCK, LOCK, SET_TIMEOUT, WRONG_PIN, CREATE_KEY, REMOVE_KEY, LEASE),
        *OF_THE_WRITER,
        LOST,
    }
)

Fields = dict[str, object]


class Kind(enum.StrEnum):
    """What a line is about."""

    DECISION = "decision"
    ACT = "act"
    COUNTERS = "counters"
    GAP = "gap"
    TRANSACTION = "transaction"
    CHECKPOINT = "checkpoint"
    REPEATED = "repeated"


class Verdict(enum.StrEnum):
    """How a request to sign ended."""

    SIGNED = "signed"
    REFUSED = "refused"
    FAILED = "failed"
    #: A signature was made after the node had stopped waiting. It was not sent and is not counted.
    LATE = "late"
    #: The digest was signed some minutes before, and the same signature was given again. It is not counted again.
    REPEATED = "repeated"


class FaultKind(enum.StrEnum):
    """What is wrong with a log at the first line that is not as it must be."""

    EDIT = "edit"
    LOSS = "loss"
    REORDER = "reorder"
    TORN = "torn"
    COUNTER = "counter"


class ChainError(AuditError):
    """A line does not follow from the lines before it. `kind` says how."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def timestamp(moment: datetime) -> str:
    """Return `moment` (with a time zone) as a line carries it: UTC, ISO 8601, microseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Decision:
    """One request to sign and its end.

    Attributes:
        at: `timestamp` of the decision.
        verdict: one of `Verdict`.
        caller: who asked: `uid 1000 pid 22` or `127.0.0.1:40000`.
        node: name of the node, None if the listener has none.
        key: the key, PUB_ form, None if the request named none.
        role: the key's role.
        digest: 64 hex digits.
        rule: the rule that refused.
        signature: SIG_ text, when signed.
        lane: the lane that signed.
        tries: signatures that the token made for this one.
        micros: microseconds from the request to the verdict.
    """

    at: str
    verdict: str
    caller: str
    node: str | None = None
    key: str | None = None
    role: str | None = None
    digest: str | None = None
    rule: str | None = None
    signature: str | None = None
    lane: str | None = None
    tries: int = 0
    micros: int = 0

    def to_fields(self) -> Fields:
        """Return the attributes as a JSON object, as `from_fields` takes it."""
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> Decision:
        """Return the decision in a JSON object from another process.

        Raises:
            FormatError: a field is unknown, missing or of the wrong form.
        """
        try:
            decision = cls(**fields)  # type: ignore[arg-type]  # admit looks at every value
        except TypeError as error:
            raise FormatError(f"audit decision: {error}") from None
        admit(decision)
        return decision


@dataclass(frozen=True, slots=True)
class Act:
    """An administrative act: `act` is its name, `by` the person or process."""

    at: str
    act: str
    by: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a transaction says that somebody wanted signed. The decisions on its digest follow.

    Attributes:
        digest: 64 hex digits.
        transaction: the decoded transaction, for people; what is longer than MAX_TRANSACTION is cut.
    """

    at: str
    digest: str
    transaction: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """That the log had a line, signed by the audit key. What is signed is in `signer.signing.checkpoint`.

    Attributes:
        at: `timestamp` of the signature.
        upto: number of the line.
        hash: SHA-256 of its bytes, hex.
        signer: which signer this is, by the configuration.
        key: the audit key, PUB_ form.
        signature: SIG_ text.
    """

    at: str
    upto: int
    hash: str
    signer: str
    key: str
    signature: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """Decisions that did not sign and have no lines of their own, because others like them have.

    Attributes:
        at: `timestamp` of the first.
        until: `timestamp` of the last.
        count: how many.
        verdict: of all of them; None: of several kinds.
        rule: as `verdict`.
        node: as `verdict`.
        key: as `verdict`.
        caller: where they came from, without port or process; as `verdict`.
    """

    at: str
    until: str
    count: int
    verdict: str | None
    rule: str | None
    node: str | None
    key: str | None
    caller: str | None


@dataclass(slots=True)
class Gap:
    """Entries that could not be kept: how many, from when to when, and the signatures per key among them."""

    at: str
    until: str
    lost: int = 0
    signed: dict[str, int] = field(default_factory=dict)

    def has_room_for(self, entry: Entry) -> bool:
        """Tell whether `entry` can be counted here without the line growing too long."""
        key = _signed_key(entry)
        return key is None or key in self.signed or len(self.signed) < MAX_KEYS_PER_LINE

    def count(self, entry: Entry) -> None:
        """Count one more lost entry."""
        self.lost += 1
        self.until = entry.at
        if (key := _signed_key(entry)) is not None:
            self.signed[key] = self.signed.get(key, 0) + 1


Entry = Decision | Act | Transaction | Checkpoint | Repeated


@dataclass(frozen=True, slots=True)
class Anchor:
    """A line that is known to have been in the log: its number and the SHA-256 of its bytes, hex.

    Kept where those who can write the log cannot write. `seq` 0 with 64 zeros anchors an empty log.
    """

    seq: int
    hash: str

    def to_json(self) -> str:
        """Return the text of an anchor file."""
        return json.dumps({"seq": self.seq, "hash": self.hash}) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Anchor:
        """Return the anchor in the text of an anchor file.

        Raises:
            FormatError: it is no anchor.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict) or set(value) != {"seq", "hash"}:
            raise FormatError('not an anchor: expected {"seq": N, "hash": "64 hex digits"}')
        seq, digest = value["seq"], value["hash"]
        if not (_is_count(seq) and _is_digest(digest)) or ((seq == 0) != (digest == GENESIS)):
            raise FormatError("not an anchor: seq is a count of lines, hash 64 lower-case hex digits")
        return cls(seq, digest)


def _signed_key(entry: Entry) -> str | None:
    return entry.key if isinstance(entry, Decision) and entry.verdict == Verdict.SIGNED else None


_DIGEST = re.compile(r"[0-9a-f]{64}")
#: Wide enough for every PUB_ form, narrow enough for MAX_KEYS_PER_LINE.
_KEY = re.compile(r"[0-9A-Za-z_]{1,80}")
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)

#: Stands for the time of an entry that had none.
_NO_TIME: Final = "1970-01-01T00:00:00.000000Z"

_Check = Callable[[object], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_transaction(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TRANSACTION


def _is_name(value: object) -> bool:
    return _is_text(value) and value != ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_key(value: object) -> bool:
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def _is_at(value: object) -> bool:
    return isinstance(value, str) and _AT.fullmatch(value) is not None


def _is_verdict(value: object) -> bool:
    return isinstance(value, str) and value in tuple(Verdict)


def _are_counts(value: object) -> bool:
    if not isinstance(value, dict) or len(value) > MAX_KEYS_PER_LINE:
        return False
    return all(_is_key(key) and _is_count(count) for key, count in value.items())


def _or_null(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _schema(body: dict[str, _Check]) -> dict[str, _Check]:
    return {KIND: _is_name, SEQ: _is_count, AT: _is_at, **body, PREV: _is_digest}


#: The fields of each kind, in order, with the form of each.
_SCHEMAS: Final[dict[str, dict[str, _Check]]] = {
    Kind.DECISION.value: _schema(
        {
            NODE: _or_null(_is_text),
            KEY: _or_null(_is_key),
            ROLE: _or_null(_is_text),
            DIGEST: _or_null(_is_digest),
            VERDICT: _is_verdict,
            RULE: _or_null(_is_text),
            SIGNATURE: _or_null(_is_text),
            CALLER: _is_text,
            LANE: _or_null(_is_text),
            TRIES: _is_count,
            MICROS: _is_count,
            KEY_COUNT: _or_null(_is_count),
        },
    ),
    Kind.ACT.value: _schema({ACT: _is_name, BY: _is_text, DETAIL: _or_null(_is_text)}),
    Kind.COUNTERS.value: _schema({PART: _is_count, PARTS: _is_count, COUNTERS: _are_counts}),
    Kind.GAP.value: _schema({UNTIL: _is_at, LOST: _is_count, SIGNED: _are_counts}),
    Kind.CHECKPOINT.value: _schema(
        {
            UPTO: _is_count,
            HASH: _is_digest,
            SIGNER: _is_name,
            KEY: _is_key,
            SIGNATURE: _is_name,
        },
    ),
    Kind.REPEATED.value: _schema(
        {
            UNTIL: _is_at,
            COUNT: _is_count,
            VERDICT: _or_null(_is_verdict),
            RULE: _or_null(_is_text),
            NODE: _or_null(_is_text),
            KEY: _or_null(_is_key),
            CALLER: _or_null(_is_text),
        },
    ),
    Kind.TRANSACTION.value: _schema({DIGEST: _is_digest, TRANSACTION: _is_transaction}),
}


_KINDS: Final = {
    Decision: Kind.DECISION,
    Act: Kind.ACT,
    Gap: Kind.GAP,
    Transaction: Kind.TRANSACTION,
    Checkpoint: Kind.CHECKPOINT,
    Repeated: Kind.REPEATED,
}


def admit(entry: Entry) -> Entry:
    """Return `entry` as a line can carry it: an act's detail is cut to MAX_TEXT, a transaction to MAX_TRANSACTION.

    Raises:
        FormatError: a field has the wrong form. The message names it, never its value.
    """
    if isinstance(entry, Act) and entry.detail is not None and len(entry.detail) > MAX_TEXT:
        entry = replace(entry, detail=entry.detail[: MAX_TEXT - 3] + "...")
    if isinstance(entry, Transaction) and len(entry.transaction) > MAX_TRANSACTION:
        entry = replace(entry, transaction=entry.transaction[: MAX_TRANSACTION - 3] + "...")
    kind = _KINDS[type(entry)]
    schema = _SCHEMAS[kind]
    for name, value in asdict(entry).items():
        if not schema[name](value):
            raise FormatError(f"audit {kind}: field {name} has the wrong form")
    if (
        isinstance(entry, Decision)
        and entry.verdict == Verdict.SIGNED
        and None in (entry.key, entry.signature)
    ):
        raise FormatError("audit decision: a signed one needs key and signature")
    return entry


def nameless(entry: Entry) -> Entry:
    """Return what a `gap` can count of an entry that `admit` refused: time and signed key, if they hold."""
    at = entry.at if _is_at(entry.at) else _NO_TIME
    key = _signed_key(entry)
    if key is not None and _is_key(key):
        return Decision(at, Verdict.SIGNED, "", key=key)
    return Act(at, LOST, "")


def serialise(fields: Fields) -> bytes:
    """Return the line of `fields`: compact JSON in ASCII in the order given, and a newline."""
    text = json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=False)
    return text.encode("ascii") + b"\n"


def parse(line: bytes) -> Fields:
    """Return the fields of one line, newline included.

    Raises:
        ChainError: it is no line that `serialise` could have made. The kind is EDIT.
    """
    if len(line) > MAX_LINE:
        raise ChainError(FaultKind.EDIT, f"longer than {MAX_LINE} bytes")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise ChainError(FaultKind.EDIT, "not JSON") from None
    if not isinstance(fields, dict):
        raise ChainError(FaultKind.EDIT, "not a JSON object")
    kind = fields.get(KIND)
    schema = _SCHEMAS.get(kind) if isinstance(kind, str) else None
    if schema is None:
        raise ChainError(FaultKind.EDIT, "unknown kind")
    if list(fields) != list(schema):
        raise ChainError(FaultKind.EDIT, f"not the fields of kind {kind} in their order")
    for name, check in schema.items():
        if not check(fields[name]):
            raise ChainError(FaultKind.EDIT, f"field {name} has the wrong form")
    if serialise(fields) != line:
        raise ChainError(FaultKind.EDIT, "not in canonical form")
    return fields


def line_hash(line: bytes) -> str:
    """Return the SHA-256 of the exact bytes of a line, hex."""
    return hashlib.sha256(line).hexdigest()


class Chain:
    """The state after a number of lines; it seals new lines and accepts existing ones by the same rules.

    Attributes:
        seq: lines so far.
        head: hash of the last line, hex.
        counters: signatures per key, PUB_ form.
        adopting: the next `counters` entry is taken over instead of compared.
    """

    def __init__(self, seq: int = 0, head: str = GENESIS, *, adopting: bool = False) -> None:
        self.seq = seq
        self.head = head
        self.counters: dict[str, int] = {}
        self.adopting = adopting
        self._parts: dict[str, int] = {}
        self._part = 0

    def copy(self) -> Chain:
        """Return an independent copy."""
        twin = Chain(self.seq, self.head, adopting=self.adopting)
        twin.counters = dict(self.counters)
        twin._parts, twin._part = dict(self._parts), self._part
        return twin

    def seal(self, entry: Entry | Gap) -> bytes:
        """Return the line of `entry` as the next of the log, and count it."""
        body: Fields = asdict(entry)
        if isinstance(entry, Decision):
            body[KIND] = Kind.DECISION.value
            count = None if entry.key is None else self.counters.get(entry.key, 0)
            body[KEY_COUNT] = count + 1 if count is not None and entry.verdict == Verdict.SIGNED else count
        else:
            body[KIND] = _KINDS[type(entry)].value
        return self._seal(body)

    def seal_counters(self, at: str) -> list[bytes]:
        """Return the lines that repeat all counts. `at` is a `timestamp`."""
        items = sorted(self.counters.items())
        step = MAX_KEYS_PER_LINE
        groups = [dict(items[start : start + step]) for start in range(0, len(items), step)] or [{}]
        return [
            self._seal(
                {KIND: Kind.COUNTERS.value, AT: at, PART: part, PARTS: len(groups), COUNTERS: group},
            )
            for part, group in enumerate(groups, 1)
        ]

    def _seal(self, body: Fields) -> bytes:
        body[SEQ], body[PREV] = self.seq + 1, self.head
        fields = {name: body[name] for name in _SCHEMAS[str(body[KIND])]}
        line = serialise(fields)
        self._apply(fields)
        self._advance(line)
        return line

    def accept(self, line: bytes) -> Fields:
        """Take an existing line as the next one and return its fields.

        Raises:
            ChainError: it does not follow; the chain is then of no further use.
        """
        fields = parse(line)
        self._check_link(fields)
        self._apply(fields)
        self._advance(line)
        return fields

    def _advance(self, line: bytes) -> None:
        self.seq += 1
        self.head = line_hash(line)

    def _check_link(self, fields: Fields) -> None:
        seq, expected = _int(fields[SEQ]), self.seq + 1
        linked = fields[PREV] == self.head
        if seq == expected and linked:
            return
        if linked or seq == expected:
            raise ChainError(FaultKind.EDIT, "this line or the one before it was changed")
        if seq > expected:
            raise ChainError(FaultKind.LOSS, f"line {seq} stands where {expected} must be: lines are missing")
        raise ChainError(FaultKind.REORDER, f"line {seq} stands where {expected} must be: doubled or moved")

    def _apply(self, fields: Fields) -> None:
        kind = fields[KIND]
        if kind == Kind.CHECKPOINT and _int(fields[UPTO]) > self.seq:
            raise ChainError(FaultKind.EDIT, "a checkpoint of a line that is not there")
        if kind == Kind.COUNTERS:
            self._apply_counters(fields)
            return
        self._part = 0
        self.adopting = kind == Kind.ACT and fields[ACT] == LOG_DAMAGED and self.seq == 0
        if kind == Kind.DECISION:
            self._apply_decision(fields)
        elif kind == Kind.GAP:
            for key, count in _counts(fields[SIGNED]).items():
                self.counters[key] = self.counters.get(key, 0) + count

    def _apply_decision(self, fields: Fields) -> None:
        key, count, signed = fields[KEY], fields[KEY_COUNT], fields[VERDICT] == Verdict.SIGNED
        if not isinstance(key, str):
            if signed or count is not None:
                raise ChainError(FaultKind.COUNTER, "a count without a key")
            return
        expected = self.counters.get(key, 0) + signed
        if count != expected:
            raise ChainError(FaultKind.COUNTER, f"count of {key} is {count} where {expected} must be")
        if signed:
            self.counters[key] = expected

    def _apply_counters(self, fields: Fields) -> None:
        part, parts = _int(fields[PART]), _int(fields[PARTS])
        if part == 1:
            self._part, self._parts = 0, {}
        if part != self._part + 1 or not part <= parts <= MAX_PARTS:
            raise ChainError(FaultKind.COUNTER, "the parts of the counters are not in order")
        self._part = part
        self._parts.update(_counts(fields[COUNTERS]))
        if part < parts:
            return
        if self.adopting:
            self.counters, self.adopting = self._parts, False
        elif self._parts != self.counters:
            raise ChainError(FaultKind.COUNTER, "the counters are not those of the lines before")
        self._part, self._parts = 0, {}


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise ChainError(FaultKind.EDIT, "not a number")
    return value


def _counts(value: object) -> dict[str, int]:
    return value if isinstance(value, dict) else {}
