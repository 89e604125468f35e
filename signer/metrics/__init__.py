"""The signer for Prometheus."""
