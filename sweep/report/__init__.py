"""Outcomes -> tables, page, summary, feed and the terminal. Everything here is derived from outcomes.json."""
