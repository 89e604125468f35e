"""The speed of sign_digest beside real keosd. Run it by `tests/bench/run`; see `tests/bench/run --help`."""
