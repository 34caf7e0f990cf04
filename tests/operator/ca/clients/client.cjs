// Prints "ok" or why not for each PORT=HOST: a TLS handshake with 127.0.0.1 under that name.
// Roots come from NODE_EXTRA_CA_CERTS.
const net = require("net");
const tls = require("tls");

function shakeHands(port, host) {
  const name = net.isIP(host) ? {} : { servername: host };
  return new Promise((resolve) => {
    const socket = tls.connect({ host: "127.0.0.1", port, ...name }, () => {
      socket.destroy();
      resolve("ok");
    });
    socket.on("error", (error) => resolve(`refused: ${error.message}`.replaceAll("\n", " ")));
  });
}

(async () => {
  for (const target of process.argv.slice(2)) {
    const [port, host] = target.split("=");
    console.log(await shakeHands(Number(port), host));
  }
})();
