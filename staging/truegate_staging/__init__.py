"""Brings the reference staging environment up and down; nothing outside `staging/` depends on it."""
