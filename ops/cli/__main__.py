"""``python -m ops.cli``: how Sluice starts its own child processes."""

from ops.cli import main

main()
