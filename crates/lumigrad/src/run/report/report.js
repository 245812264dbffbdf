(() => {
  "use strict";
  for (const box of document.querySelectorAll(".compare")) {
    const views = JSON.parse(box.querySelector("script").textContent);
    const stage = box.querySelector(".stage"), choose = box.querySelector(".choose");
    const [under, over, handle] = ["under", "over", "handle"].map((c) => stage.querySelector("." + c));
    const thumbs = [...box.querySelectorAll(".strip button")];
    let view = 0, at = 50;
    const side = { l: 0, r: 1 };
    const place = () => {
      over.style.clipPath = `inset(0 0 0 ${at}%)`;
      handle.style.left = at + "%";
      stage.setAttribute("aria-valuenow", Math.round(at));
    };
    const show = () => {
      const states = views[view].states, last = states.length - 1;
      const l = states[Math.min(side.l, last)], r = states[Math.min(side.r, last)];
      under.src = l.src;
      over.src = r.src;
      stage.querySelector(".tag.l").textContent = l.name;
      stage.querySelector(".tag.r").textContent = r.name;
      thumbs.forEach((t, k) => t.classList.toggle("on", k === view));
      choose.replaceChildren(...[["l", "Left"], ["r", "Right"]].map(([key, label]) => {
        const group = document.createElement("span");
        states.forEach((s, k) => {
          const b = document.createElement("button");
          b.textContent = s.name;
          b.className = k === Math.min(side[key], last) ? "on" : "";
          b.onclick = () => { side[key] = k; show(); };
          group.append(b);
        });
        const line = document.createElement("div");
        line.append(label, group);
        return line;
      }), (() => {
        const line = document.createElement("div"), group = document.createElement("span"), b = document.createElement("button");
        b.textContent = "Difference × 4";
        b.className = stage.classList.contains("diff") ? "on" : "";
        b.onclick = () => { stage.classList.toggle("diff"); show(); };
        group.style.marginLeft = 0;
        group.append(b);
        line.append(group);
        return line;
      })());
      place();
    };
    const move = (e) => {
      const r = stage.getBoundingClientRect();
      at = Math.max(0, Math.min(100, ((e.clientX - r.left) / r.width) * 100));
      place();
    };
    stage.onpointerdown = (e) => { stage.setPointerCapture(e.pointerId); move(e); };
    stage.onpointermove = (e) => { if (e.buttons) move(e); };
    stage.onkeydown = (e) => {
      const step = { ArrowLeft: -2, ArrowRight: 2 }[e.key];
      const turn = { ArrowUp: -1, ArrowDown: 1 }[e.key];
      if (step) at = Math.max(0, Math.min(100, at + step));
      if (turn) view = (view + turn + views.length) % views.length;
      if (step || turn) { e.preventDefault(); show(); }
    };
    thumbs.forEach((t, k) => { t.onclick = () => { view = k; show(); }; });
    show();
  }
  const make = (name, attributes, text) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const k in attributes) e.setAttribute(k, attributes[k]);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  for (const svg of document.querySelectorAll("svg[data-chart]")) {
    const chart = JSON.parse(svg.dataset.chart), layer = svg.querySelector(".hover");
    svg.onpointerleave = () => layer.replaceChildren();
    svg.onpointermove = (e) => {
      const r = svg.getBoundingClientRect(), width = svg.viewBox.baseVal.width;
      const x = ((e.clientX - r.left) / r.width) * width;
      const near = chart.series.filter((s) => s.points.length).map((s) => ({
        name: s.name,
        p: s.points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a)),
      }));
      if (!near.length) return;
      const at = near[0].p[0];
      const lines = [`${chart.x} ${near[0].p[2]}`, ...near.map((n) => `${n.name}: ${n.p[3]}${chart.unit ? " " + chart.unit : ""}`)];
      const w = 16 + 7 * Math.max(...lines.map((t) => t.length)), left = at + 10 + w > width ? at - 10 - w : at + 10;
      layer.replaceChildren(
        make("line", { x1: at, x2: at, y1: chart.top, y2: chart.bottom }),
        ...near.map((n) => make("circle", { cx: n.p[0], cy: n.p[1], r: 4 })),
        make("rect", { x: left, y: chart.top, width: w, height: 10 + 17 * lines.length, rx: 6 }),
        ...lines.map((t, k) => make("text", { x: left + 8, y: chart.top + 18 + 17 * k }, t)),
      );
    };
  }
})();
