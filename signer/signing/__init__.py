"""The signing process: it answers nodeos and does nothing else."""
