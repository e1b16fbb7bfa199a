"""Everything the identity service keeps, in one place."""

from novaflow.db.database import Database
from novaflow.db.identity_catalogue import Endpoints, Regions, Services
from novaflow.db.identity_domains import Domains, Projects
from novaflow.db.identity_ec2 import Ec2Credentials
from novaflow.db.identity_logins import Logins
from novaflow.db.identity_rights import RightsCache
from novaflow.db.identity_roles import Grants, Roles
from novaflow.db.identity_tokens import Tokens
from novaflow.db.identity_users import Groups, Users


class Identity:
    """The records of the identity service, by noun."""

    def __init__(self, db: Database) -> None:
        self.domains = Domains(db)
        self.projects = Projects(db, self.domains)
        self.users = Users(db, self.domains)
        self.groups = Groups(db, self.domains, self.users)
        self.roles = Roles(db)
        self.grants = Grants(db, self.domains, self.projects, self.users, self.groups, self.roles)
        self.regions = Regions(db)
        self.services = Services(db)
        self.endpoints = Endpoints(db, self.services, self.regions)
        self.tokens = Tokens(db)
        self.ec2_credentials = Ec2Credentials(db, self.users, self.projects)
        self.logins = Logins(db)
        self.rights = RightsCache(db)
