// The same by `fetch`.
const hosts = globalThis.Deno ? Deno.args : process.argv.slice(2);
for (const host of hosts) {
  let said = "ok";
  try {
    await (await fetch(`https://${host}/`)).arrayBuffer();
  } catch (error) {
    said = `${error.code ?? ""} ${error.message} ${error.cause?.code ?? ""} ${error.cause ?? ""}`;
  }
  console.log(`${host}: ${said.replaceAll("\n", " ")}`);
}
