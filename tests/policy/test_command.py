"""`signer policy test`: what it says, and its exit codes; of files that real cleos wrote, too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from policy.actions import CLAIM, KEYS, PAY, claim, policy, transaction, transfer
from rig.chain import Chain
from rig.command_line import Result
from rig.tools import Tools

from signer import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from signer.antelope.foreign import ForeignTransaction

    Run = Callable[..., Result]

KEY = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `signer policy test` on a file with `content`, with a claim key and a key without a policy."""

    def command(content: str, *options: str) -> Result:
        (tmp_path / "signer.toml").write_text(KEYS + policy(CLAIM, PAY, more="max_actions = 2"))
        (tmp_path / "tx.json").write_text(content)
        capsys.readouterr()
        config = str(tmp_path / "signer.toml")
        try:
            code = cli.main(["--config", config, "policy", "test", str(tmp_path / "tx.json"), *options])
        except SystemExit as ended:
            code = int(str(ended.code))
        return Result(code, *capsys.readouterr())

    return command


def soon(*actions: Any, **fields: Any) -> ForeignTransaction:  # noqa: ANN401 - as `transaction` takes them
    """A transaction that expires in half a minute."""
    now = datetime.now(UTC).replace(microsecond=0)
    return transaction(*actions, **({"expiration": now + timedelta(seconds=30)} | fields))


def text(made: ForeignTransaction) -> str:
    """Its JSON."""
    return json.dumps(made.to_json([]))


def test_a_claim_would_be_signed(run: Run) -> None:
    result = run(text(soon(claim())), "--key", "claimer")

    assert result.code == 0
    assert (
        'action 1: eosio::claimrewards, authorised by producer1@claim: allowed by rule "claim"' in result.out
    )
    assert "    owner = producer1" in result.out
    assert f'allowed: the policy of "claimer" ({KEY})' in result.out


def test_what_would_be_refused_is_told_action_by_action(run: Run) -> None:
    made = soon(claim(), transfer("11.0000 EOS", memo="\x1b[31m"), claim())

    result = run(text(made), "--key", KEY)

    assert result.code == 1
    assert "action 2: eosio.token::transfer, authorised by producer1@pay: refused" in result.out
    assert "    quantity = 11.0000 EOS" in result.out
    assert 'why: rule "pay": quantity is 11.0000 EOS, more than 10.0000 EOS' in result.out
    assert "action 3: eosio::claimrewards" in result.out
    assert "3 actions, and max_actions is 2" in result.out
    assert "\x1b" not in result.out


def test_a_script_gets_json(run: Run) -> None:
    result = run(text(soon(claim(), transfer("11.0000 EOS"))), "--key", "claimer", "--json")

    (decision,) = json.loads(result.out)
    assert result.code == 1
    assert (decision["allowed"], decision["rule"], decision["chain"]) == (False, "argument", "eos")
    first, second = decision["actions"]
    assert (first["allowed"], first["rule"], first["data"]) == (True, "claim", {"owner": "producer1"})
    assert (second["allowed"], second["data"]["quantity"]) == (False, "11.0000 EOS")
    assert second["reasons"]


def test_a_key_without_a_policy_signs_nothing_and_the_action_is_shown(run: Run) -> None:
    result = run(text(soon(claim())), "--key", "idle")

    assert result.code == 1
    assert "    owner = producer1" in result.out
    assert "signs nothing" in result.out


def test_a_request_names_keys_and_chain(run: Run) -> None:
    made = soon(claim()).to_json([])

    good = run(json.dumps([made, [KEY], "11" * 32]))
    other = run(json.dumps([made, [KEY], "22" * 32]))
    named = run(json.dumps([made, [KEY], "11" * 32]), "--chain", "other")

    assert good.code == 0
    assert other.code == named.code == 1
    assert "it is for the chain 2222" in other.out
    assert "it is for the chain 2222" in named.out


#: A file or options that cannot be used; words of the message.
UNUSABLE = {
    "no JSON": ("{", (), "is not JSON"),
    "no transaction": ("{}", (), "expiration is missing"),
    "another field": (json.dumps(transaction(claim()).to_json([]) | {"more": 1}), (), "'more' is no field"),
    "bad data": (text(transaction(claim())).replace('"data": "', '"data": "x'), (), "odd number"),
    "which key": (
        text(transaction(claim())),
        (),
        "2 account keys could be meant; name one with --key: claimer, idle",
    ),
    "no such key": (text(transaction(claim())), ("--key", "claimr"), 'did you mean "claimer"'),
    "no such chain": (
        text(transaction(claim())),
        ("--key", "idle", "--chain", "othr"),
        'did you mean "other"',
    ),
    "packed badly": (
        '{"packed_trx": "zz", "compression": "none", "packed_context_free_data": ""}',
        (),
        "hexadecimal",
    ),
    "compressed": (
        '{"packed_trx": "", "compression": "zlib", "packed_context_free_data": ""}',
        (),
        "compression",
    ),
    "cut off": ('{"packed_trx": "00", "compression": "none", "packed_context_free_data": ""}', (), "cut off"),
    "decoded badly": (
        json.dumps(transaction(claim()).to_json([])).replace(
            '"data": "', '"data": {"owner": 5}, "hex_data": "'
        ),
        (),
        "actions[0].data: owner: a name is wanted",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_read_is_2(run: Run, case: str) -> None:
    content, options, words = UNUSABLE[case]

    result = run(content, *options)

    assert result.code == 2
    assert words in result.err
    assert result.out == ""


def test_without_an_account_key_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in a trial, whose keys are for blocks."""
    (tmp_path / "signer.toml").write_text(KEYS.partition("[[keys]]")[0])
    (tmp_path / "tx.json").write_text(text(soon(claim())))

    code = cli.main(["--config", str(tmp_path / "signer.toml"), "policy", "test", str(tmp_path / "tx.json")])

    assert (code, "no key of role account" in capsys.readouterr().err) == (2, True)


def test_a_file_that_is_not_there_is_2(run: Run, tmp_path: Path) -> None:
    run("")  # writes the configuration

    code = cli.main(["--config", str(tmp_path / "signer.toml"), "policy", "test", str(tmp_path / "absent")])

    assert code == 2


# -- files of real cleos ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A chain with the real system contract."""
    with Chain(Tools.find(), tmp_path_factory.mktemp("p")) as running:
        yield running


@pytest.mark.chain
@pytest.mark.parametrize("form", ["", "--unpack-action-data", "--return-packed"])
def test_what_cleos_wrote_is_read(chain: Chain, run: Run, form: str) -> None:
    """`cleos ... --dont-broadcast --skip-sign --json`, with every form that it has."""

    def written(*arguments: str) -> str:
        options = ["--dont-broadcast", "--skip-sign", "--json", *([form] if form else [])]
        return chain.cleos.run("push", "action", *arguments, *options).stdout

    claimed = run(
        written("eosio", "claimrewards", '["producer1"]', "-p", "producer1@claim"), "--key", "claimer"
    )
    fields = '["producer1","bob","11.0000 EOS","é"]'
    paid = run(
        written("eosio.token", "transfer", fields, "-p", "producer1@pay"), "--key", "claimer", "--json"
    )

    assert (claimed.code, paid.code) == (0, 1), claimed.err + paid.err
    assert "allowed" in claimed.out
    (decision,) = json.loads(paid.out)
    shown = {"from": "producer1", "to": "bob", "quantity": "11.0000 EOS", "memo": "é"}
    assert decision["actions"][0]["data"] == shown


@pytest.mark.chain
def test_force_unique_is_refused_with_the_reason(chain: Chain, run: Run) -> None:
    """It adds a context free action, which nobody here reads."""
    done = chain.cleos.run(
        *("push", "action", "eosio", "claimrewards", '["producer1"]', "-p", "producer1@claim"),
        *("--force-unique", "--dont-broadcast", "--skip-sign", "--json"),
    )

    result = run(done.stdout, "--key", "claimer")

    assert result.code == 1
    assert "--force-unique" in result.out
