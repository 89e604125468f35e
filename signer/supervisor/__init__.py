"""The supervisor: owns sockets and PINs; starts, replaces and stops the other processes."""
