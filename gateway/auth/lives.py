"""How long an access token lives, and by how much the clocks of gateways may differ; seconds."""

LIFE_S = 900
LEEWAY_S = 5
