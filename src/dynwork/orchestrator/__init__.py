"""The orchestrator: queues, leases, results, the fleet."""
