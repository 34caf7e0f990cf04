"""The clients of this process, for those who name neither key nor sidecar."""

from remora.api_client.async_client import AsyncClient
from remora.api_client.client import Client

own_client = Client()
own_async_client = AsyncClient()
