"""Words that people build passwords from, in small letters; written for Sluice from what such lists have in common."""

from __future__ import annotations

_WORDS = """
password passwort passwd passphrase qwerty qwertz azerty letmein welcome admin administrator root superuser user
username login guest master monkey dragon football baseball basketball hockey soccer iloveyou loveyou sunshine
princess shadow superman batman spiderman starwars trustno1 whatever freedom michael jordan jennifer jessica ashley
daniel charlie thomas andrew joshua hunter killer summer winter spring autumn flower cookie chocolate banana computer
internet google facebook samsung iphone windows changeme default secret test testing access hello abc123 iloveu
mustang corvette ferrari porsche mercedes liverpool chelsea arsenal barcelona bitcoin ethereum satoshi crypto hodl
moon lambo blockchain binance coinbase ledger trader trading money dollar million zaq1zaq1 qazwsx zxcvbn zxcvbnm
asdfgh asdfghjkl qwertyuiop poiuytrewq mnbvcxz qwert asdf zxcv 1q2w3e 1qaz2wsx qweasd monday tuesday wednesday
thursday friday saturday sunday january february march april june july august september october november december
"""

WORDS = frozenset(_WORDS.split())
"""Three letters at least."""
