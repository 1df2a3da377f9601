// The pure parts of the panel's view: `node --test tests/views/test_panel_view.mjs`, which test_panel_view.py runs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { asked, atHand, inMenu, inRow, textOf, unsuited } from "../../streamlab/views/panel/view/buttons.mjs";
import { Dots } from "../../streamlab/views/panel/view/dots.mjs";
import {
  curves, entryPlaces, firstWith, hiddenInStream, hiddenWith, keyOf, lanes, lanesHeight, places, roomInStream, roomWith,
  shardPlaces, takenPlaces,
} from "../../streamlab/views/panel/view/layout.mjs";
import { hatches } from "../../streamlab/views/panel/view/drawing.mjs";
import { firstSpeed } from "../../streamlab/views/panel/view/player.mjs";
import main from "../../streamlab/views/panel/view/main.mjs";
import {
  byGroup, consumerRow, count, curvesLabel, forgottenOf, goBack, headline, hintOfBeginning, inGroup, isTrouble, lanesLabel, nearestSpeed, notice, pace,
  pendingCount, pendingRow, plural, ranges, sceneLabel, seconds, seedOf, serverWords, shardsLabel, shardsOf, shardStatus,
  shardsTitle, sliderPosition, sliderValue, whyNoServer, whyNot,
} from "../../streamlab/views/panel/view/state.mjs";

const consumer = (name, state, more = {}) => {
  return { name, state, pending: 0, holding: 0, acked: 0, pid: null, group: "workers", ...more };
};
const key = (id, group = "workers") => keyOf(id, group);

// One group has what waits, the backlog and all that; or give `groups`.
function stateWith({ waiting = [], backlog = 0, throughput = "4.0/s", ...changes } = {}) {
  const { n_acked = 0, n_pending = 0 } = changes;
  return {
    at: 30, window: 20, engine: "simulated", closed: false, finished: false,
    headline: ["calm", "All is well."], future: [], notice: "",
    producers: [{ name: "P1", state: "working" }, { name: "P2", state: "working" }],
    groups: [{ name: "workers", backlog, n_acked, n_pending, throughput, waiting }],
    n_added: 0, n_acked: 0, n_pending: 0,
    consumers: [consumer("C1", "working"), consumer("C2", "dead"), consumer("C3", "paused")],
    pending: [], moves: [], bars: [], shards: [], servers: null,
    curves: [{ at: [], backlog: [], pending: [], throughput: [] }],
    ...changes,
  };
}

// What the kernel sends of some actions: see streamlab/views/panel/buttons.py.
const field = (name, keyword = "", more = {}) => ({
  name, keyword, kind: "other", asked: true, default: null, choices: null, ...more,
});
const [whom, nth] = [field("target", "", { asked: false }), field("nth", "nth", { kind: "count", default: 1 })];
const lasting = (seconds) => field("duration", "for", { kind: "time", default: seconds });
const owner = field("consumer", "for", { asked: false });
const LOSABLE = { XREADGROUP: "consumer", XACK: "consumer", XADD: "producer" };
const declare = (word, aim, fields, more = {}) => ({
  word, label: word, aim, at_hand: false, needs: "", undoes: "", hint: "", fields, ...more,
});
const BUTTONS = [
  declare("kill", "actor", [whom], { at_hand: true, needs: "alive" }),
  declare("pause", "actor", [whom, lasting(null)], { at_hand: true, needs: "alive" }),
  declare("restart", "consumer", [whom], { at_hand: true }),
  declare("slow", "consumer", [whom, lasting(1), field("factor", "factor", { default: 10 })]),
  declare("resume", "actor", [whom], { at_hand: true, needs: "paused", undoes: "pause" }),
  declare("lost-reply", "actor", [whom, field("command", "", { default: "XACK", choices: LOSABLE }), nth]),
  declare("poison", "producer", [whom, nth]),
  declare("server-down", "server", [lasting(1)]),
  declare("group-destroyed", "group", []),
  declare("add", "stream", [field("entry", "", { kind: "words", default: "item=tea" })]),
  declare("add-consumer", "group", [whom], { at_hand: true }),
  declare("claim", "pending entries", [field("ids", "", { asked: false }), owner], { at_hand: true }),
  declare("set-rate", "producers", [field("rate")], { at_hand: true }),
  declare("set-recovery", "recovery", [field("strategy"), field("min_idle", "min-idle", { kind: "time" })], {
    at_hand: true,
  }),
];
const byWord = (word) => BUTTONS.find((each) => each.word === word);

// ---- words -----------------------------------------------------------------------------------------

test("times have one decimal, as long as that tells something", () => {
  assert.deepEqual([null, 0, 0.04, 9.96, 99.9, 100, 123.4].map(seconds), [
    "–", "0.0 s", "0.0 s", "10.0 s", "99.9 s", "100 s", "123 s",
  ]);
});

test("counts are grouped by thousands, and agree with their words", () => {
  assert.equal(count(1234567), "1,234,567");
  assert.deepEqual([0, 1, 2].map((n) => plural(n, "entry", "entries")), ["0 entries", "1 entry", "2 entries"]);
});

test("what is planned is shown by two digits, without an exponent", () => {
  assert.deepEqual([0.4, 139.54, 2.4].map((value) => pace(value, false)), ["0.4/s each", "140/s each", "2.4/s each"]);
  assert.equal(pace(0.1234, true), "0.12 s");
});

test("the headline is the kernel's, but for a lab that is closed", () => {
  assert.deepEqual(headline(stateWith()), ["calm", "All is well."]);
  const [mood, words] = headline(stateWith({ closed: true }));
  assert.equal(mood, "calm");
  assert.match(words, /^This lab has been closed\./);
});

test("at its end a run says what can be done now, which depends on the engine", () => {
  const of = (engine) => headline(stateWith({ finished: true, engine, headline: ["calm", "The run has ended."] }))[1];
  assert.equal(of("simulated"), "The run has ended. Go back in time, or begin again.");
  assert.match(of("live"), /^The run has ended\. For another one, run its cell again/);
});

test("the notice tells what lies in the future, and then what went wrong", () => {
  assert.equal(notice(stateWith()), "");
  assert.equal(notice(stateWith({ notice: "no" })), "no");
  const future = ["kill C2 at 31.0 s", "claim at 32.0 s"];
  assert.equal(notice(stateWith({ future, notice: "no" })),
    "kill C2 at 31.0 s, claim at 32.0 s were done by hand, and will be again when the time comes. " +
    "Do anything else before, and the run forgets them. no");
  assert.match(notice(stateWith({ future: ["kill C2 at 31.0 s"] })), / 31.0 s was done by hand, .* forgets it\. $/);
});

test("beginning again says what it forgets", () => {
  assert.equal(hintOfBeginning({ n_by_hand: 0 }), "Goes back to the beginning, with this seed.");
  assert.match(hintOfBeginning({ n_by_hand: 1 }), /, and forgets the 1 thing that you have done by hand\.$/);
  assert.match(hintOfBeginning({ n_by_hand: 2 }), / the 2 things /);
});

test("a seed is a number; what is none is left for the kernel to refuse", () => {
  assert.deepEqual(["7", "-1", "1.5", ""].map(seedOf), [7, -1, 1.5, ""]);
});

test("the drawings are told in words, too", () => {
  const state = stateWith({ backlog: 1, n_acked: 7, consumers: [consumer("C1", "dead", { pending: 4, acked: 7 })] });
  assert.equal(sceneLabel(state), "1 entry waits in the stream; C1 is dead with 4 pending; 7 acknowledged.");
  assert.equal(lanesLabel(state), "Which consumer had which entries in the last 20 seconds: C1 acknowledged 7.");
  assert.match(lanesLabel({ ...state, window: 0.504 }), /in the last 0\.5 seconds:/);
  Object.assign(state.consumers[0], { again: 4, taken: 2 });
  assert.match(sceneLabel(state), /C1 is dead with 4 pending and works on 2 that were taken from it; /);
  assert.match(lanesLabel(state), /: C1 acknowledged 7 and did 4 for the second time\.$/);
  assert.equal(curvesLabel(state), "The last 20 seconds: backlog 1, pending 0, throughput 4.0/s.");
});

// ---- rows and buttons ------------------------------------------------------------------------------

test("buttons work as long as the run goes on, and say why they do not", () => {
  const of = (changes) => whyNot(stateWith(changes));
  assert.deepEqual([of({}), of({ finished: true }), of({ finished: true, engine: "live" }), of({ closed: true })], [
    "", "The run has ended: go back, or begin again.", "The run has ended.", "This lab has been closed.",
  ]);
});

test("each button works for those whom it does something to, and says why not for others", () => {
  const whom = ({ does }) => stateWith().consumers.map((each) => unsuited(does, each));
  const isDead = ["", "C2 is dead already.", ""];
  assert.deepEqual(inRow(BUTTONS).map(whom), [isDead, isDead, ["", "", ""]]);
});

test("a consumer's row has what is at hand, and what undoes it in its place", () => {
  const words = inRow(BUTTONS).map(({ does, undo }) => [does.word, undo?.word]);
  assert.deepEqual(words, [["kill", undefined], ["pause", "resume"], ["restart", undefined]]);
  const [, { undo }] = inRow(BUTTONS);
  assert.deepEqual(stateWith().consumers.map((each) => unsuited(undo, each)), [
    "C1 is not paused.", "C2 is not paused.", "",
  ]);
  assert.deepEqual(atHand(BUTTONS, "group").map(({ word }) => word), ["add-consumer"]);
});

test("the menu has all that has no other place, by whom it is for; and all that can be done to a producer", () => {
  assert.deepEqual(inMenu(BUTTONS).map(({ role, title, buttons }) => [role, title, buttons.map(({ word }) => word)]), [
    ["consumer", "to a consumer", ["slow", "lost-reply"]],
    ["producer", "to a producer", ["kill", "pause", "resume", "lost-reply", "poison"]],
    ["", "to the server, group, stream", ["server-down", "group-destroyed", "add"]],
  ]);
});

test("what is asked for beside a button has a value at first; commands are those of whom it is for", () => {
  const of = (word, role) => asked(byWord(word), role).map(({ name, value, choices }) => [name, value, choices]);
  assert.deepEqual(of("kill", "producer"), []);
  assert.deepEqual(of("pause", "producer"), [["duration", null, null]]);
  assert.deepEqual(of("slow", "consumer"), [["duration", 1, null], ["factor", 10, null]]);
  assert.deepEqual(of("lost-reply", "consumer"), [["command", "XACK", ["XREADGROUP", "XACK"]], ["nth", 1, null]]);
  assert.deepEqual(of("lost-reply", "producer")[0], ["command", "XADD", ["XADD"]]);
});

test("a consumer's row stands out if entries are stranded with it", () => {
  assert.deepEqual(consumerRow(consumer("C1", "working", { pending: 3, pid: 17 })),
    { look: "", hint: "process 17" });
  assert.equal(consumerRow(consumer("C1", "dead", { pending: 3 })).look, "stranded");
  assert.equal(consumerRow(consumer("C1", "stopped", { pending: 3 })).look, "stranded");
  assert.equal(consumerRow(consumer("C1", "dead")).look, "");
});

test("the dead are trouble; one that has stopped is, if it left something", () => {
  const of = (state, pending) => isTrouble(consumer("C1", state, { pending }));
  assert.deepEqual([of("dead", 0), of("stopped", 0), of("stopped", 1), of("paused", 1), of("working", 1)], [
    true, false, true, false, false,
  ]);
});

test("a pending entry's row tells whose it is, for how long, and whether it can be claimed", () => {
  const of = (state, idle, deliveries = 1) => pendingRow(["1-0", "C1", idle, deliveries, ""], consumer("C1", state), 3);
  assert.deepEqual(of("working", 1.5), { look: "", owner: "C1", meter: "meter", share: "30%", idle: "1.5 s" });
  assert.deepEqual(of("dead", 3), {
    look: "stranded", owner: "C1 (dead)", meter: "meter over", share: "60%", idle: "3.0 s claimable",
  });
  assert.equal(of("working", 60).share, "100%");
  assert.equal(of("working", 1, 2).look, "again");
  assert.equal(of("paused", 1, 2).look, "stranded");
  assert.equal(pendingRow(["1-0", "C9", 1, 1, ""], undefined, 3).owner, "C9");
});

test("how many are pending, and how many of them are listed", () => {
  assert.equal(pendingCount({ n_pending: 2, pending: [[], []] }), "2");
  assert.equal(pendingCount({ n_pending: 950, pending: [[], []] }), "950, the first 2 are listed");
});

test("the clock's controls know their next value", () => {
  assert.deepEqual([0.1, 3, 100, 400].map(nearestSpeed), [0.1, 5, 100, 100]);
  assert.deepEqual([goBack(12.3456, 5), goBack(3, 5)], [7.346, 0]);
});

test("a slider goes from an eighth to eightfold of what was planned, and back to just that", () => {
  assert.deepEqual([-3, 0, 1, 0.25].map((position) => sliderValue(position, 0.4)), [0.05, 0.4, 0.8, 0.476]);
  assert.equal(sliderValue(0, 0.123456), 0.123456);
  assert.equal(sliderPosition(0.8, 0.4), 1);
});

// ---- actions ---------------------------------------------------------------------------------------

test("an action is a text: its word, and its fields in order, after their keywords; what is empty is left out", () => {
  const text = (word, values) => textOf(byWord(word), values);
  assert.deepEqual([
    text("kill", { target: "C2", consumer: "C1" }), text("server-down"), text("add-consumer", {}),
    text("claim", { ids: ["17-0", "17-1"], consumer: "C1" }), text("claim", { ids: ["17-0"], consumer: "" }),
    text("lost-reply", { nth: 3, command: "XACK", target: "C1" }), text("pause", { target: "P1", duration: "" }),
    text("set-recovery", { strategy: "autoclaim" }), text("set-recovery", { min_idle: 2 }),
  ], [
    "kill C2", "server-down", "add-consumer",
    "claim 17-0 17-1 for C1", "claim 17-0",
    "lost-reply C1 XACK nth 3", "pause P1",
    "set-recovery autoclaim", "set-recovery min-idle 2s",
  ]);
});

test("an entry's fields are as many words as were typed", () => {
  assert.equal(textOf(byWord("add"), { entry: " item=tea  cups=2 " }), 'add "item=tea" "cups=2"');
});

test("numbers and times in actions are short, and exact", () => {
  const rates = [200, 0.1 + 0.2, 2.375].map((rate) => textOf(byWord("set-rate"), { rate }));
  assert.deepEqual(rates, ["set-rate 200", "set-rate 0.3", "set-rate 2.375"]);
  const times = [0.01, 0.0005, 0.3 * 3, 1, 2.5, 90].map((duration) => textOf(byWord("server-down"), { duration }));
  assert.deepEqual(times, ["10ms", "0.5ms", "900ms", "1s", "2.5s", "90s"].map((each) => `server-down for ${each}`));
});

test("a name that is not one word is quoted", () => {
  assert.equal(textOf(byWord("kill"), { target: "my own" }), 'kill "my own"');
  assert.equal(textOf(byWord("claim"), { ids: ["1-0"], consumer: 'the "best"' }), 'claim 1-0 for "the \\"best\\""');
});

// ---- the scene -------------------------------------------------------------------------------------

test("the scene is as high as its consumers need, and they stand around the stream's height", () => {
  const three = places(stateWith(), 1300);
  assert.equal(three.height, 168);
  assert.deepEqual([...three.consumers.values()].map(({ y }) => y), [54, 96, 138]);
  assert.equal(three.streams.get("workers").y, 96);
  assert.deepEqual([...three.producers.values()].map(({ y }) => y), [75, 117]);
  const names = Array.from({ length: 8 }, (_, i) => `C${i + 1}`);
  const eight = places(stateWith({ consumers: names.map((name) => consumer(name, "working")) }), 1300);
  assert.equal(eight.height, 8 * 30 + 42);
  const { x1 } = eight.streams.get("workers"), done = eight.done.get("workers");
  for (const { x, w } of eight.consumers.values()) assert.ok(x > x1 && x + w < done.x - 40);
});

// Two groups: C1 and C2 are workers, B1 is of billing.
const GROUPS = ["workers", "billing"].map((name, i) => {
  return { name, backlog: 3 * i + 1, n_acked: 7 - i, n_pending: i, throughput: `${i}.0/s`, waiting: [[`${9 - i}-0`]] };
});
const twoGroups = (changes = {}) => stateWith({
  groups: GROUPS, consumers: [consumer("C1", "working"), consumer("C2", "working"),
    consumer("B1", "working", { group: "billing" })], ...changes,
});

test("each group reads the stream on its own, before its consumers, and apart from the others", () => {
  const { streams, consumers, done, height } = places(twoGroups(), 1300);
  const [workers, billing] = streams.values();
  assert.deepEqual([...streams.keys()], ["workers", "billing"]);
  assert.ok(billing.y - workers.y >= 64, "there is room for what is written below a stream");
  assert.ok(workers.y >= 32 + 17 - 8 && billing.y + 34 <= height);
  assert.equal((consumers.get("C1").y + consumers.get("C2").y) / 2, workers.y);
  assert.equal(consumers.get("B1").y, billing.y);
  assert.deepEqual([...done.values()].map(({ y }) => y), [workers.y, billing.y]);
});

test("the same entry is somewhere else in each group", () => {
  const moves = [[1, "added", "P1", "1-0"], [2, "delivered", "C1", "1-0"], [3, "acked", "lab:billing", "1-0"]];
  const before = twoGroups(), place = places(before, 1300), dots = new Dots();
  dots.update(before, place);
  assert.deepEqual([...dots.dots.keys()], [key("9-0"), key("8-0", "billing")]);
  const pending = [["1-0", "C1", 1, 1, "", "workers"]];
  dots.update(twoGroups({ n_added: 1, pending, moves }), place);
  const [mine, theirs] = [dots.dots.get(key("1-0")), dots.dots.get(key("1-0", "billing"))];
  const { x, y } = mine.path.at(-1);
  assert.deepEqual({ x, y }, firstWith(place.consumers.get("C1")));
  assert.deepEqual([theirs.look, theirs.leaving], ["done", true]);
  assert.deepEqual(theirs.path.at(-1), place.done.get("billing"));
});

test("what is said of several groups names them; picks are taken apart by group", () => {
  const state = twoGroups();
  assert.match(sceneLabel(state), /^1 entry waits in the stream for workers, 4 entries wait in the stream for billing; /);
  assert.match(sceneLabel(state), /; 7 acknowledged in workers, 6 acknowledged in billing\.$/);
  assert.match(curvesLabel(state), /: workers: backlog 1, pending 0, throughput 0\.0\/s; billing: backlog 4, /);
  assert.deepEqual([inGroup("B1", "billing", state), inGroup("C1", "workers", stateWith())], ["B1 · billing", "C1"]);
  const picked = [key("1-0"), key("2-0", "billing"), key("3-0", "my own"), key("4-0")];
  assert.deepEqual([...byGroup(picked)], [["workers", ["1-0", "4-0"]], ["billing", ["2-0"]], ["my own", ["3-0"]]]);
});

test("each group has a line of its own, from the same zero", () => {
  const curve = (values) => ({ at: [10, 30], backlog: values, pending: [0, 0], throughput: [0, 0] });
  const [backlog, , throughput] = curves(twoGroups({ curves: [curve([0, 4]), curve([8, 8])] }), 328, 150);
  assert.deepEqual([backlog.now, backlog.top, backlog.lines.length], ["1 · 4", 8, 2]);
  assert.equal(throughput.now, "0.0 · 1.0/s");
  assert.equal(backlog.lines[0].at(-1)[1], backlog.y0 - backlog.high / 2);
});

test("the oldest entry waits at the stream's end; what has no room is counted", () => {
  const waiting = Array.from({ length: 60 }, (_, i) => [`${i}-0`]);
  const state = stateWith({ waiting, backlog: 75 });
  const place = places(state, 800), stream = place.streams.get("workers");
  const found = entryPlaces(state, place, new Set());
  const room = roomInStream(stream);
  assert.equal(found.size, room);
  assert.ok(room < 60);
  assert.equal(hiddenInStream(state.groups[0], stream), 75 - room);
  assert.ok(found.get(key("0-0")).x > found.get(key("1-0")).x);
  assert.ok(found.get(key(`${room - 1}-0`)).x > stream.x0);
});

test("a pending entry stands with its owner, and looks as that is", () => {
  const state = stateWith({
    pending: [
      ["1-0", "C1", 1, 1, ""], ["2-0", "C1", 1, 2, ""], ["3-0", "C1", 1, 1, ""], ["4-0", "C2", 1, 1, ""],
      ["5-0", "C3", 1, 1, ""], ["6-0", "C9", 1, 1, ""],
    ].map((row) => [...row, "workers"]),
  });
  const place = places(state, 1300);
  const found = entryPlaces(state, place, new Set([key("3-0")]));
  assert.deepEqual([...found].map(([each, { look }]) => [each.split(" ")[0], look]), [
    ["1-0", "held"], ["2-0", "again"], ["3-0", "again"], ["4-0", "stranded"], ["5-0", "still"],
  ]);
  assert.equal(found.get(key("2-0")).x - found.get(key("1-0")).x, 19);
  assert.equal(found.get(key("4-0")).y, place.consumers.get("C2").y);
});

test("what was taken from a consumer that works on it stands at the end of its box, three at the most", () => {
  const box = (taken) => ({ x: 100, w: 200, consumer: consumer("C1", "working", { taken }) });
  assert.deepEqual([box(0), box(1), box(9)].map(takenPlaces), [[], [284], [284, 265, 246]]);
});

test("of many entries with one consumer, those without room are counted", () => {
  const pending = Array.from({ length: 50 }, (_, i) => [`${i}-0`, "C1", 1, 1, "", "workers"]);
  const state = stateWith({ pending, consumers: [consumer("C1", "working", { pending: 70 })] });
  const place = places(state, 900);
  const box = place.consumers.get("C1"), room = roomWith(box);
  assert.ok(room < 50);
  assert.equal(entryPlaces(state, place, new Set()).size, room);
  assert.equal(hiddenWith(state, box), 70 - room);
  assert.equal(hiddenWith(stateWith({ consumers: state.consumers }), box), 70);
});

// ---- lanes and curves ------------------------------------------------------------------------------

test("a bar waits, then works; what was left behind is one bar up to its claim, or to now", () => {
  const bars = [
    ["C1", 10, 15, 20, 20, false], ["C1", 20, 25, null, null, true], ["C2", 20, 25, null, null, false],
    ["C1", 12, null, null, 14, false], ["C9", 10, 11, 12, 12, false],
    ["C3", 20, null, null, null, false],
  ];
  const found = lanes(stateWith({ bars }), 238, 92).bars; // 20 s are 200 px, from 36
  const lane = { C1: 12, C2: 36, C3: 60 };
  assert.deepEqual(found.map(({ kind, y, x0, x1, again }) => [kind, y, x0, x1, again]), [
    ["waiting", lane.C1, 36, 86, false], ["working", lane.C1, 86, 136, false],
    ["waiting", lane.C1, 136, 186, true],
    ["left", lane.C2, 136, 236, false],
    ["left", lane.C1, 56, 76, false],
    ["waiting", lane.C3, 136, 236, false],
  ]);
});

test("what is done for the second time is a bar of its own, whoever owns the entry by then", () => {
  const bars = [["C1", 12, 14, 20, 13, false, true], ["C3", 22, 25, null, 24, true, true]];
  const found = lanes(stateWith({ bars }), 238, 92).bars;
  assert.deepEqual(found.map(({ kind, y, x0, x1 }) => [kind, y, x0, x1]), [
    ["waiting", 12, 56, 76], ["waiting", 60, 156, 186], ["twice", 12, 76, 136], ["twice", 60, 186, 236],
  ]);
});

test("hatches keep within their box", () => {
  const lines = hatches(10, 20, 12, 6);
  assert.deepEqual(lines, [[10, 26], [16, 20], null, [16, 26], [22, 20], null]);
});

test("a bar that began before the window begins at its edge", () => {
  const [{ x0, x1 }] = lanes(stateWith({ bars: [["C1", 2, 15, 20, 20, false]] }), 238, 92).bars;
  assert.deepEqual([x0, x1], [36, 86]);
});

test("lanes have a height for few consumers, and for many", () => {
  const of = (n) => lanesHeight({ consumers: Array.from({ length: n }) });
  assert.deepEqual([1, 3, 5, 40].map(of), [104, 104, 140, 170]);
});

test("counts go by steps, throughput goes straight; each curve has its own scale", () => {
  const [backlog, pending, throughput] = curves(stateWith({
    backlog: 8, n_pending: 1, throughput: "0.6/s",
    curves: [{ at: [10, 20, 30], backlog: [0, 8, 8], pending: [1, 1, 1], throughput: [0, 0.25, 0.5] }],
  }), 330, 150);
  const [y0, high] = [43, 35];
  assert.deepEqual(backlog.lines[0], [[128, y0], [228, y0], [228, y0 - high], [328, y0 - high], [328, y0 - high]]);
  assert.deepEqual([backlog.now, pending.now, throughput.now], ["8", "1", "0.6/s"]);
  assert.deepEqual([backlog.top, pending.top, throughput.top], [8, 4, 1]);
  assert.equal(throughput.lines[0].length, 3);
});

// ---- motion ----------------------------------------------------------------------------------------

test("what is there at first stands where it belongs", () => {
  const moves = [[5, "added", "P1", "1-0"]];
  const state = stateWith({ waiting: [["1-0"]], pending: [["2-0", "C1", 1, 1, "", "workers"]], moves });
  const place = places(state, 1300), dots = new Dots();
  dots.update(state, place);
  assert.deepEqual([...dots.dots.keys()], [key("1-0"), key("2-0")]);
  assert.equal(dots.advance(0), false);
  const { x, y } = dots.dots.get(key("2-0"));
  assert.deepEqual({ x, y }, firstWith(place.consumers.get("C1")));
});

test("an entry goes from its producer to the stream, to a consumer, and away; the faster, the more stops", () => {
  const before = stateWith(), place = places(before, 1300), dots = new Dots();
  dots.update(before, place);
  dots.update(stateWith({ n_added: 1, n_acked: 1, moves: [
    [1, "added", "P1", "1-0"], [2, "delivered", "C1", "1-0"], [3, "acked", "C1", "1-0"],
  ] }), place);
  const dot = dots.dots.get(key("1-0")), { producers, done } = place;
  assert.deepEqual([dot.x, dot.y, dot.look, dot.leaving], [68, producers.get("P1").y, "done", true]);
  assert.equal(dot.path.length, 5);
  assert.deepEqual(dot.path.at(-1), done.get("workers"));
  const [x, y] = [dot.x, dot.y], firstStop = dot.path[0];
  assert.equal(dots.advance(0.01), true);
  assert.equal(Math.hypot(dot.x - x, dot.y - y).toFixed(6), (0.01 * 900 * 4).toFixed(6));
  dots.advance(0.02);
  const beyond = 0.03 * 900 * 4 - Math.hypot(firstStop.x - x, firstStop.y - y);
  assert.equal(Math.hypot(dot.x - firstStop.x, dot.y - firstStop.y).toFixed(6), beyond.toFixed(6));
  for (let i = 0; i < 200 && dots.advance(0.03); i += 1);
  assert.equal(dots.dots.size, 0);
});

test("what is claimed goes to its new owner by the shortest way, marked until it is done", () => {
  const pending = (owner) => [["1-0", owner, 5, 1, ""]];
  const before = stateWith({ pending: pending("C2") }), place = places(before, 1300), dots = new Dots();
  dots.update(before, place);
  dots.update(stateWith({ pending: pending("C1"), moves: [[1, "claimed", "C1", "1-0"]] }), place);
  const dot = dots.dots.get(key("1-0"));
  assert.equal(dot.look, "again");
  assert.deepEqual(dot.path, [firstWith(place.consumers.get("C1"))]);
  dots.update(stateWith({ n_acked: 1, moves: [[1, "claimed", "C1", "1-0"], [2, "acked", "C1", "1-0"]] }), place);
  assert.equal(dot.look, "done");
  assert.equal(dot.path.length, 3); // to the new owner, out of its box, away: no move is made twice
  assert.equal(dots.taken.size, 0);
});

test("a dot that is still on its way to its place is sent to its new place instead", () => {
  const before = stateWith({ waiting: [["1-0"], ["2-0"], ["3-0"]] }), place = places(before, 1300), dots = new Dots();
  dots.update(before, place);
  dots.update(stateWith({ waiting: [["2-0"], ["3-0"]] }), place);
  dots.update(stateWith({ waiting: [["3-0"]] }), place);
  const { path } = dots.dots.get(key("3-0"));
  assert.deepEqual(path.map(({ x }) => x), [place.streams.get("workers").x1 - 14]);
  const box = place.consumers.get("C1"), pending = [["3-0", "C1", 0, 1, ""]];
  dots.update(stateWith({ waiting: [["4-0"], ["3-0"]] }), place);
  dots.update(stateWith({ pending, moves: [[1, "delivered", "C1", "3-0"]] }), place);
  assert.deepEqual(dots.dots.get(key("3-0")).path.map(({ x }) => x), [place.streams.get("workers").x1 - 14, firstWith(box).x]);
});

test("what is stranded stays where it is, and nothing moves for those who want no motion", () => {
  const before = stateWith({ waiting: [["1-0"]] }), place = places(before, 1300), dots = new Dots();
  dots.update(before, place);
  const moves = [[1, "delivered", "C2", "1-0"]];
  dots.update(stateWith({ pending: [["1-0", "C2", 0, 1, "", "workers"]], moves }), place);
  assert.deepEqual([dots.dots.get(key("1-0")).look, dots.dots.get(key("1-0")).path], ["stranded", []]);
  dots.update(stateWith({ n_acked: 1, moves: [...moves, [2, "dead_lettered", "C1", "1-0"]] }), place);
  dots.settle();
  assert.equal(dots.dots.size, 0);
});

test("a run that goes back begins with new dots; there are never too many", () => {
  const many = Array.from({ length: 400 }, (_, i) => [i + 1, "added", "P1", `${i}-0`]);
  const before = stateWith({ at: 30 }), place = places(before, 1300), dots = new Dots();
  dots.update(before, place);
  dots.update(stateWith({ at: 31, n_added: 400, moves: many }), place);
  assert.equal(dots.dots.size, 260);
  assert.ok(dots.dots.has(key("399-0")));
  dots.update(stateWith({ at: 5, n_added: 400, waiting: [["7-0"]] }), place);
  assert.deepEqual([...dots.dots.keys()], [key("7-0")]);
  dots.update(stateWith({ at: 6, n_added: 401, moves: [[401, "added", "P1", "8-0"]] }), place);
  dots.update(stateWith({ at: 7, n_added: 0 }), place);
  assert.equal(dots.dots.size, 0);
});

test("the parts fit together: each finds what it imports", () => {
  assert.equal(typeof main.render, "function");
});

// ---- shards and servers ----------------------------------------------------------------------------

// C1 works, C2 is dead, C3 paused; it is 30 s, and a lease is given for 4 s.
const shard = (number, owner, until, waiting = 0, pending = 0) => [number, "workers", owner, until, waiting, pending];
const withShards = (...shards) => stateWith({ shards, min_idle: 4 });

test("a shard has an owner as long as the lease is good, and one sees it run out", () => {
  const of = (...which) => {
    const { owner, how, left, words } = shardStatus(shard(0, ...which), withShards());
    return [owner, how, left, words];
  };
  assert.deepEqual(of("C1", 33), ["C1", "owned", 0.75, "C1"]);
  assert.deepEqual(of("C1", 40), ["C1", "owned", 1, "C1"]);
  assert.deepEqual(of("C2", 31), ["C2", "running-out", 0.25, "C2 dead: 1.0 s"]);
  assert.deepEqual(of("C3", 31), ["C3", "running-out", 0.25, "C3 paused: 1.0 s"]);
  assert.deepEqual(of("C2", 29), ["", "free", 0, "C2's lease is over"]);
  assert.deepEqual(of("C1", 0), ["", "free", 0, "nobody's"]);
  assert.deepEqual(of("", 0), ["", "free", 0, "nobody's"]);
  assert.deepEqual(of("C1", null), ["C1", "owned", null, "C1"]); // of a run that is over
});

test("shards are told by their owners, in numbers that are short", () => {
  const state = withShards(shard(0, "C1", 32), shard(1, "C1", 32, 3, 1), shard(2, "C2", 31, 9), shard(3, "", 0));
  assert.deepEqual([...shardsOf(state)], [["C1", [0, 1]], ["C2", [2]], ["C3", []]]);
  assert.equal(
    shardsLabel(state),
    "Who owns which shard: shard 0: C1, 0 waiting, 0 pending; shard 1: C1, 3 waiting, 1 pending; "
      + "shard 2: C2 dead: 1.0 s, 9 waiting, 0 pending; shard 3: nobody's, 0 waiting, 0 pending.",
  );
  assert.deepEqual([[], [3], [0, 1, 2, 7, 9, 10]].map(ranges), ["", "3", "0–2 7 9–10"]);
  assert.match(shardsTitle(state), /owns each; the bar is what is left of its lease$/);
  assert.match(shardsTitle(state, true), /at the right what waits in it$/);
  assert.match(shardsTitle(withShards(shard(0, "C1", null))), /last given entries of each$/);
});

test("up to twenty shards are strips, more are small boxes; none overlaps, and each has its place in the width", () => {
  for (const [n, isSmall, nRows] of [[1, false, 1], [4, false, 1], [18, false, 2], [20, false, 3], [21, true, 1], [64, true, 2]]) {
    const state = withShards(...Array.from({ length: n }, (_, i) => shard(i, "C1", 32)));
    const found = shardPlaces(state, 1250), { boxes } = found;
    assert.equal(found.isSmall, isSmall);
    assert.equal(new Set(boxes.map(({ y }) => y)).size, nRows, n);
    assert.ok(boxes.every(({ x, w, y, h }) => x >= 0 && w >= 30 && x + w <= 1251 && y + h <= found.height));
    for (const [i, { x, y, w }] of boxes.entries()) {
      const next = boxes[i + 1];
      if (next) assert.ok(next.y > y || next.x >= x + w);
    }
  }
});

test("each group has rows of its own for its shards, and lanes make room for their numbers", () => {
  const groups = ["workers", "billing"].map((name) => ({ name, backlog: 0, waiting: [] }));
  const shards = groups.flatMap(({ name }) => [0, 1].map((i) => [i, name, "", 0, 0, 0]));
  const { boxes: [a, b, c, d] } = shardPlaces({ ...withShards(...shards), groups }, 1000);
  assert.deepEqual([a.x, a.y, b.y, d.x], [c.x, b.y, a.y, b.x]);
  assert.ok(c.y > a.y && b.x > a.x);
  const left = (state) => lanes(state, 600, 120).left;
  assert.ok(left(withShards(shard(0, "C1", 32))) > left(withShards()));
});

const server = (role, isAlive, entries = 0, acks = 0) => ["server 1", role, isAlive, entries, acks];

test("a server's box says what it is, and what would be lost with it", () => {
  const words = (each, keeps = null, all = [each]) => serverWords(each, { all, keeps }).join(": ");
  const [primary, dead] = [server("primary", true), server("primary", false)], replica = server("replica", true, 2, 1);
  assert.equal(words(primary), "primary: takes writes");
  assert.equal(words(dead), "dead: was the primary");
  const lacks = "lacks 2 entries, 1 acknowledgement";
  assert.equal(words(replica, null, [primary, replica]), `replica: copies it, and ${lacks}`);
  assert.equal(words(server("replica", true), null, [primary, replica]), "replica: copies it, and lacks nothing");
  const node = (isAlive) => serverWords([":7001", "replica", isAlive, 0, 0, "copies :7000"], { all: [] }).join(": ");
  assert.deepEqual([true, false].map(node), ["replica: copies :7000", "down: copies :7000"]);
  assert.match(serverWords(replica, { all: [primary, replica], about: true })[1], /lacks about 2 entries, /); // of real ones
  assert.equal(words(replica, null, [dead, replica]), `replica: is to take its place, and ${lacks}`);
  assert.equal(words(replica, null, [dead, replica, replica]), `replica: ${lacks}`);
  const alone = (isAlive, keeps, entries = 1) => words(server("alone", isAlive, entries, 0), keeps);
  const one = "1 entry, 0 acknowledgements";
  assert.equal(alone(true, "rdb"), `alive: a crash now loses ${one} (since the last snapshot)`);
  assert.equal(alone(false, "rdb"), `down: comes back without ${one}`);
  assert.equal(alone(true, "aof-everysec"), `alive: a power cut now loses ${one} (not synced yet)`);
  assert.equal(alone(false, "aof-everysec"), `down: may come back without ${one}`);
  assert.equal(alone(true, "none"), `alive: a crash now loses ${one} (nothing is on its disk)`);
  for (const keeps of ["aof-always", null]) assert.equal(alone(true, keeps), "alive: all that it answered is on its disk");
  assert.equal(alone(true, "rdb", 0), "alive: all that it answered is on its disk");
});

test("what was lost is told by name, and that no replica is left", () => {
  const lost = [8, ["1-0", "2-0"]], again = [1, ["3-0"]], none = [0, []];
  assert.deepEqual(forgottenOf({ lost, n_unprocessed: 3, again }), [
    { words: "8 entries lost, 3 never processed:", ids: ["1-0", "2-0"], more: 6 },
    { words: "1 acknowledgement lost, so delivered again:", ids: ["3-0"], more: 0 },
  ]);
  const words = (n_unprocessed) => forgottenOf({ lost, n_unprocessed, again: none })[0].words;
  assert.match(words(8), /none was ever processed:$/);
  assert.match(words(0), /all had been processed:$/);
  assert.deepEqual(forgottenOf({ lost: none, n_unprocessed: 0, again: none }), []);
  const why = (word, ...roles) => whyNoServer({ all: roles.map((role) => server(role, true)) }, word);
  assert.equal(why("failover", "primary", "primary"), "No replica is left.");
  assert.equal(why("failover", "primary", "replica"), "");
  assert.equal(why("server-down", "alone"), "");
});

test("a run is played back so slowly that what the lanes show passes by in ten seconds, if that can be", () => {
  assert.deepEqual([20, 16, 5, 0.5, 5000].map(firstSpeed), [2, 1, 0.5, 0.1, 100]);
});
