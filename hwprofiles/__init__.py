"""Profiles of devices, precisions, and the errors and digests that all packages share."""

from hwprofiles.digest import digest_of, digest_of_file
from hwprofiles.precision import Precision
from hwprofiles.profile import Profile
from hwprofiles.registry import DEVICES, find_device

__all__ = ["DEVICES", "Precision", "Profile", "digest_of", "digest_of_file", "find_device"]
