"""Antelope text and binary formats. Pure: no I/O, no clock."""
