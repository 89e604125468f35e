"""Remote signer for Antelope block producers: keys stay in PKCS#11 tokens, nodeos asks over keosd's protocol."""

__version__ = "0.1.0"
