// A client of Redis in a few lines, for machines without npm's: RESP2 over node's own sockets, one command at a time.
"use strict";
const net = require("net");

class ReplyError extends Error {}

// Return [value, where the next one begins], or null if it has not come whole.
function parse(bytes, at) {
  const end = bytes.indexOf("\r\n", at);
  if (end < 0) return null;
  const line = bytes.toString("utf8", at + 1, end);
  const kind = String.fromCharCode(bytes[at]);
  let next = end + 2;
  if (kind === "+") return [line, next];
  if (kind === ":") return [Number(line), next];
  if (kind === "-") return [new ReplyError(line), next];
  const length = Number(line);
  if (length < 0) return [null, next];
  if (kind === "$") {
    if (bytes.length < next + length + 2) return null;
    return [bytes.toString("utf8", next, next + length), next + length + 2];
  }
  const values = [];
  for (let i = 0; i < length; i++) {
    const found = parse(bytes, next);
    if (found === null) return null;
    values.push(found[0]);
    next = found[1];
  }
  return [values, next];
}

class Client {
  constructor(url) {
    this.url = new URL(url);
    this.waiting = [];
    this.rest = Buffer.alloc(0);
    this.socket = null;
  }

  async connect() {
    const socket = net.connect(Number(this.url.port || 6379), this.url.hostname);
    socket.setNoDelay(true);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    socket.on("data", (data) => this.take(data));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.socket = null;
      for (const { reject } of this.waiting.splice(0)) reject(new Error("the connection is closed"));
    });
    this.rest = Buffer.alloc(0);
    this.socket = socket;
    const user = decodeURIComponent(this.url.username);
    if (this.url.password) await this.call("AUTH", ...(user ? [user] : []), decodeURIComponent(this.url.password));
  }

  take(data) {
    this.rest = Buffer.concat([this.rest, data]);
    for (let found; (found = parse(this.rest, 0)) !== null; ) {
      this.rest = this.rest.subarray(found[1]);
      const { resolve, reject } = this.waiting.shift();
      if (found[0] instanceof ReplyError) reject(found[0]);
      else resolve(found[0]);
    }
  }

  async call(...words) {
    if (this.socket === null) await this.connect();
    const parts = words.map(String).map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    const reply = new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
    this.socket.write(`*${parts.length}\r\n${parts.join("")}`);
    return reply;
  }

  close() {
    if (this.socket !== null) this.socket.destroy();
  }
}

module.exports = { Client, ReplyError };
