"""An API instance, from start to stop."""

from __future__ import annotations

import socket

from dynwork import logs
from dynwork.api import app as application
from dynwork.serving import Stop, serve, url_of
from dynwork.settings import ApiSettings

log = logs.get("dynwork.api")


async def run(settings: ApiSettings, outside: application.Outside, listener: socket.socket, stop: Stop) -> None:
    """Serve on ``listener`` until ``stop``. Requests in flight are answered, what they submitted is delivered."""
    api = application.build(settings, outside)
    log.info("api_listening", url=url_of(listener), keys=len(settings.api_keys))

    async def release() -> None:
        await stop.wait()
        api.stop()

    await serve(api.app, listener, stop, [*api.background, release])
    log.info("api_stopped")
