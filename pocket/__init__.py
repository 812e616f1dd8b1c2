"""The embedded checkpoint: a pocket-size AudioLDM 2 trained from scratch on synthesised sound."""

import helpers  # noqa: F401  # before torch: it sets how torch's threads wait
