"""The cause rules, as data."""
