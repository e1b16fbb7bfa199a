"""Print the environment that points a client at the cloud."""

import shlex
from pathlib import Path

import click

from services import settings
from services.cli.options import state_dir_option
from services.cloud import admin_password


@click.command()
@click.option("--v2", is_flag=True, help="For clients of 2014: the Identity v2.0 API.")
@state_dir_option
def env(state_dir: Path | None, v2: bool) -> None:  # noqa: FBT001
    """Print shell exports for the cloud's admin.

    \b
    Example:
      eval "$(novaflow env)" && openstack server list
    """
    config = settings.running_config(state_dir or settings.default_state_dir())
    common = {
        "OS_USERNAME": config.identity.admin_user,
        "OS_PASSWORD": admin_password(config),
        "OS_REGION_NAME": config.identity.region,
    }
    if v2:
        exports = {
            "OS_AUTH_URL": f"{config.identity_url}/v2.0",
            "OS_TENANT_NAME": config.identity.admin_project,
            "OS_IDENTITY_API_VERSION": "2.0",
            **common,
        }
    else:
        exports = {
            "OS_AUTH_URL": f"{config.identity_url}/v3",
            "OS_PROJECT_NAME": config.identity.admin_project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
            **common,
        }
    for name, value in exports.items():
        click.echo(f"export {name}={shlex.quote(value)}")
