// A run that is played back: what was to be seen at each moment, added up from what was different there from the moment
// before. The differences are the kernel's (views/playback/recording.py): nothing is counted here.

const KEEP_EVERY = 100; // moments between two sums that are kept, so that no way back is long

export class Recording {
  constructor(data) {
    this.data = data;
    this.kept = [];
    this.sum = { frame: -1, values: {}, figures: {}, tables: new Map() };
    for (const i of data.frames.keys()) {
      if (i % KEEP_EVERY === 0) this.kept.push(copied(this.sum));
      this.advance();
    }
  }

  get end() {
    return this.data.end;
  }

  // The number of the last moment up to a time.
  momentAt(at) {
    const { frames } = this.data;
    let [low, high] = [0, frames.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (frames[middle][0] <= at) low = middle;
      else high = middle;
    }
    return low;
  }

  // The time of the next moment, or of the one before.
  after(at) {
    const { frames } = this.data, next = frames[this.momentAt(at) + (frames[0][0] > at ? 0 : 1)];
    return next ? next[0] : this.end;
  }

  before(at) {
    const { frames } = this.data, now = this.momentAt(at);
    return frames[now][0] < at ? frames[now][0] : now > 0 ? frames[now - 1][0] : 0;
  }

  // What is to be seen at a time; with the story of an entry, if one was picked.
  stateAt(at, picked = "") {
    const { ids, consumer, window, title, engine, stream, groups } = this.data;
    const { values, figures, tables } = this.sumTo(this.momentAt(at));
    const rows = (name) => [...(tables.get(name) || [])].sort(([one], [other]) => one - other);
    const points = rows("points").map(([, point]) => point).filter(([when]) => when > at - window && when <= at);
    // What is known of an entry in a group has one key: see _key of the kernel's.
    const id = (key) => ids[Math.floor(key / groups.length)], of = (key) => key % groups.length;
    const now = groups.map((name, g) => {
      const [backlog, pending, acked, throughput] = tables.get("groups").get(g);
      const waiting = rows("waiting").filter(([key]) => of(key) === g).map(([key, producer]) => [id(key), producer]);
      // Lag and position are the server's to say.
      return { name, backlog, lag: "–", n_pending: pending, n_acked: acked, last_id: "–", throughput, waiting };
    });
    const curve = ({ backlog, n_pending, throughput }, g) => {
      const mine = points.filter((point) => point[1] === g), column = (i) => mine.map((point) => point[i]);
      return {
        at: [...column(0), at],
        backlog: [...column(2), backlog],
        pending: [...column(3), n_pending],
        throughput: [...column(4), parseFloat(throughput)],
      };
    };
    return {
      title, engine, stream, groups: now, window, at, future: [], servers: null, ...values,
      figures: { ...figures },
      consumers: rows("consumers").map(([, row]) => Object.fromEntries(consumer.map((name, i) => [name, row[i]]))),
      pending: rows("pending").map(([key, [owner, since, n]]) => {
        return [id(key), owner, Math.max(0, at - since), n, "", groups[of(key)]];
      }),
      dead_letters: rows("dead_letters").reverse().map(([key, [by, n]]) => [id(key), id(key), by, n, ""]),
      shards: rows("shards").map(([, shard]) => shard),
      bars: rows("bars").map(([, bar]) => bar),
      by_hand: rows("by_hand").map(([, command]) => command),
      commands: rows("commands").map(([, command]) => command),
      moves: rows("moves").map(([key, [kind, actor, n]]) => [key, kind, actor, ids[n]]),
      curves: now.map(curve),
      story: picked && { id: picked, lines: this.story(picked, at) },
    };
  }

  // What had happened to an entry by then, a line for each event.
  story(id, at) {
    const { ids, stories } = this.data;
    const isYetToCome = (line) => parseFloat(line) > at + 0.0005; // its time is rounded
    return stories[ids.indexOf(id)].filter((line) => !isYetToCome(line));
  }

  // ---- adding up -----------------------------------------------------------------------------------

  sumTo(frame) {
    const kept = this.kept[Math.floor(frame / KEEP_EVERY)];
    if (this.sum.frame > frame || this.sum.frame < kept.frame) this.sum = copied(kept);
    while (this.sum.frame < frame) this.advance();
    return this.sum;
  }

  advance() {
    const { sum, data: { frames, logs } } = this;
    sum.frame += 1;
    for (const [name, found] of Object.entries(frames[sum.frame][1])) {
      if (name === "figures") Object.assign(sum.figures, found);
      else if (this.data.tables.includes(name)) change(sum.tables, name, found, logs[name]);
      else sum.values[name] = found;
    }
  }
}

const copied = ({ frame, values, figures, tables }) => ({
  frame, values: { ...values }, figures: { ...figures },
  tables: new Map([...tables].map(([name, rows]) => [name, new Map(rows)])),
});

// Enter the rows of a table that are new or different, and drop those that are gone: of a log, the oldest.
function change(tables, name, [changed, gone = []], most = Infinity) {
  if (!tables.has(name)) tables.set(name, new Map());
  const rows = tables.get(name);
  for (const key of gone) rows.delete(key);
  for (const [key, row] of changed) rows.set(key, row);
  for (const key of rows.keys()) {
    if (rows.size <= most) break;
    rows.delete(key);
  }
}
