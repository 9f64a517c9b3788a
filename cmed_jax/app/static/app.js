// Sends a pattern, follows its prediction, and shows the report when it is done.
"use strict";

const at = (id) => document.getElementById(id);
const PAUSE = 400; // milliseconds between questions

function show(element, shown) {
  element.hidden = !shown;
  for (const field of [element, ...element.querySelectorAll("input")]) {
    if ("disabled" in field) field.disabled = !shown;
  }
}

function say(status, error = "") {
  at("status").textContent = status;
  at("error").textContent = error;
}

function describeFile() {
  const [file] = at("file").files;
  if (!file) return;
  at("name").textContent = file.name;
  at("size").textContent = file.size < 1e6 ? `${Math.ceil(file.size / 1e3)} kB` : `${(file.size / 1e6).toFixed(1)} MB`;
}

function question() {
  const asked = new URLSearchParams({ name: at("file").files[0].name });
  const radiation = at("radiation").value;
  asked.set("wavelength", radiation === "other" ? at("wavelength").value : radiation);
  const knowledge = at("knowledge").value;
  asked.set(knowledge, at("composition").value.replaceAll(",", knowledge === "elements" ? " " : ","));
  const cell = at("cell").value;
  const numbers = [...at("parameters").querySelectorAll("input")].map((field) => field.value);
  asked.set("cell", cell === "given" ? numbers.join(" ") : cell);
  if (cell === "given") asked.set("centring", at("centring").value);
  return asked;
}

async function answered(response) {
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function predict() {
  const sent = await fetch(`/predictions?${question()}`, { method: "POST", body: at("file").files[0] });
  const { id } = await answered(sent);
  const started = Date.now();
  for (;;) {
    const task = await answered(await fetch(`/predictions/${id}`));
    if (task.state === "failed") throw new Error(task.error);
    if (task.state === "done") return { id, ...task };
    const seconds = Math.round((Date.now() - started) / 1000);
    const step = `Step ${task.done + 1} of ${task.of}: ${task.step}, ${seconds} s`;
    say(task.state === "waiting" ? `Waiting for ${task.ahead} before it, ${seconds} s` : step);
    Object.assign(at("progress"), { max: task.of, value: task.state === "waiting" ? 0 : task.done });
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

function present({ id, files, alarms }) {
  at("alarms").replaceChildren(
    ...alarms.map((sentence) => Object.assign(document.createElement("li"), { textContent: sentence })),
  );
  const links = files.map((name) => {
    const link = document.createElement("a");
    link.href = `/predictions/${id}/${encodeURIComponent(name)}`;
    link.textContent = name;
    link.download = name;
    return link;
  });
  at("downloads").replaceChildren("Download ", ...links);
  at("report").src = links[0].href;
  at("answer").hidden = false;
}

at("file").addEventListener("change", describeFile);
at("radiation").addEventListener("change", (event) => show(at("angstroms"), event.target.value === "other"));
at("cell").addEventListener("change", (event) => show(at("parameters"), event.target.value === "given"));
at("report").addEventListener("load", () => {
  const [frame, page] = [at("report"), at("report").contentDocument.documentElement];
  new ResizeObserver(() => (frame.style.height = `${page.offsetHeight}px`)).observe(page);
});

for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  at("drop").addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", over);
    if (name !== "drop") return;
    at("file").files = event.dataTransfer.files;
    describeFile();
  });
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [button, progress] = [event.target.querySelector("button"), at("progress")];
  button.disabled = true;
  progress.hidden = false;
  progress.value = 0;
  at("answer").hidden = true;
  say("Sending");
  try {
    present(await predict());
    say("Done");
    at("answer").scrollIntoView({ behavior: "smooth" });
  } catch (error) {
    say("", error.message);
  }
  button.disabled = false;
  progress.hidden = true;
});
