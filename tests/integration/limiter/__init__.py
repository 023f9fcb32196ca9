"""The limiter on a real Redis, with a clock that the test moves."""
