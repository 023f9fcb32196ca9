"""One file per provider, found by its name: dropping a module in here is all it takes to add one."""
