"""Tasks by the clients of this process."""

from remora.api_client.process import own_async_client, own_client

cancel = own_client.tasks.cancel
create = own_client.tasks.create
get = own_client.tasks.get
list = own_client.tasks.list  # noqa: A001 - the published name
pause = own_client.tasks.pause
resume = own_client.tasks.resume
cancel_async = own_async_client.tasks.cancel
create_async = own_async_client.tasks.create
get_async = own_async_client.tasks.get
list_async = own_async_client.tasks.list
pause_async = own_async_client.tasks.pause
resume_async = own_async_client.tasks.resume
