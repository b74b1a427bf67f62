"""``dynwork up``: a whole cluster on one machine, kept running.

The supervisor starts orchestrators and APIs as subprocesses and starts again whichever dies. Workers are the
orchestrator's: it starts, replaces and ends them (:mod:`dynwork.orchestrator.fleet.local`); here they are only shown,
and ended last but one. Every role inherits the reading end of a pipe whose other end the supervisor alone holds, so
that a supervisor that is killed takes its roles with it. Workers live through that, and are found again at the next
start.
"""
