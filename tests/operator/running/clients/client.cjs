// Asks each host, and prints `HOST: ok` or why not. For Node, Deno and Bun.
const https = require("node:https");
const process = require("node:process");

function ask(host) {
  return new Promise((resolve) => {
    const request = https.get({ host, path: "/", timeout: 20000, agent: false }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve("ok"));
      answer.on("error", () => resolve("ok"));
    });
    request.on("error", (error) => resolve(`${error.code} ${error.message} ${error.cause ?? ""}`));
  });
}

(async () => {
  for (const host of process.argv.slice(2)) {
    console.log(`${host}: ${(await ask(host)).replaceAll("\n", " ")}`);
  }
  process.exit(0);
})();
