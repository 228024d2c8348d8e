"""What every face of Paretune is made of: jobs and devices behind one contract, here or on a server."""

from dashboards.service.base import Service

__all__ = ["Service"]
