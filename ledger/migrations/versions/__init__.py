"""One file a change, named by its number; files already applied are never edited."""
