"""Checks of single files of the audit log."""
