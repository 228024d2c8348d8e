"""Ray clusters: joining one, the devices that its nodes declare, and measuring on them.

Only modules of this package and of :mod:`search.controller` import Ray; :mod:`search.devices.cluster.settings` comes
first.
"""
