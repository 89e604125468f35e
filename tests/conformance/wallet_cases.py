"""The requests of the conformance test for wallets. Each goes to real keosd and to a wallet listener of the signer.

They come in scenes: both sides are in the same state when a scene begins, and each request of a scene finds what the
ones before it left. Words in angle brackets are replaced before sending:

- `<K1>` `<R1>`: the keys in the wallet `default`, as fc prints them; `<OTHER_K1>`: a key that nobody here holds.
- `<PW>` `<PW2>`: the passwords of `default` and `other`. `<NEW>`: the key that the last create_key made.
- `<TRX>`: a transaction that policy allows, without signatures; `<TRX:x>`: it with a change, see `wallet_words`.
- `<CHAIN>`: its chain id. `<D>`: a digest. `<PORT>`: the listener's TCP port.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.cases import D

_JSON = ("Content-Type: application/json",)
#: What no wallet is called.
_LONG = "x" * 300


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        name: unique; the key of the table of differences.
    """

    name: str
    target: str
    body: str | bytes = ""
    method: str = "POST"
    host: str = ""
    headers: tuple[str, ...] = _JSON


@dataclass(frozen=True)
class Scene:
    """Requests in their order.

    Attributes:
        unlocked: the wallets that are unlocked when it begins; all others are locked.
        over: the kinds of listener that it is sent over, each time from the beginning.
    """

    name: str
    requests: tuple[Request, ...]
    unlocked: tuple[str, ...] = ("default",)
    over: tuple[str, ...] = ("tcp", "unix")


def _each(call: str, *bodies: tuple[str, str | bytes]) -> tuple[Request, ...]:
    """Requests to one wallet call, named after it."""
    return tuple(Request(f"{call}: {name}", f"/v1/wallet/{call}", body) for name, body in bodies)


def _of(call: str, body: str | bytes, name: str) -> Request:
    return Request(f"{call}: {name}", f"/v1/wallet/{call}", body)


#: Bodies that no call takes, by name.
_BAD = (
    ("no body", ""),
    ("spaces", "  \n "),
    ("empty object", "{}"),
    ("not JSON", "hello"),
    ("not UTF-8", b'"\xff\xfe"'),
    ("deeply nested", "[" * 2000 + "]" * 2000),
)
_NOT_ONE_TEXT = (*_BAD, ("array", '["default"]'), ("object", '{"name":"default"}'))
_NOT_AN_ARRAY = (*_BAD, ("string", '"default"'), ("object", '{"name":"default"}'), ("empty array", "[]"))
#: Names of wallets that are not there.
_ODD_NAMES = (
    ("unknown", '"nope"'),
    ("empty", '""'),
    ("a path", '"../default"'),
    ("space", '"a b"'),
    ("unicode", '"d\u00e9fault"'),
    ("escaped unicode", '"d\\u00e9fault"'),
    ("capitals", '"Default"'),
    ("file name", '"default.wallet"'),
    ("number", "12"),
    ("fraction", "1.5"),
    ("null", "null"),
    ("true", "true"),
    ("huge", f'"{_LONG}"'),
)
_READ = ("list_wallets", "get_public_keys")

NOTHING_CHANGES = Scene(
    "nothing changes",
    (
        # -- reading ------------------------------------------------------------------------------------------
        *(_of(call, body, name) for call in _READ for name, body in _BAD[:3]),
        *(_of(call, "[]", "empty array") for call in _READ),
        *(_of(call, '["default"]', "a body") for call in _READ),
        *(_of(call, "hello", "not JSON") for call in _READ),
        *(
            Request(f"{call}: {m}", f"/v1/wallet/{call}", method=m)
            for call in _READ
            for m in ("GET", "PUT", "HEAD")
        ),
        *(Request(f"{call}: query string", f"/v1/wallet/{call}?a=b") for call in _READ),
        *(Request(f"{call}: slash", f"/v1/wallet/{call}/") for call in _READ),
        Request("list_wallets: no content type", "/v1/wallet/list_wallets", headers=()),
        Request("apis", "/v1/node/get_supported_apis"),
        Request("apis: GET", "/v1/node/get_supported_apis", method="GET"),
        Request("apis: a body", "/v1/node/get_supported_apis", "hello"),
        Request("apis: query string", "/v1/node/get_supported_apis?a=b"),
        # -- open ---------------------------------------------------------------------------------------------
        *_each("open", ("locked one", '"other"'), ("spaces around", ' "other" \n')),
        *_each("open", *_NOT_ONE_TEXT, *_ODD_NAMES, ("bare word", "default"), ("trailing word", '"other" x')),
        # -- lock, of what is locked or not there -------------------------------------------------------------
        *_each("lock", ("locked one", '"other"')),
        *_each("lock", *_NOT_ONE_TEXT, *_ODD_NAMES, ("bare word", "default")),
        *_each("lock_all", ("empty array", "[]"), ("a body", '"default"'), ("not JSON", "hello")),
        # -- create -------------------------------------------------------------------------------------------
        *_each("create", ("existing one", '"default"')),
        *_each("create", *_NOT_ONE_TEXT, ("empty", '""'), ("a path", '"a/b"'), ("unicode", '"\u00e9"')),
        # -- unlock -------------------------------------------------------------------------------------------
        *_each(
            "unlock", ("unlocked one", '["default","<PW>"]'), ("unlocked one, array", '["default",["<PW>"]]')
        ),
        *_each("unlock", *_NOT_AN_ARRAY, ("one value", '["default"]'), ("three values", '["a","b","c"]')),
        *_each(
            "unlock",
            ("unknown wallet", '["nope","x"]'),
            ("empty texts", '["",""]'),
            ("a path", '["a/b","x"]'),
        ),
        *_each("unlock", ("numbers", "[1,2]"), ("null", '[null,"x"]'), ("array in it", '[["default"],"x"]')),
        # -- set_timeout --------------------------------------------------------------------------------------
        *_each("set_timeout", ("number", "1000000"), ("text", '"1000000"'), ("fraction", "1000000.5")),
        *_each("set_timeout", *_BAD, ("negative", "-1"), ("negative text", '"-1"'), ("array", "[900]")),
        *_each("set_timeout", ("word", '"x"'), ("empty text", '""'), ("fraction as text", '"1.5"')),
        *_each("set_timeout", ("far too long", "9223372036854775807"), ("no int64", "99999999999999999999")),
        *_each("set_timeout", ("hexadecimal", '"0x10"'), ("spaces in text", '" 900"'), ("object", '{"a":1}')),
        *_each("set_timeout", ("leading zero", "01000000"), ("exponent", "1e9"), ("again", "1000000")),
        # -- list_keys, import_key ----------------------------------------------------------------------------
        *_each("list_keys", ("locked wallet", '["other","x"]'), ("unknown wallet", '["nope","x"]')),
        *_each(
            "list_keys",
            *_NOT_AN_ARRAY,
            ("one value", '["default"]'),
            ("numbers", "[1,2]"),
            ("good", '["default","<PW>"]'),
        ),
        *_each("list_keys", ("wrong password", '["default","x"]')),
        *_each("import_key", ("locked wallet", '["other","<WIF>"]'), ("unknown wallet", '["nope","<WIF>"]')),
        *_each("import_key", *_NOT_AN_ARRAY, ("one value", '["default"]'), ("no key", '["default","x"]')),
        *_each("import_key", ("empty key", '["default",""]'), ("number", '["default",12]')),
        # -- create_key, remove_key that fail -----------------------------------------------------------------
        *_each("create_key", ("locked wallet", '["other","K1"]'), ("unknown wallet", '["nope","K1"]')),
        *_each("create_key", *_NOT_AN_ARRAY, ("one value", '["default"]'), ("three", '["default","K1","x"]')),
        *_each("create_key", ("unknown type", '["default","X1"]'), ("WebAuthn", '["default","WA"]')),
        *_each("create_key", ("number", '["default",1]'), ("array", '["default",["K1"]]')),
        *_each(
            "remove_key",
            ("locked wallet", '["other","<PW2>","<K1>"]'),
            ("unknown wallet", '["nope","x","<K1>"]'),
        ),
        *_each("remove_key", *_NOT_AN_ARRAY, ("two values", '["default","<PW>"]')),
        *_each(
            "remove_key",
            ("unknown key", '["default","<PW>","<OTHER_K1>"]'),
            ("no key", '["default","<PW>","x"]'),
        ),
        *_each("remove_key", ("number", '["default","<PW>",12]'), ("base58", '["default","<PW>","EOS0OIl"]')),
        # -- sign_transaction ---------------------------------------------------------------------------------
        *_each(
            "sign_transaction", ("K1", '[<TRX>,["<K1>"],"<CHAIN>"]'), ("R1", '[<TRX>,["<R1>"],"<CHAIN>"]')
        ),
        *_each(
            "sign_transaction",
            ("PUB_K1", '[<TRX>,["<PUB_K1>"],"<CHAIN>"]'),
            ("no keys", '[<TRX>,[],"<CHAIN>"]'),
        ),
        *_each("sign_transaction", ("both keys", '[<TRX>,["<R1>","<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("a key twice", '[<TRX>,["<K1>","<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("both spellings", '[<TRX>,["<K1>","<PUB_K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("signed before", '[<TRX:signed>,["<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("capitals in the chain id", '[<TRX>,["<K1>"],"<CHAIN:upper>"]')),
        *_each("sign_transaction", ("unknown key", '[<TRX>,["<OTHER_K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("an unknown key too", '[<TRX>,["<K1>","<OTHER_K1>"],"<CHAIN>"]')),
        *_each(
            "sign_transaction", *_NOT_AN_ARRAY, ("one value", "[<TRX>]"), ("two values", '[<TRX>,["<K1>"]]')
        ),
        *_each("sign_transaction", ("four values", '[<TRX>,["<K1>"],"<CHAIN>",1]')),
        *_each("sign_transaction", ("no hex chain id", f'[<TRX>,["<K1>"],"{"z" * 64}"]')),
        *_each(
            "sign_transaction",
            ("odd chain id", '[<TRX>,["<K1>"],"abc"]'),
            ("short chain id", '[<TRX>,["<K1>"],"00"]'),
        ),
        *_each("sign_transaction", ("keys are no array", '[<TRX>,"<K1>","<CHAIN>"]')),
        *_each("sign_transaction", ("a key is no key", '[<TRX>,["x"],"<CHAIN>"]')),
        *_each("sign_transaction", ("transaction is a text", '["x",["<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("transaction is null", '[null,["<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("transaction is empty", '[{},["<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("actions is a text", '[<TRX:actions>,["<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("another action", '[<TRX:transfer>,["<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("another field", '[<TRX:extra>,["<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("deferred", '[<TRX:delay>,["<K1>"],"<CHAIN>"]')),
        # -- sign_digest --------------------------------------------------------------------------------------
        *_each("sign_digest", ("K1", '["<D>","<K1>"]'), ("unknown key", '["<D>","<OTHER_K1>"]')),
        *_each(
            "sign_digest", ("no body", ""), ("not hex", f'["{"z" * 64}","<K1>"]'), ("bad key", '["<D>","x"]')
        ),
        *_each("sign_digest", ("digest is a number", '[12,"<K1>"]'), ("one value", '["<D>"]')),
        # -- the rest -----------------------------------------------------------------------------------------
        Request("OPTIONS", "/v1/wallet/lock_all", method="OPTIONS"),
        Request("unknown call", "/v1/wallet/nothing", '"default"'),
        Request("set_password", "/v1/wallet/set_password", '["default","x","y"]'),
        Request("capitals", "/v1/wallet/List_Wallets"),
        Request("chain API", "/v1/chain/get_info"),
        Request("root", "/", f'["{D}","<K1>"]'),
        _of("list_wallets", "", "at the end"),
        _of("get_public_keys", "", "at the end"),
    ),
)

OPENS = Scene(
    "an unlocked wallet is opened",
    (*_each("open", ("unlocked one", '"default"')), *_each("list_wallets", ("after open", ""))),
)

LOCKED = Scene(
    "all are locked",
    (
        *_each(
            "list_wallets",
            ("all locked", ""),
        ),
        *_each(
            "get_public_keys",
            ("all locked", ""),
        ),
        *_each("lock", ("all locked", '"default"')),
        *_each("lock_all", ("all locked", ""), ("all locked, object", "{}")),
        *_each("open", ("all locked", '"default"')),
        *_each("sign_digest", ("all locked", '["<D>","<K1>"]')),
        *_each("sign_transaction", ("all locked", '[<TRX>,["<K1>"],"<CHAIN>"]')),
        *_each("sign_transaction", ("all locked, no keys", '[<TRX>,[],"<CHAIN>"]')),
        *_each("create_key", ("all locked", '["default","K1"]')),
        *_each("remove_key", ("all locked", '["default","<PW>","<K1>"]')),
        *_each("import_key", ("all locked", '["default","<WIF>"]')),
        *_each("list_keys", ("all locked", '["default","<PW>"]')),
        *_each("set_timeout", ("all locked", "1000000")),
        *_each("create", ("all locked", '"default"')),
    ),
    unlocked=(),
)

LOCKS = Scene(
    "locks",
    (
        *_each("lock", ("unlocked one", '"default"'), ("again", '"default"')),
        *_each("list_wallets", ("after lock", "")),
        *_each("unlock", ("good", '["default","<PW>"]'), ("again", '["default","x"]')),
        *_each("list_wallets", ("after unlock", "")),
        *_each("get_public_keys", ("after unlock", "")),
        *_each("unlock", ("another", '["other","<PW2>"]')),
        *_each("list_wallets", ("both unlocked", "")),
        *_each("lock_all", ("both", "")),
        *_each("list_wallets", ("after lock_all", "")),
        *_each("unlock", ("after lock_all", ' [ "default" , "<PW>" ] ')),
        *_each("get_public_keys", ("after lock_all", "")),
        *_each("set_timeout", ("at once", "0")),
        *_each("list_wallets", ("after a timeout", "")),
    ),
)

PASSWORDS = Scene(
    "wrong passwords",
    (
        *_each("unlock", ("wrong password", '["default","x"]')),
        *_each("list_wallets", ("after a wrong password", "")),
        *_each("unlock", ("empty password", '["default",""]')),
        *_each("unlock", ("control character", '["default","a\\u0001b"]')),
    ),
    unlocked=(),
    over=("unix",),
)

KEYS = Scene(
    "keys come and go",
    (
        *_each("create_key", ("no type", '["default",""]')),
        *_each("get_public_keys", ("with a new one", "")),
        *_each("remove_key", ("the new one", '["default","<PW>","<NEW>"]')),
        *_each("remove_key", ("once more", '["default","<PW>","<NEW>"]')),
        *_each("create_key", ("small letters", '["default","r1"]')),
        *_each("remove_key", ("the new R1", '["default","<PW>","<NEW>"]')),
        *_each("get_public_keys", ("without new ones", "")),
        *_each("remove_key", ("wrong password", '["default","x","<K1>"]')),
    ),
    over=("unix",),
)

METHODS = Scene(
    "other methods and web pages",
    (
        *(
            Request(f"{method} {call}", f"/v1/wallet/{call}", body, method=method)
            for method in ("GET", "PUT", "DELETE")
            for call, body in (
                ("set_timeout", "1000000"),
                ("lock", '"default"'),
                ("unlock", '["default","<PW>"]'),
                ("lock_all", ""),
                ("sign_transaction", '[<TRX>,["<K1>"],"<CHAIN>"]'),
                ("open", '"default"'),
            )
        ),
        Request("page: list_wallets", "/v1/wallet/list_wallets", headers=("Origin: https://page.example",)),
        Request("page: lock_all", "/v1/wallet/lock_all", headers=("Origin: null",)),
        Request(
            "page: set_timeout",
            "/v1/wallet/set_timeout",
            "1000000",
            headers=("Content-Type: text/plain", "Sec-Fetch-Site: cross-site"),
        ),
        Request(
            "page: OPTIONS",
            "/v1/wallet/lock_all",
            method="OPTIONS",
            headers=("Origin: https://page.example",),
        ),
    ),
)

CREATES = Scene(
    "a wallet is created",
    (*_each("create", ("new one", '"fresh"')), *_each("list_wallets", ("after create", ""))),
    over=("unix",),
)

STOPS = Scene(
    "it stops",
    (
        Request("stop: query string", "/v1/keosd/stop?a=b"),
        Request("stop: slash", "/v1/keosd/stop/"),
        Request("stop", "/v1/keosd/stop"),
    ),
    over=("tcp",),
)

#: In their order: the last ones leave keosd as it cannot be made again.
SCENES = (NOTHING_CHANGES, OPENS, LOCKED, LOCKS, PASSWORDS, KEYS, METHODS, CREATES, STOPS)
