"""Asks through langchain-kalibr, and reports what became of it."""

import json

from langchain_kalibr import ChatKalibr

model = ChatKalibr(goal="chained", paths=["gpt-4o", "gpt-4o-mini"], success_when=lambda _: True)
answer = model.invoke("Say something about herons, please.")
print(json.dumps({"text": answer.content, "trace_id": model._router._last_trace_id}))
