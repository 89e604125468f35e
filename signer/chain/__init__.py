"""What the chain says, asked over the HTTP API of several nodes."""
