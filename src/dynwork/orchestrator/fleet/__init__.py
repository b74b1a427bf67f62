"""Machines that come and go: the provider port, the autoscaler, reconciliation."""
