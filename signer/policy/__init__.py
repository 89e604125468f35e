"""What an account key may sign. Pure but for `abis.load` and `policies.load`, which read files."""
