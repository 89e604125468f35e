"""The exceptions of the signer, drawn as a tree.

SignerError                  never raised itself
├── FormatError              text or bytes from outside do not have the form they claim
├── ConfigError              the configuration file: file, key, what is wrong, what would be right
├── RefusedError             a request that a rule forbids; names the rule
├── SigningError             a signature could not be made or did not verify
├── AdminError               the admin socket is absent, silent or says no
└── AuditError               the audit log cannot be written or does not verify

No HTTP and no PKCS#11 here: the border that speaks a protocol maps these to it.
"""

from __future__ import annotations


class SignerError(Exception):
    """Root of the tree. Never raised itself."""


class FormatError(SignerError):
    """Text or bytes from outside do not have the form they claim."""


class ConfigError(SignerError):
    """The configuration cannot be used. The message names file, key, fault and remedy."""


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


class AuditError(SignerError):
    """The audit log cannot be written, or does not verify."""
