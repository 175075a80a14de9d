// One client of `cargo xtask clients`: node client.mjs KIND METHOD URL
// Asks every 100 ms and says on a line of its own which version answered, or what went wrong.
import http from "node:http";

const [kind, method, url] = process.argv.slice(2);
const body = method === "POST" ? "{}" : undefined;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const classic = () =>
  new Promise((resolve, reject) => {
    const asked = http.request(url, { method, agent, timeout: 5000 }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.headers["x-app-version"]));
      answer.on("error", reject);
    });
    asked.on("error", reject);
    asked.end(body);
  });

const fetched = async () => {
  const answer = await fetch(url, { method, body, signal: AbortSignal.timeout(5000) });
  await answer.arrayBuffer();
  return answer.headers.get("x-app-version");
};

if (method === "version") {
  console.log(`Node ${process.version}${kind === "fetch" ? `, undici ${process.versions.undici}` : ""}`);
  process.exit(0);
}
const ask = kind === "fetch" ? fetched : classic;
for (;;) {
  try {
    console.log(await ask());
  } catch (error) {
    console.log("error", error.code ?? "", error.message, error.cause?.message ?? "");
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
}
