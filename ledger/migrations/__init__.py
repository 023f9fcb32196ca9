"""Changes of the schema, applied by ``ledger.migrate``."""
