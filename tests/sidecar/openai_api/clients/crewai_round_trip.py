"""A crew of one agent of CrewAI's; prints what it said as JSON."""

import json
import os

os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    "OPENAI_API_KEY": "x",
}

from crewai import LLM, Agent, Crew, Task

llm = LLM(model="openai/auto", base_url=os.environ["BASE_URL"], api_key="x")
agent = Agent(role="greeter", goal="to greet", backstory="You greet.", llm=llm, max_iter=2)
task = Task(description="Say hello.", expected_output="A greeting.", agent=agent)
crew = Crew(agents=[agent], tasks=[task], verbose=False)
print(json.dumps({"crew": str(crew.kickoff()), "called": llm.call("Say hello.")}))
