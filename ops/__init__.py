"""Wiring, processes, commands: the only package that reads the environment."""
