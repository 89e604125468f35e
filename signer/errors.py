"""The exceptions of the signer, drawn as a tree.

SignerError                  never raised itself
├── FormatError              text or bytes from outside do not have the form they claim
│   └── FieldError               one field of a JSON document does not; carries what is wrong with it
├── ConfigError              the configuration file: file, key, what is wrong, what would be right
│   └── ConfigForbiddenError     this user may not read it
├── RefusedError             a request that a rule forbids; names the rule
├── SigningError             a signature could not be made or did not verify
├── AdminError               an administrative act cannot be done
│   ├── AdminUnreachableError    the admin socket is absent, or nothing sensible answers there in time
│   └── AdminRefusedError        the running signer says no; carries its code and remedy
├── ControlError             the control API cannot be used
│   ├── ControlUnreachableError  nobody sensible answers there in time
│   └── ControlRefusedError      it says no; carries its problem
├── AttestError              what a running nodeos lists cannot be told: which process, which file, why
├── RotationError            a rotation cannot be asked for, approved or ended; carries a code
├── JournalError             the journal of rotations cannot be used, or says no
│   └── JournalConflictError     a chain has a live rotation already; carries its number
├── AuditError               the audit log cannot be written or does not verify
└── ChainError               what the chain says could not be learned, or it refuses a transaction
    ├── ChainUnreachableError    no API node gave an answer in time: what it did with a request is unknown
    ├── ChainAnswerError         an API node answered with something that nodeos does not say
    └── ChainRefusedError        an API node refused a request; carries nodeos' code, name and message

No HTTP and no PKCS#11 here: the border that speaks a protocol maps these to it.
"""

from __future__ import annotations


class SignerError(Exception):
    """Root of the tree. Never raised itself."""


class FormatError(SignerError):
    """Text or bytes from outside do not have the form they claim."""


class FieldError(FormatError):
    """One field of a JSON document does not have its form.

    Attributes:
        kind: what is wrong, as keosd tells it apart: `type` (another JSON type), `number` (a text that is no number),
            `hex` (not hexadecimal), `length` (of hexadecimal digits), `name`, `time`; `form` where keosd takes it.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ConfigError(SignerError):
    """The configuration cannot be used. The message names file, key, fault and remedy."""


class ConfigForbiddenError(ConfigError):
    """This user may not read the configuration. The message names the user who may."""


class RefusedError(SignerError):
    """A rule forbids the request.

    Attributes:
        rule: the rule's stable name, as in logs and metrics.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class SigningError(SignerError):
    """A signature could not be made or did not verify."""


class AdminError(SignerError):
    """The running signer could not be reached or refused an administrative request."""


class AdminUnreachableError(AdminError):
    """Nobody answers at the admin socket.

    Attributes:
        running: whether a process listens there, which then gave no answer in time or no sensible one.
    """

    def __init__(self, message: str, *, running: bool) -> None:
        super().__init__(message)
        self.running = running


class AdminRefusedError(AdminError):
    """The running signer refused.

    Attributes:
        status: the HTTP status.
        code: the refusal's stable name.
        remedy: what to do, may be empty.
    """

    def __init__(self, status: int, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.status = status
        self.code = code
        self.remedy = remedy


class AuditError(SignerError):
    """The audit log cannot be written, or does not verify."""


class ControlError(SignerError):
    """The control API cannot be used. Never raised itself."""


class ControlUnreachableError(ControlError):
    """Nobody sensible answers at the control listener.

    Attributes:
        sent: whether the request may have arrived, and only its answer was lost.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ControlRefusedError(ControlError):
    """The control API refused.

    Attributes:
        status: the HTTP status.
        code: the problem's stable name.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class AttestError(SignerError):
    """What a running nodeos lists cannot be told. The message repeats nothing that it was told but paths."""


class RotationError(SignerError):
    """A rotation cannot be asked for, approved or ended as it is.

    Attributes:
        code: the refusal's stable name.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JournalError(SignerError):
    """The journal of rotations cannot be used, or says no. The message says what to do."""


class JournalConflictError(JournalError):
    """The chain has a live rotation already.

    Attributes:
        rotation_id: the live one's number.
    """

    def __init__(self, rotation_id: int, message: str) -> None:
        super().__init__(message)
        self.rotation_id = rotation_id


class ChainError(SignerError):
    """The chain could not be asked, or not understood, or refused. The message names the API nodes."""


class ChainUnreachableError(ChainError):
    """No API node gave an answer in time. Whether one of them performed the request is unknown."""


class ChainAnswerError(ChainError):
    """An API node answered, but not in nodeos' form. The message says where in the answer."""


class ChainRefusedError(ChainError):
    """An API node refused a request with nodeos' error envelope (Leap http_plugin.hpp:141-184).

    Attributes:
        code: nodeos' code, for example 3090003 (Leap libraries/chain/include/eosio/chain/exceptions.hpp); 0 where
            nodeos has none.
        name: the name of the exception, may be empty.
        message: what went wrong, in nodeos' words.
        api: the API node.
        status: the HTTP status.
        final: the same request will be refused again, as far as the code tells (`signer.chain.refusals`).
        words: what the code means, for a person; may be empty.
        unanswered: API nodes that were asked the same and gave no answer. One of them may have performed it.
    """

    def __init__(
        self,
        code: int,
        name: str,
        message: str,
        *,
        api: str,
        status: int,
        final: bool = False,
        words: str = "",
    ) -> None:
        meaning = f"{words}: " if words else ""
        super().__init__(f"{api} refused: {meaning}{message} ({code} {name or f'HTTP {status}'})")
        self.code = code
        self.name = name
        self.message = message
        self.api = api
        self.status = status
        self.final = final
        self.words = words
        self.unanswered: tuple[str, ...] = ()

    def __str__(self) -> str:
        silent = f"; no answer from {', '.join(self.unanswered)}" if self.unanswered else ""
        return super().__str__() + silent

    @property
    def certain(self) -> bool:
        """Whether all who were asked refused, so that nobody has performed it."""
        return not self.unanswered
