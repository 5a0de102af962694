"""The SQL database that holds source and ledger, and the MongoDB that holds the detailed log."""
