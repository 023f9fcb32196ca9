"""A stand-in for AWS on loopback: moto's server with what the provider asks for and moto lacks.

``python -m tests.infra.aws`` serves it on a free port, which is the first line it prints.
"""
