"""PostgreSQL: embedded server, migrations, repositories."""
