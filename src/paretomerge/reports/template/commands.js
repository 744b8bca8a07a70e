// Commands and settings to copy.

// In single quotes when a shell would read it in another way.
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\"'\"'")}'`);

// a=0.6,b=0.4 without what is null; null where a name cannot be written so.
function pairsText(names, values) {
  const given = names.map((name, i) => [name, values[i]]).filter(([, value]) => value !== null);
  return given.some(([name]) => name === null) ? null : quoted(given.map(([name, value]) => `${name}=${value}`).join(","));
}

// A mapping for a recipe or a training script; JSON's strings are YAML's too.
function yamlOf(tasks, weights) {
  const plain = (name) => /^[A-Za-z][\w.-]*$/.test(name) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(name);
  return ["weights:", ...tasks.map((task, t) => `  ${plain(task) ? task : JSON.stringify(task)}: ${weights[t]}`)].join("\n");
}

// Copies by the clipboard where the page may, else by selecting; says so on the button and to screen readers.
function copyButton(text, source, label = "Copy") {
  const button = html("button", { type: "button", class: "action", "aria-live": "polite" }, label);
  const done = () => { button.textContent = "Copied"; setTimeout(() => { button.textContent = label; }, 1500); };
  const select = () => { getSelection().selectAllChildren(source); if (document.execCommand("copy")) done(); };
  button.addEventListener("click", () => {
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, select);
    else select();
  });
  return button;
}

function copyable(text, id) {
  const code = html("code", { id, tabindex: 0 }, text);
  return html("div", { class: "copy" }, [code, copyButton(text, code)]);
}

// A heading with a command to copy, or the reason why there is none.
function offered(heading, text, id, reason) {
  const disabled = html("div", { class: "copy" }, [html("span", { class: "hint" }, reason), html("button", { type: "button", class: "action", disabled: "" }, "Copy")]);
  return [html("h4", {}, heading), text === null ? disabled : copyable(text, id)];
}
