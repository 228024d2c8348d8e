"""The work on one candidate: built, evaluated, measured; and the preparation before the first one."""
