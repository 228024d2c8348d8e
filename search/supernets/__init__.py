"""Supernets: networks whose sub-networks share their weights."""
