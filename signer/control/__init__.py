"""The control process: people and their tools."""
