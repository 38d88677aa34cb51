"""Annotations, their history and the label schema, on SQLite or PostgreSQL with PostGIS."""
