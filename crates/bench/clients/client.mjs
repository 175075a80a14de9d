// One client of `cargo xtask clients`: node client.mjs KIND METHOD URL
// Asks every 100 ms and says on a line of its own which version answered, or what went wrong.
import http from "node:http";
import http2 from "node:http2";

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

// One session for all requests; a new one when it has ended or is ending, as every library does it.
let session;
const stream = () =>
  new Promise((resolve, reject) => {
    if (!session || session.closed || session.destroyed) {
      session = http2.connect(url);
      const mine = session;
      mine.on("error", () => {});
      mine.on("goaway", () => mine.close());
    }
    const asked = session.request({ ":path": new URL(url).pathname, ":method": method });
    let version;
    asked.setTimeout(5000, () => asked.close(http2.constants.NGHTTP2_CANCEL));
    asked.on("response", (headers) => (version = headers["x-app-version"]));
    asked.on("error", reject);
    asked.resume();
    asked.on("close", () => (version ? resolve(version) : reject(new Error("stream closed without an answer"))));
    asked.end(body);
  });

if (method === "version") {
  console.log(`Node ${process.version}${kind === "fetch" ? `, undici ${process.versions.undici}` : ""}`);
  process.exit(0);
}
const ask = { fetch: fetched, http2: stream }[kind] ?? classic;
for (;;) {
  try {
    console.log(await ask());
  } catch (error) {
    console.log("error", error.code ?? "", error.message, error.cause?.message ?? "");
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
}
