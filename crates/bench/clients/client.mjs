// One client of `cargo xtask clients`: node client.mjs KIND METHOD URL
// Asks every 100 ms and says on a line of its own which version answered, or what went wrong.
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";

const [kind, method, url] = process.argv.slice(2);
const body = method === "POST" ? fs.readFileSync("body") : undefined;
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

const say = (...words) => console.log(...words);

// Each opens another when one has ended, which is its own doing; an EventSource does it by itself.
const socket = () => {
  const stream = new WebSocket(`${url.replace("http", "ws")}ws`);
  let waiting = 0;
  let timer;
  stream.onopen = () => {
    timer = setInterval(() => {
      if (stream.readyState !== WebSocket.OPEN) return;
      waiting += 1;
      stream.send("hello");
    }, 100);
  };
  stream.onmessage = (event) => {
    waiting -= 1;
    say(event.data.split(" ")[0]);
  };
  stream.onclose = (event) => {
    clearInterval(timer);
    const lost = waiting > 0 ? `${waiting} lost, ` : "";
    say(lost || event.code === 1006 ? "error" : "note", `${lost}closed with ${event.code}`);
    setTimeout(socket, timer ? 0 : 100);
  };
};
const events = () => {
  const source = new EventSource(`${url}events`);
  source.onmessage = (event) => say(event.data);
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? "error it gives up" : "note it opens another");
};

if (method === "version") {
  console.log(`Node ${process.version}${kind === "fetch" ? `, undici ${process.versions.undici}` : ""}`);
  process.exit(0);
}
// What waits to come back does not keep a program alive that has nothing else to do.
if (["socket", "events"].includes(kind)) setInterval(() => {}, 1000);
if (kind === "socket") socket();
if (kind === "events") events();
const ask = { fetch: fetched, http2: stream }[kind] ?? classic;
while (!["socket", "events"].includes(kind)) {
  try {
    console.log(await ask());
  } catch (error) {
    console.log("error", error.code ?? "", error.message, error.cause?.message ?? "");
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
}
