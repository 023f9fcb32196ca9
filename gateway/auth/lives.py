"""How long an access token lives, and by how much the clocks of gateways may differ, in seconds; how many sessions a
user may have.  No more than numbers: what reads the settings needs nothing else of who asks."""

LIFE_S = 900
LEEWAY_S = 5
SESSIONS_MAX = 50
