"""The edge of the doctor: what asks processes, files, sockets and nodes. Nothing here judges."""
