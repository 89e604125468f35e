"""A real chain on this machine: nodeos, cleos and keosd as processes that end with the program that started them.

The demo shows the signer on it, and the tests test the signer on it.
"""
