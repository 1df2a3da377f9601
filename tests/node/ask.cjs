// Send the commands that come as JSON on standard input, one after the other, and write the replies as JSON.
// node ask.cjs resp|ioredis|node-redis URL
"use strict";
const fs = require("fs");
const [kind, url] = process.argv.slice(2);

async function connect() {
  if (kind === "resp") {
    const client = new (require("./resp.cjs").Client)(url);
    return [(words) => client.call(...words), () => client.close()];
  }
  if (kind === "ioredis") {
    const client = new (require("ioredis"))(url);
    return [(words) => client.call(...words), () => client.disconnect()];
  }
  const client = await require("redis").createClient({ url }).on("error", () => {}).connect();
  return [(words) => client.sendCommand(words), () => client.destroy()];
}

async function main() {
  const [ask, close] = await connect();
  const replies = [];
  for (const words of JSON.parse(fs.readFileSync(0, "utf8"))) {
    try {
      replies.push(await ask(words));
    } catch (error) {
      replies.push({ error: error.message });
    }
  }
  close();
  process.stdout.write(JSON.stringify(replies));
}

main();
