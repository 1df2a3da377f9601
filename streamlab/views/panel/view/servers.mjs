// The servers of a run: who is alive, who takes writes, what each lacks, and what has been lost. Only where a scenario
// says something of them.

import { button, classes, enable, make, Rows, write } from "./page.mjs";
import { link } from "./entries.mjs";
import { forgottenOf, serverWords, whyNoServer, whyNot } from "./state.mjs";

export function serversPart({ act, tell, buttons }) {
  const boxes = make("div", { class: "servers bar" }), losses = make("div", { class: "losses" });
  const rows = new Rows(boxes, newServer), lost = new Rows(losses, () => newLoss(tell));
  const does = buttons.filter(({ aim }) => aim === "server").map((each) => {
    return { each, node: button(each.label, () => act(each, {}), { look: "kill", hint: each.hint }) };
  });
  const node = make("section", { class: "servers", "aria-label": "Servers" },
    make("div", { class: "bar" }, make("h3", {}, "Servers"), boxes, ...does.map((one) => one.node)), losses);

  function update(state) {
    const { servers } = state;
    node.hidden = !servers;
    if (!servers) return;
    rows.update(servers.all, ([name]) => name, (row, server) => row.fill(server, servers));
    lost.update(forgottenOf(servers), ({ words }) => words.includes("acknowledgement"), (row, loss) => row.fill(loss));
    for (const { each, node: one } of does) {
      one.hidden = !servers.fit.includes(each.word);
      enable(one, whyNot(state) || whyNoServer(servers, each.word));
    }
  }
  return { node, update };
}

function newServer(name) {
  const state = make("span", { class: "state" }), lacks = make("small");
  const node = make("div", { "data-server": name }, make("strong", {}, name), " ", state, lacks);

  function fill(server, servers) {
    const [, role, isAlive] = server, [how, lack] = serverWords(server, servers);
    classes(node, `server ${role}${isAlive ? "" : " gone"}`);
    classes(state, `state ${isAlive ? "working" : "dead"}`);
    write(state, how);
    write(lacks, lack);
  }
  return { node, fill };
}

// What was lost, by name: each id tells its story.
function newLoss(tell) {
  const words = make("span"), ids = make("span", { class: "ids" }), more = make("span");
  const rows = new Rows(ids, (id) => ({ node: link(id, tell) }));
  const node = make("p", {}, words, " ", ids, more);

  function fill(loss) {
    write(words, loss.words);
    rows.update(loss.ids, (id) => id, () => {});
    write(more, loss.more ? ` and ${loss.more} more` : "");
  }
  return { node, fill };
}
