"use strict";
// The question browser. Whatever a model or a dataset wrote reaches the page as text only, never as HTML.
(() => {
  const RIGHT = 1, CUT = 2, UNPARSED = 4, PART = 30;
  const root = document.getElementById("browser");
  if (!root) return;
  root.replaceChildren(make("p", {}, "Unpacking the answers …"));
  const listed = JSON.parse(document.getElementById("columns").textContent);
  const models = [...new Set(listed.columns.map((column) => column.model))];
  // What is asked for: a state for each column by its number, words, one question, and whose columns are left out.
  const wanted = { model: models[0], states: new Map(), text: "", only: null, hidden: new Set() };
  let data = null, shown = [], drawn = 0, parts = {};

  const STATES = [["", "any"], ["right", "right"], ["wrong", "wrong"], ["cut", "cut at the length limit"],
    ["none", "no answer found"]];
  const is = (answer, state) => state === "" || (answer && (
    state === "right" ? answer[2] & RIGHT : state === "wrong" ? !(answer[2] & RIGHT)
      : state === "cut" ? answer[2] & CUT : answer[2] & UNPARSED));
  const mine = () => listed.columns.map((column, number) => ({ ...column, number })).filter(
    (column) => column.model === wanted.model);
  const seen = () => mine().filter((column) => !wanted.hidden.has(column.number));

  function make(tag, attributes = {}, ...inside) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null) element.setAttribute(name, value);
    }
    element.append(...inside);
    return element;
  }

  async function unpack() {
    const binary = atob(document.getElementById("answers").textContent);
    const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    data = JSON.parse(await new Response(stream).text());
    data.words = data.questions.map((row, place) => [row[1], row[2], ...data.answers[place].map(
      (answer) => answer ? answer[0] : "")].join("\n").toLowerCase());
  }

  function matches(place) {
    if (wanted.only !== null) return data.questions[place][0] === wanted.only;
    for (const [number, state] of wanted.states) if (!is(data.answers[place][number], state)) return false;
    return !wanted.text || data.words[place].includes(wanted.text);
  }

  // --- the filter -------------------------------------------------------------------------------------------------

  function choice(name, options, value, change) {
    const select = make("select", { onchange: () => change(select.value) },
      ...options.map(([key, text]) => make("option", { value: key }, text)));
    select.value = value;
    return make("label", {}, name, make("br"), select);
  }

  function filters() {
    const form = make("form", { class: "filters", onsubmit: (event) => event.preventDefault() });
    if (models.length > 1) form.append(choice("Model", models.map((name) => [name, name]), wanted.model, (value) => {
      wanted.model = value;
      wanted.states.clear();
      wanted.hidden.clear();
      everything();
    }));
    const input = make("input", { type: "search", value: wanted.text, oninput: () => {
      wanted.text = input.value.toLowerCase();
      wanted.only = null;
      list();
    } });
    form.append(make("label", {}, "Words in question or answers", make("br"), input));
    const who = make("fieldset", { class: "who" }, make("legend", {}, "Only questions that are answered"));
    for (const column of mine()) who.append(choice(`by ${column.name}`, STATES, wanted.states.get(column.number) || "",
      (value) => {
        ask(column.number, value);
        list();
      }));
    form.append(make("button", { type: "button", onclick: () => {
      Object.assign(wanted, { states: new Map(), text: "", only: null });
      everything();
    } }, "Show all questions"), who, whose());
    return form;
  }

  // Whose answers are shown: a box for each, folded away until one wants fewer.
  function whose() {
    const boxes = mine().map((column) => {
      const box = make("input", { type: "checkbox", onchange: () => {
        if (box.checked) wanted.hidden.delete(column.number); else wanted.hidden.add(column.number);
        list();
      } });
      box.checked = !wanted.hidden.has(column.number);
      return make("label", {}, box, ` ${column.name}`);
    });
    return make("details", { class: "whose" }, make("summary", {}, "Show the answers of …"),
      make("fieldset", {}, make("legend", {}, "Show the answers of"), ...boxes));
  }

  function ask(number, state) {
    wanted.only = null;
    if (state) wanted.states.set(number, state); else wanted.states.delete(number);
  }

  function pairs() {
    const columns = mine(), table = make("table", { class: "pairs" });
    table.append(make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "right ↓, wrong →"),
      ...columns.map((column) => make("th", { scope: "col" }, column.name)))));
    const body = make("tbody");
    for (const row of columns) {
      const cells = columns.map((column) => {
        if (row.number === column.number) return make("td", {}, "–");
        const count = data.answers.filter((answers) => answers[row.number] && answers[column.number]
          && is(answers[row.number], "right") && is(answers[column.number], "wrong")).length;
        return make("td", {}, make("button", {
          type: "button", "aria-label": `${count} questions that ${row.name} gets right and ${column.name} wrong`,
          onclick: () => {
            Object.assign(wanted, { states: new Map([[row.number, "right"], [column.number, "wrong"]]), text: "", only: null });
            everything();
            parts.count.scrollIntoView();
            parts.count.focus();
          },
        }, String(count)));
      });
      body.append(make("tr", {}, make("th", { scope: "row" }, row.name), ...cells));
    }
    table.append(body);
    return make("div", {}, make("p", {}, "How many questions the row gets right and the column wrong; a number shows them."),
      make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Who was right where another was wrong" }, table));
  }

  // --- the list ---------------------------------------------------------------------------------------------------

  function marks(place) {
    return make("span", { class: "marks" }, ...seen().map((column) => {
      const answer = data.answers[place][column.number];
      if (!answer) return "";
      const right = Boolean(answer[2] & RIGHT);
      const name = column.label.split(" · ")[0];
      return make("span", { class: `mark ${right ? "right" : "wrong"}`, title: column.name },
        `${name} ${right ? "✓" : "✗"}`);
    }));
  }

  function card(column, answer) {
    const right = Boolean(answer[2] & RIGHT), facts = make("p", { class: "facts" });
    facts.append(answer[1] === null ? "no answer found" : `answer ${answer[1]}`, `, ${answer[3]} tokens`);
    const heading = make("h4", {}, `${column.name} `, make("span", { class: `mark ${right ? "right" : "wrong"}` },
      right ? "✓ right" : "✗ wrong"));
    if (answer[2] & CUT) heading.append(" ", make("span", { class: "mark cut" }, "cut at the length limit"));
    return make("article", {}, heading, facts, make("p", { class: "text" }, answer[0]));
  }

  function question(place) {
    const [number, asked, reference, value] = data.questions[place];
    const details = make("details", { class: "question", id: `question-${number}` });
    const start = asked.length > 110 ? `${asked.slice(0, 110)}…` : asked;
    details.append(make("summary", {}, make("strong", {}, `Question ${number}`), make("span", { class: "start" }, start), marks(place)));
    details.addEventListener("toggle", () => {
      if (!details.open || details.childElementCount > 1) return;
      const columns = seen().filter((column) => data.answers[place][column.number]);
      details.append(make("div", { class: "inside" }, make("p", { class: "text" }, asked),
        make("h3", {}, `Reference answer${value === null ? "" : `: ${value}`}`), make("p", { class: "text" }, reference),
        make("p", {}, make("a", { href: `#question-${number}` }, "Link to this question")),
        make("div", { class: "answers" }, ...columns.map((column) => card(column, data.answers[place][column.number])))));
    });
    return details;
  }

  function more() {
    for (const place of shown.slice(drawn, drawn + PART)) parts.list.append(question(place));
    drawn = Math.min(drawn + PART, shown.length);
    parts.more.hidden = drawn === shown.length;
    // Looked at anew: it may be in view still.
    watch.unobserve(parts.more);
    watch.observe(parts.more);
  }

  function list() {
    shown = data.questions.map((_, place) => place).filter(matches);
    drawn = 0;
    parts.list.replaceChildren();
    parts.count.textContent = `${shown.length} of ${data.questions.length} questions`;
    more();
    if (wanted.only !== null && parts.list.firstChild) parts.list.firstChild.open = true;
  }

  function everything() {
    parts = {
      count: make("p", { class: "count", role: "status", tabindex: "-1" }),
      list: make("div"),
      more: make("button", { type: "button", onclick: more }, "Show more"),
    };
    root.replaceChildren(pairs(), filters(), parts.count, parts.list, parts.more);
    watch.disconnect();
    list();
  }

  // As one scrolls, the next questions are put on the page; the button does so for a keyboard.
  const watch = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && data && drawn < shown.length) more();
  }, { rootMargin: "800px" });

  let opening = null;
  function open() {
    opening ??= unpack().then(everything).catch((error) => {
      root.replaceChildren(make("p", {}, `This browser can't unpack the answers: ${error.message}`));
    });
    return opening;
  }

  async function follow() {
    const found = /^#question-(\d+)$/.exec(location.hash);
    if (location.hash !== "#questions" && !found) return;
    await open();
    if (!found || !data) return;
    Object.assign(wanted, { states: new Map(), text: "", only: Number(found[1]) });
    everything();
    (parts.list.firstChild || parts.count).scrollIntoView();
  }

  addEventListener("hashchange", follow);
  const near = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      near.disconnect();
      open();
    }
  }, { rootMargin: "600px" });
  near.observe(document.getElementById("questions"));
  follow();
})();
