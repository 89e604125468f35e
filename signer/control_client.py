"""Asking the control API, over the first control listener of the configuration.

The token goes into one header and nowhere else: no message, no log, no argument. Every call has a deadline, every
answer a bound. What goes wrong is one of two: nobody sensible answers, or the signer says no.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from signer import selection
from signer.errors import ConfigError, ControlRefusedError, ControlUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signer.config import Config, Listener

#: The environment variable that names the file with the access token.
TOKEN_FILE: Final = "SIGNER_TOKEN_FILE"  # noqa: S105 - a variable's name
#: The file beside the configuration that has it otherwise.
DEFAULT_TOKEN_FILE: Final = "control.token"  # noqa: S105 - a file's name
#: The environment variable that names the file with the client's certificate and its key.
CLIENT_CERTIFICATE: Final = "SIGNER_CLIENT_CERTIFICATE"
#: The file beside the configuration that has them otherwise.
DEFAULT_CLIENT_CERTIFICATE: Final = "control-client.pem"
#: A listener on this machine, or in the next rack.
_CONNECT_S: Final = 3.0
#: The signer asks several API nodes, each with a deadline of its own (chains.NAME.api_timeout_ms).
_ANSWER_S: Final = 30.0
#: A rotation with its history has 10 kB.
_MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
_MAX_TOKEN_BYTES: Final = 1024
_TOKEN = re.compile(r"sgn_[A-Za-z0-9_-]{43}", re.ASCII)
#: What to do about a problem whose own words do not say it.
_REMEDIES: Final = {
    "token": "make one on the signer's host: signer token create NAME --scope SCOPE --out FILE",
    "scope": "use the token of somebody who has it, or make one on the signer's host with `signer token create`",
    "peer": "run this as root or as the signer's user",
}


class ControlClient:
    """The control API of one signer.

    Args:
        listener: where it listens.
        token: `sgn_...`.
        answer_s: the longest wait for one answer, in s.
        certificate: a PEM file with the client's certificate and its key, where the listener asks for one.
    """

    def __init__(
        self, listener: Listener, token: str, answer_s: float = _ANSWER_S, certificate: Path | None = None
    ) -> None:
        self._address = listener.address
        self._answer_s = answer_s
        self._presents = certificate is not None
        secured = listener.tls_certificate is not None
        transport = httpx.HTTPTransport(
            verify=_trust(listener.tls_certificate, certificate)
            if listener.tls_certificate is not None
            else False,
            uds=None if listener.unix is None else os.fspath(listener.unix),
        )
        # The address is connected to; the name, where there is one, is asked for and has to be in the certificate.
        host = {"host": listener.names[0]} if listener.names else {}
        self._extensions = {"sni_hostname": listener.names[0]} if secured and listener.names else {}
        scheme = "https" if secured else "http"
        self._http = httpx.Client(
            transport=transport,
            base_url="http://localhost" if listener.tcp is None else f"{scheme}://{_reachable(listener)}",
            headers={"authorization": f"Bearer {token}", **host},
            timeout=httpx.Timeout(answer_s, connect=_CONNECT_S),
            trust_env=False,  # a proxy of the environment must not see the token
        )

    @classmethod
    def of(cls, config: Config, path: Path, token_file: str | None) -> Self:
        """Return the client of the signer that `config`, read from `path`, describes.

        Raises:
            ConfigError: it has no control listener, or there is no usable token file or client certificate.
            PermissionError: this user may not read one of these files.
        """
        listeners = selection.control_listeners(config)
        if not listeners:
            raise ConfigError(
                f'{path}: has no listener of kind "control"; add [[listeners]] with unix, or tcp = "127.0.0.1:8902"'
            )
        asked = listeners[0].tls_client_ca is not None
        certificate = find_certificate(path) if asked else None
        return cls(listeners[0], read_token(path, token_file), certificate=certificate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Return the JSON object at `path`.

        Raises:
            ControlUnreachableError: nobody sensible answered in time.
            ControlRefusedError: the signer said no.
        """
        return self._ask("GET", path, query=query)

    def post(
        self, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send `body` to `path` and return the JSON object that answers. Raises as `get`."""
        return self._ask("POST", path, body=body, headers=headers)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        request = self._http.build_request(
            method, path, params=query or None, json=body, headers=headers, extensions=self._extensions
        )
        try:
            answer = self._http.send(request, stream=True)
            try:
                status, data = answer.status_code, self._read(answer)
            finally:
                answer.close()
        except httpx.ConnectTimeout:
            raise self._unreachable(f"takes no connection within {_CONNECT_S:g} s", sent=False) from None
        except httpx.ConnectError as error:
            raise self._no_connection(error) from None
        except httpx.TimeoutException:
            raise self._unreachable(f"gave no answer within {self._answer_s:g} s", sent=True) from None
        except httpx.HTTPError as error:
            # The signer closes over a certificate that it does not take; whether it read anything, nobody can tell.
            reason = (
                "; does tls_client_ca of the listener vouch for our certificate?" if self._presents else ""
            )
            raise self._unreachable(f"broke off ({type(error).__name__}){reason}", sent=True) from None
        return self._judge(status, data)

    def _read(self, answer: httpx.Response) -> bytes:
        data = b""
        for piece in answer.iter_bytes():
            data += piece
            if len(data) > _MAX_ANSWER_BYTES:
                raise self._unreachable("answers more than any signer does", sent=True)
        return data

    def _judge(self, status: int, data: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._unreachable(f"answered {status} with something that is not a JSON object", sent=True)
        if httpx.codes.is_success(status):
            return answer
        code, detail = answer.get("code"), answer.get("detail")
        if not isinstance(code, str) or not isinstance(detail, str):
            raise self._unreachable(f"answered {status} without saying why", sent=True)
        lines = [detail]
        errors = answer.get("errors")
        if code == "invalid" and isinstance(errors, list):
            lines += [_place(each) for each in errors if isinstance(each, dict)]
        if code in _REMEDIES:
            lines.append(_REMEDIES[code])
        raise ControlRefusedError(status, code, "\n".join(lines))

    def _no_connection(self, error: httpx.ConnectError) -> ControlUnreachableError | PermissionError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                return self._unreachable(
                    f"is not whom tls_certificate names ({getattr(cause, 'verify_message', '') or cause.reason})",
                    sent=False,
                )
            if isinstance(cause, PermissionError):
                return PermissionError(
                    cause.errno,
                    "may not use the control socket; run this as root or as the signer's user",
                    self._address,
                )
            cause = cause.__cause__ or cause.__context__
        return ControlUnreachableError(
            f"nobody listens on {self._address}: the signer or its control process does not run; see `signer status`",
            sent=False,
        )

    def _unreachable(self, what: str, *, sent: bool) -> ControlUnreachableError:
        return ControlUnreachableError(
            f"what listens on {self._address} {what}; see `signer status` and the signer's log", sent=sent
        )


def read_token(config: Path, given: str | None) -> str:
    """Return the access token: of the file `given`, else of $SIGNER_TOKEN_FILE, else beside the configuration.

    Raises:
        ConfigError: there is no such file, others may read it, or it holds no token. Nothing of it is repeated.
        PermissionError: this user may not read it.
    """
    path = Path(given or os.environ.get(TOKEN_FILE) or config.parent / DEFAULT_TOKEN_FILE)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_TOKEN_BYTES + 1)
    except PermissionError:
        raise
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}: no access token; make one on the signer's host "
            f"(signer token create NAME --scope view --scope operate --out FILE) "
            f"and name it with --token-file or ${TOKEN_FILE}"
        ) from None
    if mode & stat.S_IRWXO:
        raise ConfigError(
            f"{path}: has mode {stat.S_IMODE(mode):04o}, so every user may use this token; run chmod 0600 on it, "
            "and revoke it if somebody did"
        )
    text = data.decode("ascii", "replace").strip()
    if _TOKEN.fullmatch(text) is None:
        raise ConfigError(f"{path}: holds no access token, which is one line of the form sgn_...")
    return text


def find_certificate(config: Path) -> Path:
    """Return the file with the client's certificate and key: of $SIGNER_CLIENT_CERTIFICATE, else beside `config`.

    Raises:
        ConfigError: there is no such file, or others may read it.
        PermissionError: this user may not look at it.
    """
    path = Path(os.environ.get(CLIENT_CERTIFICATE) or config.parent / DEFAULT_CLIENT_CERTIFICATE)
    try:
        mode = path.stat().st_mode
    except PermissionError:
        raise
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}: the control listener asks for a client certificate (tls_client_ca); name a PEM "
            f"file with the certificate and its key with ${CLIENT_CERTIFICATE}"
        ) from None
    if mode & stat.S_IRWXO:
        raise ConfigError(
            f"{path}: has mode {stat.S_IMODE(mode):04o}, so every user may use this key; run chmod 0600 on it"
        )
    return path


def _trust(certificate: Path, own: Path | None) -> ssl.SSLContext:
    """Return a context that trusts this listener's own certificate and no other, and presents `own`.

    Raises:
        ConfigError: a file cannot be read or has no certificate.
    """
    try:
        found = ssl.create_default_context(cafile=certificate)
    except (ssl.SSLError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{certificate}: tls_certificate of the control listener: {reason}") from None
    found.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file need not hold the root
    if own is not None:
        try:
            found.load_cert_chain(own, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = (
                getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            )
            raise ConfigError(
                f"{own}: client certificate: {reason}; it is a PEM file with the certificate and its key, without a "
                "password"
            ) from None
    return found


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    return ""


def _place(error: Mapping[str, Any]) -> str:
    at = error.get("at")
    where = ".".join(str(part) for part in at) if isinstance(at, list) else "?"
    return f"{where}: {error.get('kind', '?')}"


def _reachable(listener: Listener) -> str:
    """Return the address to connect to: a listener on every address is reached on this machine's own."""
    tcp = listener.tcp
    assert tcp is not None  # noqa: S101 - the caller looked
    if not tcp.unspecified:
        return str(tcp)
    return f"[::1]:{tcp.port}" if ":" in tcp.host else f"127.0.0.1:{tcp.port}"
