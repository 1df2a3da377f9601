// A consumer in Node that survives what befalls it, and three bugs, found one after the other by `streamlab torture`.
// npm install ioredis, and then:
//
//   node examples/consumer.js
//   streamlab torture --worker "node examples/consumer.js" --effects effects --faults random
"use strict";
const { spawnSync } = require("node:child_process");
const Redis = require("ioredis");

const { REDIS_URL, STREAM, GROUP, CONSUMER } = process.env;
const MIN_IDLE = 1000; // milliseconds: more than the longest time that an entry, and those before it, may take
const BUGS = ["acks-first", "never-claims", "does-it-again"];
const has = (bug) => process.argv.includes(bug);

class Billing {
  stopping = false;
  // Nothing is sent again by itself: a second XREADGROUP would leave behind what the first one brought.
  redis = new Redis(REDIS_URL, { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, retryStrategy: () => 100 });

  async handle(id) {
    if (has("acks-first")) await this.redis.xack(STREAM, GROUP, id);
    await new Promise((resolve) => setTimeout(resolve, 4)); // the work
    if (has("does-it-again")) await this.redis.hincrby("effects", id, 1);
    else await this.redis.hsetnx("effects", id, 1); // the effect, and the note that it has happened, in one command
    if (!has("acks-first")) await this.redis.xack(STREAM, GROUP, id);
  }

  // Take over what others left. A page may be empty before the list has ended: only the cursor 0-0 ends it.
  async claim() {
    let cursor = "0-0";
    do {
      const [next, entries] = await this.redis.xautoclaim(STREAM, GROUP, CONSUMER, MIN_IDLE, cursor, "COUNT", 10);
      for (const [id] of entries) await this.handle(id);
      cursor = next;
    } while (cursor !== "0-0");
  }

  async consume() {
    let after = "0"; // first what was delivered to us before, and is not acknowledged
    for (let claimAt = 0; !this.stopping; ) {
      if (Date.now() >= claimAt && !has("never-claims")) {
        await this.claim();
        claimAt = Date.now() + MIN_IDLE / 2;
      }
      const read = ["GROUP", GROUP, CONSUMER, "COUNT", 1, "BLOCK", 500, "STREAMS", STREAM, after];
      const entries = (await this.redis.xreadgroup(...read))?.[0][1] ?? [];
      for (const [id] of entries) await this.handle(id);
      if (after !== ">") after = entries.length > 0 ? entries.at(-1)[0] : ">";
    }
  }

  async run() {
    this.redis.on("error", () => {}); // it connects again, and commands fail until then
    process.on("SIGTERM", () => (this.stopping = true));
    while (!this.stopping) {
      try {
        // From 0, also when the group was lost: from $, all that is in the stream would be left out.
        await this.redis.xgroup("CREATE", STREAM, GROUP, "0", "MKSTREAM").catch((error) => {
          if (!error.message.includes("BUSYGROUP")) throw error;
        });
        await this.consume();
      } catch (error) {
        const isReply = /^[A-Z]+ /.test(error.message);
        if (isReply && !error.message.startsWith("NOGROUP")) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100)); // the connection was lost: begin with our own history
      }
    }
    this.redis.disconnect();
  }
}

// Two of three consumers die for good: C1 before its tenth effect, C2 before its tenth acknowledgement.
function tried(bugs) {
  const worker = ["node", `'${__filename}'`, ...bugs].join(" ");
  const faults = ["--fault", "crash-before-effect C1 nth 10", "--fault", "crash-before-ack C2 nth 10", "--no-restart"];
  const times = ["--duration", "1s", "--drain", "4s"];
  const options = ["--worker", worker, "--effects", "effects", ...faults, ...times, "--json"];
  const { stdout, stderr } = spawnSync("streamlab", ["torture", ...options], { encoding: "utf8" });
  if (!stdout) throw new Error(stderr);
  return JSON.parse(stdout);
}

function findBugs() {
  for (let first = 0; first <= BUGS.length; first++) {
    const { verdict, hints, broken, left } = tried(BUGS.slice(first));
    console.log(`${BUGS[first] ?? "none of these"}: ${verdict}`);
    for (const hint of hints) console.log(`  ${hint}`);
    console.error(broken, left);
  }
}

if (REDIS_URL) new Billing().run();
else findBugs();
