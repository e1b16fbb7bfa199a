"""What the cloud remembers: tables, repositories over them, migrations. The only package that knows SQL."""
