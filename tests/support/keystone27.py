"""The `keystone` command of Icehouse, which prints tables, for people."""

from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.clients import output_of


@dataclass(frozen=True)
class Keystone:
    """The command with its environment. Every method raises CommandFailed."""

    bin: Path
    environ: dict[str, str]

    def of(self, user: str, password: str, tenant: str) -> "Keystone":
        """The same for somebody else."""
        other = {"OS_USERNAME": user, "OS_PASSWORD": password, "OS_TENANT_NAME": tenant}
        return replace(self, environ=self.environ | other)

    async def text(self, *words: str) -> str:
        """Run a command; gives what it printed."""
        return await output_of(self.bin / "keystone", *words, environ=self.environ)

    async def rows(self, *words: str) -> list[dict[str, str]]:
        """The same, with each row of the table by the names of its columns."""
        printed = (await self.text(*words)).splitlines()
        table = [[cell.strip() for cell in line[1:-1].split("|")] for line in printed if line.startswith("|")]
        return [dict(zip(table[0], row, strict=True)) for row in table[1:]]

    async def facts(self, *words: str) -> dict[str, str]:
        """The same, of a table that tells one thing: its values by the names of its properties."""
        return {row["Property"]: row["Value"] for row in await self.rows(*words)}
