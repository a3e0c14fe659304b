"""The Pulumi program: settings → resources → outputs."""

from pathlib import Path

import pulumi

from fleet import config, outputs, resources
from fleet.errors import FleetError


async def main() -> None:
    try:
        settings = config.load(Path(__file__).parent)
        made = await resources.deploy(settings)
        for name, value in outputs.describe(settings, made).items():
            pulumi.export(name, value)
        await made.check()
    except FleetError as error:
        raise pulumi.RunError(str(error)) from error


pulumi.run(main)
