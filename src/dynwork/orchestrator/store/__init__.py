"""Where jobs, leases, results and the fleet are kept. :mod:`~dynwork.orchestrator.store.port` is the contract."""
