"""Backups of the ledger's database: made, checked, restored, proved.

A backup is a folder of two dumps in PostgreSQL's custom format and a manifest.  Two, because nobody may read all books
and all jobs at once: row-level security is forced on the books, for the owner of the tables as well, and only the role
of auditors reads everybody's.

Both are of one moment, by an exported snapshot, and so is what the manifest says of them.
"""
