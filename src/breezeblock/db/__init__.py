"""The database: tables, connections, and one module of queries for each noun."""
