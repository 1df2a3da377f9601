// A consumer in Node that knows nothing of streamlab; right, or with one mistake:
// node consumer.cjs resp|ioredis|node-redis [MISTAKE]
"use strict";
const [kind, mistake = ""] = process.argv.slice(2);
const { REDIS_URL: url, STREAM: stream, GROUP: group, CONSUMER } = process.env;
const consumer = mistake === "random-name" ? `worker-${process.pid}-${Date.now()}` : CONSUMER;
const claims = !["no-history", "no-claims", "random-name"].includes(mistake);
const minIdle = 1000;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function connect() {
  if (kind === "resp") {
    const client = new (require("./resp.cjs").Client)(url);
    return (...words) => client.call(...words);
  }
  if (kind === "ioredis") {
    // Nothing is sent again by itself: an XREADGROUP that is sent again leaves behind what the first one brought.
    const options = { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, retryStrategy: () => 50 };
    const client = new (require("ioredis"))(url, options);
    client.on("error", () => {});
    return (...words) => client.call(...words);
  }
  const client = require("redis").createClient({ url, socket: { reconnectStrategy: () => 50 } });
  await client.on("error", () => {}).connect();
  return (...words) => client.sendCommand(words.map(String));
}

async function makeGroup(call, start) {
  try {
    await call("XGROUP", "CREATE", stream, group, start, "MKSTREAM");
  } catch (error) {
    if (!error.message.includes("BUSYGROUP")) throw error;
  }
}

async function handle(call, id) {
  if (mistake === "acks-first") await call("XACK", stream, group, id);
  await sleep(4);
  if (mistake === "twice") await call("HINCRBY", "effects", id, 1);
  else await call("HSETNX", "effects", id, 1);
  if (mistake !== "acks-first") await call("XACK", stream, group, id);
}

// By RESP2 there are pairs of a stream and its entries; RESP3's map is flat with one client, an object with another.
function entriesOf(reply) {
  if (reply === null) return [];
  if (!Array.isArray(reply)) return reply[stream];
  return Array.isArray(reply[0]) ? reply[0][1] : reply[1];
}

async function claim(call) {
  let cursor = "0-0";
  do {
    const [next, entries] = await call("XAUTOCLAIM", stream, group, consumer, minIdle, cursor, "COUNT", 10);
    for (const [id] of entries) await handle(call, id);
    cursor = next;
  } while (cursor !== "0-0");
}

async function consume(call) {
  let after = mistake === "no-history" ? ">" : "0";
  for (let claimAt = 0; ; ) {
    if (claims && Date.now() > claimAt) {
      await claim(call);
      claimAt = Date.now() + minIdle / 2;
    }
    const options = ["COUNT", 5, "BLOCK", 200, "STREAMS", stream, after];
    const entries = entriesOf(await call("XREADGROUP", "GROUP", group, consumer, ...options));
    for (const [id] of entries) await handle(call, id);
    if (after !== ">") after = entries.length > 0 ? entries.at(-1)[0] : ">";
  }
}

async function main() {
  const call = await connect();
  let start = "0";
  for (let isMade = false; ; ) {
    try {
      if (!isMade) await makeGroup(call, start);
      isMade = true;
      await consume(call);
    } catch (error) {
      if (/^[A-Z]+ /.test(error.message)) {
        if (!error.message.startsWith("NOGROUP")) throw error;
        start = mistake === "from-dollar" ? "$" : "0";
        isMade = false;
      } else {
        await sleep(50); // the connection was lost
      }
    }
  }
}

main();
