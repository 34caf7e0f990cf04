// An agent that uses the official `openai` SDK for Node as its users do; it knows nothing of
// Remora. Reads a list of calls from stdin and prints what the SDK made of each.

const { readFileSync } = require("node:fs");
const OpenAI = require("openai");

const client = new OpenAI({ maxRetries: 0 });

async function chat(asked) {
  const answer = await client.chat.completions.create(asked);
  if (!asked.stream) return [answer.choices[0].message.content, figures(answer.usage)];
  let text = "";
  let usage = null;
  for await (const chunk of answer) {
    for (const choice of chunk.choices) text += choice.delta.content ?? "";
    if (chunk.usage) usage = figures(chunk.usage);
  }
  return [text, usage];
}

async function responses(asked) {
  const answer = await client.responses.create(asked);
  if (!asked.stream) return [answer.output_text, used(answer.usage)];
  let text = "";
  let usage = null;
  for await (const event of answer) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") usage = used(event.response.usage);
  }
  return [text, usage];
}

const figures = (usage) => [usage.prompt_tokens, usage.completion_tokens];
const used = (usage) => [usage.input_tokens, usage.output_tokens];

const CALLS = { chat, responses };

(async () => {
  const told = [];
  for (const [call, asked] of JSON.parse(readFileSync(0, "utf8"))) {
    told.push(await CALLS[call](asked));
  }
  console.log(JSON.stringify(told));
})();
