"""What the Python clients share: where to connect, and how they say what they saw.

A client prints one JSON object, step to result. The Rust side runs it against PostgreSQL itself and through the
gateway, and compares the two.
"""

import datetime
import decimal
import hashlib
import json
import os

HOST = os.environ["LIVE_HOST"]
PORT = int(os.environ["LIVE_PORT"])
DATABASE = os.environ["LIVE_DATABASE"]
USER = os.environ["LIVE_USER"]
PASSWORD = os.environ["LIVE_PASSWORD"]
CA = os.environ["LIVE_CA"]
TABLE = os.environ["LIVE_TABLE"]

LARGE = (
    "select e.entry_id, e.amount_cents, e.note, e.booked_at, o.entry_id as other from public.ledger_entries e "
    "join public.ledger_entries o on o.customer_id = e.customer_id where e.entry_id <= 5000 order by 1, 5"
)


def plain(value):
    """A value as JSON can hold it, the same on both ways."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


class Digest:
    """A large result in few words."""

    def __init__(self):
        self.rows = 0
        self.hash = hashlib.sha256()

    def add(self, row):
        self.rows += 1
        self.hash.update(json.dumps(plain(row)).encode())

    def done(self):
        return {"rows": self.rows, "sha256": self.hash.hexdigest()}


def say(results):
    print(json.dumps(results, sort_keys=True))
