"""Settings: one frozen model per role, read from ``DYNWORK_*`` environment variables and nowhere else.

Each field states its unit and its bounds; a value out of bounds refuses to start with one clear sentence. Secrets are
``SecretStr``: they do not appear in logs, errors or ``repr``.
"""

from dynwork.settings.api import ApiSettings
from dynwork.settings.base import CommonSettings, child_environment, cores, load
from dynwork.settings.client import ClientSettings
from dynwork.settings.orchestrator import OrchestratorSettings, StoreSettings
from dynwork.settings.worker import WorkerSettings

__all__ = [
    "ApiSettings",
    "ClientSettings",
    "CommonSettings",
    "OrchestratorSettings",
    "StoreSettings",
    "WorkerSettings",
    "child_environment",
    "cores",
    "load",
]
