"""Who asks: users and passwords, sessions and tokens, API keys, what was revoked, and the record of all of it.

``service.open_auth`` opens it; ``Auth.authenticator`` is what the pipeline asks at every request.
"""
