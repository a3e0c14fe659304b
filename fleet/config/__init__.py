"""What the program works from, read once and checked whole: `settings.py` on top of `files.py`.

The only place that reads files, the environment or `pulumi.Config`.
"""

from fleet.config.files import FLEET_FILE, catalog
from fleet.config.settings import (
    ALERT_ADDRESS,
    Settings,
    check,
    load,
    load_fleet,
    load_upstream,
    process_environment,
    read_files,
    read_stack_values,
    secrets_of,
    with_stack,
)

__all__ = [
    "ALERT_ADDRESS",
    "FLEET_FILE",
    "Settings",
    "catalog",
    "check",
    "load",
    "load_fleet",
    "load_upstream",
    "process_environment",
    "read_files",
    "read_stack_values",
    "secrets_of",
    "with_stack",
]
