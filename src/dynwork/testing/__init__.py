"""Shipped test doubles: fake clock, in-process parts, contract suites. Production never imports this."""
