"""What serves one lesson, under its subject."""
