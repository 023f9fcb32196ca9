"""The road from a provider's answer to a ledger row: fetch, dedup, post."""
