// A consumer in Node that survives what befalls it; and three bugs of it, which are found one after the other.
// npm install ioredis, and then:
//
//   streamlab torture --worker "node examples/consumer.js" --effects effects --faults random
//   node examples/consumer.js      # puts the bugs in, and runs such commands until it survives
"use strict";
const { spawnSync } = require("node:child_process");
const Redis = require("ioredis");

const { REDIS_URL, STREAM, GROUP, CONSUMER } = process.env;
const MIN_IDLE = 1000; // milliseconds: more than the longest time that an entry may take
const has = (bug) => process.argv.includes(bug);

class Billing {
  stopping = false;
  // Nothing is sent again by itself: a second XREADGROUP would leave behind what the first one brought.
  redis = new Redis(REDIS_URL, {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 100,
  });

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

// Two of three consumers die for good: C1 before its fifth effect, C2 before its fifth acknowledgement.
function tried(bugs) {
  const worker = ["node", `'${__filename}'`, ...bugs].join(" ");
  const faults = ["--fault", "crash-before-effect C1 nth 5", "--fault", "crash-before-ack C2 nth 5", "--no-restart"];
  const drain = bugs.includes("never-claims") ? "1s" : "20s"; // or less, if all is done sooner
  const options = ["--worker", worker, "--effects", "effects", "--duration", "500ms", "--drain", drain, "--json"];
  const { stdout, stderr } = spawnSync("streamlab", ["torture", ...options, ...faults], { encoding: "utf8" });
  if (!stdout) throw new Error(stderr ?? "there is no streamlab on the PATH");
  return JSON.parse(stdout);
}

function findBugs() {
  const bugs = ["acks-first", "never-claims", "does-it-again"];
  let found;
  while ((found = tried(bugs)).verdict !== "survived") {
    if (bugs.length === 0) throw new Error(`it does not survive: ${JSON.stringify(found)}`);
    console.log(`It ${bugs.shift().replaceAll("-", " ")} (${found.verdict}):`);
    for (const hint of found.hints) console.log(`  ${hint}`);
  }
  console.log(bugs.length === 0 ? "It survives." : `It survives with ${bugs}.`);
}

if (REDIS_URL) new Billing().run();
else findBugs();
