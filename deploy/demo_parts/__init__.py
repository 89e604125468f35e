"""What deploy/demo is made of: a chain, a producer of ours with this signer, and ways to break it.

The ways to break it are here and nowhere else: no part of the signer has such a route.
"""
