"use strict";
const byId = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const element = document.createElement(tag);
  element.textContent = text ?? "";
  if (name) element.className = name;
  return element;
};

const note = (text) => {
  byId("log").prepend(make("li", `${new Date().toLocaleTimeString()}  ${text}`));
};

const carryOut = async (fault, button) => {
  button.disabled = true;
  try {
    const answer = await fetch(`/faults/${fault}`, { method: "POST" });
    const said = await answer.json();
    note(said.done ?? said.problem);
  } catch {
    note("the demo does not answer");
  }
  button.disabled = false;
};

const rows = {};
const rowOf = (node, faults) => {
  if (rows[node]) return rows[node];
  const row = make("tr");
  const cells = ["node", "token", "lanes"].map(() => make("td"));
  const acts = make("td");
  for (const fault of faults.filter((name) => name.endsWith(`-${node}`))) {
    const button = make("button", fault.replace(`-${node}`, "").replace("-", " "));
    button.addEventListener("click", () => carryOut(fault, button));
    acts.append(button);
  }
  row.append(make("th", node), ...cells, acts);
  byId("nodes").append(row);
  rows[node] = cells;
  return cells;
};

const show = (state) => {
  byId("signer").textContent = state.signer;
  byId("dashboard").href = state.dashboard_url;
  byId("rounds").replaceChildren(
    ...state.rounds.map((slots) => {
      const round = make("div", "", "round");
      round.append(...slots.map((slot) => make("span", "", `slot ${slot}`)));
      return round;
    }),
  );
  for (const [node, how] of Object.entries(state.nodes)) {
    const token = state.tokens[node] ?? { state: "unknown", lanes: 0 };
    const cells = rowOf(node, state.faults);
    [how, `token ${token.state}`, `${token.lanes} lanes`].forEach((text, place) => {
      cells[place].textContent = text;
    });
  }
};

const look = async () => {
  try {
    const answer = await fetch("/state");
    if (answer.ok) show(await answer.json());
  } catch {
    byId("signer").textContent = "the demo has ended";
  }
  setTimeout(look, 1000);
};
look();
