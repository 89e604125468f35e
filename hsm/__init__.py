"""PKCS#11 tokens: provisioning, key objects and the lanes that sign. Imports nothing of signer."""
