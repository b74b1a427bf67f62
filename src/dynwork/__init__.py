"""dynwork: CPU-heavy work over HTTP, on machines that come and go by themselves."""

from importlib.metadata import version

__version__ = version("dynwork")
