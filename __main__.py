"""The Pulumi program: settings → resources → outputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

from fleet import config, outputs, resources
from fleet.errors import FleetError


async def main() -> Mapping[str, Any]:
    try:
        settings = config.load(Path(__file__).parent)
        made = await resources.deploy(settings)
    except FleetError as error:
        raise pulumi.RunError(str(error)) from error
    return outputs.describe(settings, made)


pulumi.run(main)
