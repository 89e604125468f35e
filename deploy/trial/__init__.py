"""A trial: one folder with tokens, keys, a config and a running signer. Made by deploy/quickstart."""
