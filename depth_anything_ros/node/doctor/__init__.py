"""Diagnosis of a running graph and this machine."""
