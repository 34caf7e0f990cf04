"""Workflows run by the sidecar of this program: what `remora.workflows` gives for that."""

from remora.api_client.process import own_async_client, own_client

execute = own_client.workflows.execute
stream = own_client.workflows.stream
list = own_client.workflows.list  # noqa: A001 - the published name
execute_async = own_async_client.workflows.execute
stream_async = own_async_client.workflows.stream
list_async = own_async_client.workflows.list
