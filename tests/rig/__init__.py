"""The real world for tests: nodeos, cleos, keosd, SoftHSM and the signer itself, as processes."""
