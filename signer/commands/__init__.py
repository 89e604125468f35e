"""The commands of `signer`, one file for each noun. A command takes arguments and returns an exit code."""
