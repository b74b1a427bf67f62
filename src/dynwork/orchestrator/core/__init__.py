"""The rules of dynwork, pure: no await, no clock, no randomness, no I/O, no logging.

Every function takes what it needs and returns what it decided. ``tests/core/test_purity.py`` walks the syntax trees
to keep it so.
"""
