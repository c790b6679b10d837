"""Drafts, notes and exports of files of cars."""
