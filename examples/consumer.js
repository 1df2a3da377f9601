// A consumer in Node that survives what befalls it. npm install ioredis, and then:
//
//   streamlab torture --worker "node examples/consumer.js" --effects effects --faults random
"use strict";
const Redis = require("ioredis");

const { REDIS_URL, STREAM = "orders", GROUP = "workers", CONSUMER = "C1" } = process.env;
const MIN_IDLE = 2000; // milliseconds: more than the longest time that an entry, and those before it, may take
// Nothing is sent again by itself: a second XREADGROUP would leave behind what the first one brought.
const options = { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, retryStrategy: () => 100 };
const redis = new Redis(REDIS_URL, options);
redis.on("error", () => {}); // it connects again, and commands fail until then
let stopping = false;
process.on("SIGTERM", () => (stopping = true));

async function handle(id, fields) {
  await new Promise((resolve) => setTimeout(resolve, 4)); // the work
  await redis.hsetnx("effects", id, 1); // the effect, and the note that it has happened, in one command
  await redis.xack(STREAM, GROUP, id); // after the effect, never before it
}

// Take over what others left. A page may be empty before the list has ended: only the cursor 0-0 ends it.
async function claim() {
  let cursor = "0-0";
  do {
    const [next, entries] = await redis.xautoclaim(STREAM, GROUP, CONSUMER, MIN_IDLE, cursor, "COUNT", 10);
    for (const [id, fields] of entries) await handle(id, fields);
    cursor = next;
  } while (cursor !== "0-0");
}

async function consume() {
  let after = "0"; // first what was delivered to us before, and is not acknowledged
  let claimAt = 0;
  while (!stopping) {
    if (Date.now() >= claimAt) {
      await claim();
      claimAt = Date.now() + MIN_IDLE / 2;
    }
    const read = ["GROUP", GROUP, CONSUMER, "COUNT", 5, "BLOCK", 500, "STREAMS", STREAM, after];
    const entries = (await redis.xreadgroup(...read))?.[0][1] ?? [];
    for (const [id, fields] of entries) await handle(id, fields);
    if (after !== ">") after = entries.length > 0 ? entries.at(-1)[0] : ">";
  }
}

async function main() {
  while (!stopping) {
    try {
      // From 0, also when the group was lost: from $, all that is in the stream would be left out.
      await redis.xgroup("CREATE", STREAM, GROUP, "0", "MKSTREAM").catch((error) => {
        if (!error.message.includes("BUSYGROUP")) throw error;
      });
      await consume();
    } catch (error) {
      const isReply = /^[A-Z]+ /.test(error.message);
      if (isReply && !error.message.startsWith("NOGROUP")) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100)); // the connection was lost: begin with our own history
    }
  }
  redis.disconnect();
}

main();
