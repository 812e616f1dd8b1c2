"""The embedded checkpoint: a pocket-size AudioLDM 2 trained from scratch on synthesised sound."""
