"""Outcomes -> tables: CSV, JSON, Markdown and the terminal. Everything here is derived from outcomes.json."""
