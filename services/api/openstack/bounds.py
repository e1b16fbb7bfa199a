"""How large the values of this API may be, so that the database can hold them."""

from typing import Final

LARGEST: Final = 0x7FFFFFFF  # of any number (nova/db/constants.py, MAX_INT)
LONGEST_ID: Final = 64  # of a user or a project
