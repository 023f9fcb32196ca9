"""What is done: items, revisions, observations, and the books they belong to."""
