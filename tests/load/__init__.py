"""Load on whole gateways: `make load`."""
