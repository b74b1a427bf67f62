"""What breaks a cluster from outside, and what watches it meanwhile as its users would.

:class:`~dynwork.testing.chaos.proxy.TcpProxy` is a wire that can be cut, fall silent or lose a reply;
:class:`~dynwork.testing.chaos.replicas.Replicas` a PostgreSQL primary with a synchronous standby;
:class:`~dynwork.testing.chaos.site.Site` a whole cluster over them, of processes that nobody but the test starts;
:class:`~dynwork.testing.chaos.crowd.Crowd` its users: clients, one of which never tries twice, and readers of the feed.
"""
