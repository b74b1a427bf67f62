"""The exit codes of a role, by which whoever started it knows what to do."""

FAILED = 1
"""A defect ended it."""
CONFIGURATION = 2
"""It refuses to start: a setting is wrong, an address is taken, the store is locked."""
ORPHANED = 75
"""A worker of a fleet has not heard of any orchestrator for ``DYNWORK_WORKER_ORPHAN_S``: its machine is to end.

75 is EX_TEMPFAIL of sysexits.h: nothing is wrong here."""
INTERRUPTED = 130
"""It was interrupted before it was running, as shells count it: 128 + SIGINT."""
