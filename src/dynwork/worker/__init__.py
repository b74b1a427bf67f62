"""The worker: takes chains, advances them, reports."""
