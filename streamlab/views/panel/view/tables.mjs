// The tables: consumers with their buttons, and what is pending and how it is claimed.

import { atHand, inRow, unsuited } from "./buttons.mjs";
import { Drawing } from "./drawing.mjs";
import { faultsMenu } from "./faults.mjs";
import { drawLanes } from "./figures.mjs";
import { checkBox, link } from "./entries.mjs";
import { attribute, button, classes, enable, head, isFree, make, offer, Rows, show, write } from "./page.mjs";
import { keyOf } from "./layout.mjs";
import { byGroup, consumerRow, inGroup, pendingCount, pendingRow, seconds, whyNot } from "./state.mjs";

const ROW = 25, PENDING_HEIGHT = 232; // pixels, of the list of pending entries: as in view.css
const bar = (...children) => make("div", { class: "bar" }, ...children);

// ---- consumers -------------------------------------------------------------------------------------

export function consumersPart(does) {
  const { act, buttons } = does;
  const body = make("tbody"), lanes = new Drawing("", 110), faults = buttons.length ? faultsMenu(does) : null;
  const rows = new Rows(body, (name) => newConsumer(name, does));
  const heads = head([
    "name", "state", "#holds", "#pending", "#delivered", "#acked", "#twice", ...(faults ? ["#idle", ""] : []),
  ]);
  const which = make("select", { "aria-label": "Group to add a consumer to" });
  const choice = make("label", {}, "in ", which);
  const ofGroup = atHand(buttons, "group").map((each) => {
    return button(each.label, () => act(each, choice.hidden ? {} : { group: which.value }), { hint: each.hint });
  });
  const node = make("section", { class: "holders", "aria-label": "Consumers" },
    bar(make("h3", {}, "Consumers"), ...ofGroup, ...(faults ? [choice, faults.opener] : [])),
    ...(faults ? [faults.node] : []),
    make("div", { class: "scroll consumers" }, make("table", { "aria-label": "Consumers" }, heads, body)),
    lanes.canvas);

  function update(state) {
    rows.update(state.consumers, (c) => c.name, (row, c) => row.fill(state, c));
    for (const each of ofGroup) enable(each, whyNot(state));
    offer(which, state.groups.map(({ name }) => [name, name]));
    choice.hidden = state.groups.length === 1;
    faults?.update(state);
    drawLanes(lanes, state);
  }
  return { node, update };
}

function newConsumer(name, { act, buttons }) {
  const how = make("span", { class: "state" }), label = make("strong", {}, name), of = make("small");
  const counts = ["holding", "pending", "delivered", "acked", "again"].map((key) => [key, make("td", { class: "n" })]);
  const idle = make("td", { class: "n" });
  const places = inRow(buttons).map((place) => newPlace(name, act, place));
  const node = make("tr", { "data-consumer": name }, make("td", { role: "rowheader" }, label, of), make("td", {}, how),
    ...counts.map(([, cell]) => cell));
  // When one last asked is the server's to say, which a recording does not know.
  const does = make("td", {}, make("span", { class: "buttons" }, ...places.map((place) => place.node)));
  if (buttons.length) node.append(idle, does);

  function fill(state, consumer) {
    const row = consumerRow(consumer);
    write(of, state.groups.length > 1 ? ` ${consumer.group}` : "");
    classes(node, row.look);
    attribute(node, "title", row.hint);
    classes(how, `state ${consumer.state}`);
    write(how, consumer.state);
    for (const [key, cell] of counts) write(cell, consumer[key]);
    write(idle, seconds(consumer.idle));
    for (const place of places) place.fill(state, consumer);
  }
  return { node, fill };
}

// A button for one consumer, in whose place another one stands as long as there is something to undo.
function newPlace(name, act, { does, undo }) {
  let now = does;
  const node = button(does.label, () => act(now, { target: name }), { look: does.word });

  function fill(state, consumer) {
    now = undo && !unsuited(undo, consumer) ? undo : does;
    write(node, now.label);
    attribute(node, "aria-label", `${now.label} ${name}`);
    enable(node, whyNot(state) || unsuited(now, consumer), now.hint);
  }
  return { node, fill };
}

// ---- what is pending -------------------------------------------------------------------------------

// The list, its title, and the controls by which entries are claimed, if anything is to be done.
export function pendingPart({ act, tell, buttons }) {
  const picked = new Set(), list = pendingList(tell, buttons.length ? picked : null, () => claims.update(state));
  const claims = buttons.length ? claimControls(act, buttons, picked) : watched();
  const total = make("span", { class: "badge" });
  let state = null;
  const node = make("section", { "aria-label": "Pending entries list" },
    bar(make("h3", {}, "Pending entries list"), total, make("span", { class: "grow" }), ...claims.above),
    list.node, ...claims.below);

  function update(now) {
    state = now;
    const there = new Set(state.pending.map(keyOfRow));
    for (const key of picked) if (!there.has(key)) picked.delete(key);
    write(total, pendingCount(state));
    list.update(state);
    claims.update(state);
  }
  return { node, update };
}

const keyOfRow = ([id, , , , , group]) => keyOf(id, group);

// What stands there instead of the controls of a run that is only looked at.
function watched() {
  const minIdle = make("span", { title: "the mark in the bars of idle time" });
  return { above: [minIdle], below: [], update: (state) => write(minIdle, `min-idle ${seconds(state.min_idle)}`) };
}

function pendingList(tell, picked, changed) {
  const body = make("tbody");
  const rows = new Rows(body, (key) => newPending(key, tell, picked, changed));
  const words = ["entry id", "owner", "idle time", "#delivery count"], looks = ["id", "owner", "idle", ""];
  const heads = picked ? head(["", ...words, "fields"], ["pick", ...looks]) : head(words, looks);
  let state = null, scrolled = 0;
  const onscroll = () => {
    scrolled = node.scrollTop;
    if (state) update(state);
  };
  const table = make("table", { class: "pending-table", "aria-label": "Pending entries" }, heads, body);
  const node = make("div", {
    class: "scroll pending", onscroll, tabindex: "0", role: "region", "aria-label": "Pending entries",
  }, table);

  function update(now) {
    state = now;
    const owners = new Map(state.consumers.map((c) => [c.name, c]));
    rows.update(state.pending, keyOfRow, (row, entry, i) => {
      row.fill(entry, owners.get(entry[1]), state, Math.abs(i * ROW - scrolled) < 2 * PENDING_HEIGHT);
    });
  }
  return { node, update };
}

function claimControls(act, buttons, picked) {
  let state = null;
  const [recovery] = atHand(buttons, "recovery");
  const owner = make("select", { "aria-label": "New owner" });
  const claims = atHand(buttons, "pending entries").map((each) => {
    const ofPicked = each.fields.some(({ name }) => name === "ids");
    const claim = () => {
      const values = { consumer: owner.value, ...(atOnce.checked && { min_idle: 0 }) };
      const isOne = state.groups.length === 1;
      if (ofPicked) {
        for (const [group, ids] of byGroup(picked)) act(each, { ...values, ids, ...(!isOne && { group }) });
        picked.clear();
      } else if (isOne || owner.value) act(each, values);
      else for (const { name } of state.groups) act(each, { ...values, group: name });
    };
    const look = ofPicked ? each.word : `main ${each.word}`;
    return { ...each, ofPicked, node: button(each.label, claim, { look, hint: each.hint }) };
  });
  const minIdle = make("input", {
    type: "number", min: "0.1", step: "0.5", "aria-label": "min-idle, in seconds",
    onchange: () => act(recovery, { min_idle: Number(minIdle.value) }),
  });
  const recover = (isOn) => act(recovery, { strategy: isOn ? strategy.value : "none" });
  const automatic = make("input", { type: "checkbox", class: "automatic", onchange: () => recover(automatic.checked) });
  const strategy = make("select", {
    "aria-label": "Strategy of automatic recovery", onchange: () => automatic.checked && recover(true),
  });
  const atOnce = make("input", { type: "checkbox" });
  const above = [
    make("label", { title: "the mark in the bars of idle time" }, "min-idle ", minIdle, " s"),
    ...claims.map((claim) => claim.node),
  ];
  const below = make("div", { class: "bar below" }, make("label", {}, "new owner ", owner),
    make("label", { title: "Claim whatever has been idle for 0 s or more." }, atOnce, " at once"),
    make("label", { title: recovery.hint }, automatic, ` ${recovery.label} by `), strategy);

  function update(now) {
    state = now;
    offer(owner, [["", "who holds least"], ...state.consumers.map((c) => [c.name, inGroup(c.name, c.group, state)])]);
    for (const { label, ofPicked, node } of claims) {
      enable(node, whyNot(state) || (ofPicked && !picked.size ? "Pick entries first, by their check boxes." : ""));
      if (ofPicked) write(node, picked.size ? `${label} ${picked.size}` : label);
    }
    offer(strategy, Object.entries(state.strategies));
    if (isFree(automatic)) automatic.checked = state.strategy !== "none";
    if (state.strategies[state.strategy]) show(strategy, state.strategy);
    show(minIdle, state.min_idle);
  }
  return { above, below: [below], update };
}

function newPending(key, tell, picked, changed) {
  const id = key.split(" ", 1)[0];
  let missed = 9;
  const pick = picked && checkBox(key, picked, changed, `Pick ${id}`);
  const owner = make("td"), count = make("td", { class: "n" }), fields = make("td", { class: "fields" });
  const meter = make("span", { class: "meter", "aria-hidden": "true" }), idle = make("span");
  const node = make("tr", { "data-entry": id }, ...(pick ? [make("td", {}, pick)] : []),
    make("td", {}, link(id, tell)), owner, make("td", {}, meter, idle), count, ...(pick ? [fields] : []));

  function fill(entry, holder, state, isInSight) {
    const row = pendingRow(entry, holder, state.min_idle);
    classes(node, row.look);
    write(owner, inGroup(row.owner, entry[5], state));
    // Idle times change all the time. Rows that are scrolled out of sight wait for each tenth update, or most of the
    // work would be theirs.
    const isDue = isInSight || missed >= 9;
    missed = isDue ? 0 : missed + 1;
    if (isDue) {
      attribute(meter, "style", `--idle: ${row.share}`);
      classes(meter, row.meter);
      write(idle, row.idle);
    }
    write(count, entry[3]);
    write(fields, entry[4]);
    if (pick && pick.checked !== picked.has(key)) pick.checked = picked.has(key);
  }
  return { node, fill };
}
