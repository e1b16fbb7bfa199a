"""Print the environment that points a client at the cloud."""

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from novaflow.config import Config
from services import settings
from services.cli.options import state_dir_option
from services.cloud import admin_password
from services.detached import admin, logged_in


@click.command()
@click.option("--v2", is_flag=True, help="For clients of 2014: the Identity v2.0 API.")
@click.option("--ec2", is_flag=True, help="For EC2 clients: the admin's keys, made at the first use.")
@state_dir_option
def env(state_dir: Path | None, v2: bool, ec2: bool) -> None:  # noqa: FBT001
    """Print shell exports for the cloud's admin.

    \b
    Example:
      eval "$(novaflow env)" && openstack server list
    """
    config = settings.running_config(state_dir or settings.default_state_dir())
    plain = _v2 if v2 else _v3
    exports = asyncio.run(_ec2(config)) if ec2 else plain(config)
    for name, value in exports.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _v3(config: Config) -> Mapping[str, str]:
    return {
        "OS_AUTH_URL": f"{config.identity_url}/v3",
        "OS_PROJECT_NAME": config.identity.admin_project,
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_IDENTITY_API_VERSION": "3",
        **_common(config),
    }


def _v2(config: Config) -> Mapping[str, str]:
    return {
        "OS_AUTH_URL": f"{config.identity_url}/v2.0",
        "OS_TENANT_NAME": config.identity.admin_project,
        "OS_IDENTITY_API_VERSION": "2.0",
        **_common(config),
    }


def _common(config: Config) -> Mapping[str, str]:
    return {
        "OS_USERNAME": config.identity.admin_user,
        "OS_PASSWORD": admin_password(config),
        "OS_REGION_NAME": config.identity.region,
    }


async def _ec2(config: Config) -> Mapping[str, str]:
    """By the names of euca2ools, and by those that Amazon's clients read. Raises ServiceUnavailable when the cloud does not answer."""
    async with logged_in(admin(config)) as cloud:
        keys = await cloud.ec2_keys()
    return {
        "EC2_URL": config.ec2_url,
        "EC2_ACCESS_KEY": keys.access,
        "EC2_SECRET_KEY": keys.secret,
        "AWS_ACCESS_KEY_ID": keys.access,
        "AWS_SECRET_ACCESS_KEY": keys.secret,
        "AWS_DEFAULT_REGION": config.identity.region,
        "AWS_ENDPOINT_URL_EC2": config.ec2_url,
    }
