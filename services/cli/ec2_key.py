"""The EC2 key pair of the cloud's admin."""

from novaflow.config import Config
from services.detached import admin, logged_in


async def admins_key(config: Config) -> tuple[str, str]:
    """The admin's first access key for the admin's project with its secret, made when there is none. Raises ServiceUnavailable."""
    credentials = admin(config)
    async with logged_in(credentials) as cloud:
        _token, facts = await cloud.issue_token()
        project_id = facts["project"]["id"]
        url = f"{credentials.auth_url}/users/{facts['user']['id']}/credentials/OS-EC2"
        found = (await cloud.ask("GET", url))["credentials"]
        pairs = [pair for pair in found if pair["tenant_id"] == project_id]
        pair = pairs[0] if pairs else (await cloud.ask("POST", url, json={"tenant_id": project_id}))["credential"]
    return pair["access"], pair["secret"]
