// The page without this script is complete but still. It adds filters, the story of each cell, and keys to move by.
// Every text reaches the page as text (textContent), never as HTML.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { columns, texts, causes } = data;
  const count = columns.id.length;
  const text = (name, i) => texts[columns[name][i]];
  const flag = (name, i) => Boolean(columns.flags[i] & (1 << data.flags.indexOf(name)));
  const [VERDICT, GLYPH, WORD, MEANING] = [0, 1, 2, 3];

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const byId = (id) => document.getElementById(id);

  // ------------------------------------------------------------------- the maps

  const maps = [...document.querySelectorAll(".map")].map((section) => {
    const table = section.querySelector("table");
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, cells: [...row.cells].slice(1) }));
    const [groups, titles] = [...table.tHead.rows].map((row) => [...row.cells].slice(1));
    return { section, table, rows, groups, titles, spans: groups.map((th) => th.colSpan) };
  });
  const cellOf = new Array(count);
  for (const map of maps) {
    map.table.setAttribute("role", "grid");
    map.rows.forEach(({ cells }) => cells.forEach((td) => { if (td.dataset.i) cellOf[td.dataset.i] = td; }));
  }

  // ------------------------------------------------------------------- filters

  const FILTERS = [
    ["framework", "Framework", (i) => text("framework", i)],
    ["version", "Version", (i) => text("version", i)],
    ["cuda", "CUDA", (i) => text("cuda", i)],
    ["gpu", "GPU", (i) => text("gpu", i)],
    ["verdict", "Verdict", (i) => causes[text("cause", i)][VERDICT]],
    ["cause", "Cause", (i) => text("cause", i)],
  ];
  const CHECKS = [
    ["unexpected", "unexpected only", (i) => flag("unexpected", i)],
    ["unbuilt", "versions without any build", null],
  ];
  const controls = {};
  const byNumber = (a, b) => a.localeCompare(b, "en", { numeric: true });
  const gpuName = (place) => {
    const [capability, gpu] = place.split(" ");
    return `sm${capability.replace(".", "")}${gpu ? ` ${gpu}` : ""}`;
  };
  const shown = make("output");

  const buildFilters = () => {
    const form = byId("filters");
    for (const [name, title, of] of FILTERS) {
      const values = new Set();
      for (let i = 0; i < count; i += 1) values.add(of(i));
      const label = (value) => (name === "gpu" ? gpuName(value) : value);
      const select = make("select", { name }, make("option", { value: "", textContent: "all" }));
      for (const value of [...values].sort(byNumber)) select.append(make("option", { value, textContent: label(value) }));
      form.append(make("label", {}, title, select));
      controls[name] = select;
    }
    for (const [name, title] of CHECKS) {
      controls[name] = make("input", { type: "checkbox", name });
      form.append(make("label", { className: "check" }, controls[name], title));
    }
    form.append(make("button", { type: "button", className: "reset", textContent: "Show all" }), shown);
    form.addEventListener("change", () => { apply(); remember(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    document.querySelectorAll(".reset").forEach((button) => button.addEventListener("click", () => {
      clear();
      apply();
      remember();
    }));
  };

  const clear = () => {
    for (const control of Object.values(controls)) {
      if (control.type === "checkbox") control.checked = false; else control.value = "";
    }
  };

  const matching = () => {
    const active = FILTERS.filter(([name]) => controls[name].value);
    const matches = new Uint8Array(count);
    for (let i = 0; i < count; i += 1) {
      matches[i] = active.every(([name, , of]) => of(i) === controls[name].value)
        && (!controls.unexpected.checked || flag("unexpected", i)) ? 1 : 0;
    }
    return [matches, active.length > 0 || controls.unexpected.checked];
  };

  const hide = (element, hidden) => { if (element.hidden !== hidden) element.hidden = hidden; };

  // Rows and columns without a matching cell go; cells that do not match fade, so that the rest keeps its place.
  const apply = () => {
    const [matches, filtered] = matching();
    const unbuiltToo = controls.unbuilt.checked || controls.cause.value === "no-build"
      || controls.verdict.value === "resolve-failure";
    for (const map of maps) {
      const inColumn = map.titles.map(() => false);
      const inRow = map.rows.map(({ cells }) => {
        let any = false;
        cells.forEach((td, column) => {
          const match = td.dataset.i !== undefined && matches[td.dataset.i] === 1;
          if (match) { any = true; inColumn[column] = true; }
          td.classList.toggle("off", filtered && !match);
        });
        return any;
      });
      const visible = map.titles.map((th, column) => inColumn[column] && (unbuiltToo || !th.classList.contains("unbuilt")));
      map.titles.forEach((th, column) => hide(th, !visible[column]));
      map.rows.forEach(({ row, cells }, place) => {
        hide(row, !inRow[place]);
        cells.forEach((td, column) => hide(td, !visible[column]));
      });
      let first = 0;
      map.groups.forEach((th, group) => {
        const span = visible.slice(first, first + map.spans[group]).filter(Boolean).length;
        first += map.spans[group];
        hide(th, span === 0);
        if (span) th.colSpan = span;
      });
      hide(map.section, !visible.includes(true) && (filtered || !map.section.querySelector(".unbuilt-note")));
      enterable(map);
    }
    const total = matches.reduce((sum, match) => sum + match, 0);
    shown.textContent = filtered ? `${total} of ${count} tuples` : `${count} tuples`;
    hide(byId("nothing"), total > 0);
  };

  // ------------------------------------------------------------------- keys

  // One cell of each map can be reached by Tab, the others from it by the arrow keys.
  const enterable = (map, chosen) => {
    map.table.querySelector("td[tabindex='0']")?.setAttribute("tabindex", "-1");
    const cells = map.rows.filter(({ row }) => !row.hidden).flatMap((each) => each.cells);
    const target = chosen ?? cells.find((td) => !td.hidden && td.dataset.i);
    target?.setAttribute("tabindex", "0");
  };

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  const moved = (map, td, key) => {
    const rows = map.rows.filter(({ row }) => !row.hidden).map(({ cells }) => cells.filter((each) => !each.hidden));
    const y = rows.findIndex((cells) => cells.includes(td));
    const x = rows[y].indexOf(td);
    if (key === "Home") return rows[y][0];
    if (key === "End") return rows[y].at(-1);
    const [down, right] = STEPS[key];
    return rows[y + down]?.[x + right];
  };

  const onKey = (map) => (event) => {
    const td = event.target.closest("tbody td");
    if (!td || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (td.dataset.i) open(Number(td.dataset.i));
    } else if (event.key in STEPS || event.key === "Home" || event.key === "End") {
      event.preventDefault();
      const target = moved(map, td, event.key);
      if (!target) return;
      target.tabIndex = -1;
      enterable(map, target);
      target.focus();
      target.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  };

  // ------------------------------------------------------------------- the story of a tuple

  const story = byId("story");
  let told = -1;

  const seconds = (value) => {
    if (value < 0) return "";
    if (value < 120) return `${Math.round(value * 10) / 10} s`;
    return value < 7200 ? `${Math.round(value / 60)} min` : `${(value / 3600).toFixed(1)} h`;
  };

  const link = (address) => (/^https?:\/\//.test(address)
    ? make("a", { href: address, textContent: address, target: "_blank", rel: "noopener noreferrer" })
    : address);

  const change = (i) => {
    const was = text("was", i);
    const before = was ? `, was ${causes[was][WORD]}` : "";
    return text("change", i) ? `${text("change", i)}${before}: ${text("likely", i)}` : "";
  };

  const prediction = (i) => {
    if (!text("predicted", i)) return "";
    const kind = flag("audit", i) ? "an audit of rule" : "by rule";
    const fared = flag("tells", i) ? (flag("surprise", i) ? "It came otherwise. " : "So it came. ") : "Not put to the test. ";
    return `${text("predicted", i)}, ${kind} ${text("predicted_by", i)}. ${fared}${text("predicted_why", i)}`;
  };

  const reasons = (i) => [
    ["Last sweep", change(i), flag("unexpected", i)],
    ["Predicted", prediction(i), flag("surprise", i)],
    ["Known issue", text("known", i)],
    ["", text("known", i) && link(text("known_link", i))],
  ];

  const details = (i) => [
    ["Rung", text("rung", i)],
    ["Rule", text("rule", i)],
    ["GPU", text("device", i)],
    ["Driver", text("driver", i)],
    ["Machine", text("machine", i)],
    ["UUID", text("uuid", i)],
    ["Build", text("build", i)],
    ["Lock", text("lock", i)],
    ["Source", text("source", i)],
    ["Ran", text("started", i) && `${seconds(columns.ran[i])}, from ${text("started", i)}`],
    ["Waited", seconds(columns.queued[i])],
    ["Speed", text("speed", i)],
    ["Own command", text("payload", i)],
    ["Attempts", columns.attempts[i] ? String(columns.attempts[i]) : ""],
  ];

  const list = (facts) => {
    const element = make("dl");
    for (const [title, value, marked] of facts.filter(([, each]) => each)) {
      element.append(make("dt", { textContent: title }), make("dd", { className: marked ? "surprise" : "" }, value));
    }
    return element;
  };

  const evidence = (i) => {
    const file = text("file", i).replace("*", text("id", i));
    const line = columns.line[i] < 0 ? "" : `:${columns.line[i]}`;
    return [
      make("h3", { textContent: "Evidence" }),
      make("code", { textContent: file + line }),
      make("pre", { textContent: text("excerpt", i) || text("reason", i) }),
    ];
  };

  const rerun = (i) => {
    if (!flag("submitted", i)) {
      return [make("p", {}, make("small", { textContent: "Settled without a job: there is nothing to run again. With rules.audit some such tuples are tested all the same." }))];
    }
    return [
      make("h3", { textContent: "Run it again" }),
      make("pre", { textContent: `sweep rerun ${text("id", i)} ${data.directory}` }),
      make("button", { type: "button", className: "copy", textContent: "Copy" }),
    ];
  };

  const tell = (i) => {
    const [verdict, glyph, word, meaning] = causes[text("cause", i)];
    const unknown = verdict === "inconclusive" ? "Unknown: " : "";
    const how = flag("submitted", i) ? "tested" : "settled without a job";
    const close = make("button", { type: "button", className: "close", textContent: "Close" });
    close.addEventListener("click", shut);
    story.replaceChildren(
      close,
      make("h2", { id: "story-title", textContent: text("id", i) }),
      make("p", { className: `verdict ${verdict}`, textContent: `${glyph} ${verdict}: ${word === "works" ? "all-rungs" : word} (${how})` }),
      make("p", { className: "reason", textContent: `${unknown}${text("reason", i)}` }),
      make("p", {}, make("small", { textContent: `${meaning[0].toUpperCase()}${meaning.slice(1)}.` })),
      list(reasons(i)),
      ...evidence(i),
      ...rerun(i),
      make("h3", { textContent: "How it went" }),
      list(details(i)),
    );
  };

  const show = (i) => {
    if (told >= 0) cellOf[told]?.classList.remove("open");
    told = i;
    story.hidden = i < 0;
    if (i < 0) return;
    tell(i);
    cellOf[i]?.classList.add("open");
    story.scrollTop = 0;
    story.focus({ preventScroll: true });
  };

  const open = (i) => { location.hash = fragment(text("id", i)); };
  const shut = () => {
    const back = cellOf[told];
    show(-1);
    remember();
    if (back && !back.hidden) back.focus({ preventScroll: true });
  };

  // ------------------------------------------------------------------- copying

  const say = (words) => { byId("said").textContent = words; };

  // A button of class `copy` copies what stands right before it.
  const copy = async (button) => {
    const source = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // Not allowed here (an old browser, a mail program): the selection can be copied by hand at the worst.
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) return;
    }
    button.textContent = "Copied";
    say("Copied");
  };

  // ------------------------------------------------------------------- the address: a view that can be sent

  const fragment = (tuple) => {
    const view = new URLSearchParams();
    for (const [name, control] of Object.entries(controls)) {
      const value = control.type === "checkbox" ? (control.checked ? "yes" : "") : control.value;
      if (value) view.set(name, value);
    }
    if (tuple) view.set("tuple", tuple);
    return view.toString();
  };

  const remember = () => {
    const view = fragment(told >= 0 ? text("id", told) : "");
    try {
      history.replaceState(null, "", view ? `#${view}` : location.pathname + location.search);
    } catch {
      // A frame without an address of its own, such as a mail program's: there is nothing to be sent.
    }
  };

  // A link to a tuple says nothing of filters, and leaves them as they are; one to a section is not a view at all.
  const recall = () => {
    if (location.hash && byId(location.hash.slice(1))) return;
    const view = new URLSearchParams(location.hash.slice(1));
    const tuple = view.get("tuple");
    if ([...view.keys()].some((name) => name in controls) || !tuple) {
      clear();
      for (const [name, value] of view) {
        const control = controls[name];
        if (control?.type === "checkbox") control.checked = value === "yes"; else if (control) control.value = value;
      }
      apply();
    }
    show(tuple ? texts.indexOf(tuple) >= 0 ? columns.id.indexOf(texts.indexOf(tuple)) : -1 : -1);
  };

  // ------------------------------------------------------------------- begin

  document.documentElement.classList.add("on");
  buildFilters();
  for (const map of maps) {
    map.table.addEventListener("keydown", onKey(map));
    map.table.addEventListener("click", (event) => {
      const td = event.target.closest("td[data-i]");
      if (!td) return;
      td.tabIndex = -1;
      enterable(map, td);
      open(Number(td.dataset.i));
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && told >= 0) shut(); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(button);
  });
  addEventListener("hashchange", recall);
  apply();
  if (location.hash) recall();
})();
