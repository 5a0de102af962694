"""The ledger's history, oldest first. Forward only; a released migration is never changed."""
