"""What the EC2 API keeps beside the cloud's own records: short ids, client tokens, signatures that were used, tags.

A number is given once and stands for its thing for ever, also when the thing is gone: `i-0000002a` is never somebody else's.
"""

from typing import Final

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, UniqueConstraint

from novaflow.db.schema.metadata import Key, Name, UtcDateTime, table

ec2_ids: Final = table(
    "ec2_ids",
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("kind", Key, nullable=False),  # instance, image, volume ...
    Column("resource_id", Key, nullable=False),  # as the cloud knows it
    UniqueConstraint("kind", "resource_id"),
)

ec2_client_tokens: Final = table(
    "ec2_client_tokens",
    Column("project_id", Key, nullable=False),
    Column("token", Key, nullable=False),
    Column("digest", Key, nullable=False),  # of all that was asked with it
    Column("reservation_id", Key, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("project_id", "token"),
    Index(None, "reservation_id"),
)

ec2_signatures: Final = table(
    "ec2_signatures",
    Column("digest", Key, primary_key=True),
    Column("until", UtcDateTime, nullable=False),  # it is refused by its date from then on
    Index(None, "until"),
)

ec2_tags: Final = table(
    "ec2_tags",
    Column("project_id", Key, nullable=False),
    Column("resource", Key, nullable=False),  # as EC2 writes it: vol-0000002a
    Column("key", Name, nullable=False),
    Column("value", Name, nullable=False),
    PrimaryKeyConstraint("project_id", "resource", "key"),
)
