// Zooming, and what lies under the pointer. Without it the page shows the whole run.
"use strict";
(() => {
  const chart = document.getElementById("chart");
  const wide = document.getElementById("wide");
  const slider = document.getElementById("zoom");
  const readout = document.getElementById("readout");
  const axis = document.getElementById("axis");
  const end = Number(chart.dataset.end) || 1;
  const zoomMax = Math.max(20, Math.min(400, end / 60));
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 172800, 432000, 864000, 2592000];
  let zoom = 1;

  const two = (number) => String(number).padStart(2, "0");
  const clock = (seconds, digits) => {
    const fixed = Number(seconds.toFixed(digits));
    const days = Math.floor(fixed / 86400);
    const left = (fixed % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
    return (days ? days + "d " : "") + two(Math.floor(fixed / 3600) % 24) + ":" + two(Math.floor(fixed / 60) % 60) + ":" + left;
  };
  const strip = () => document.querySelector(".lane:not([hidden]) .strip").getBoundingClientRect();

  const drawAxis = () => {
    const ticks = Math.max(3, (strip().width || 600) / 110);
    const step = steps.find((candidate) => end / candidate <= ticks) || steps[steps.length - 1];
    const marks = [];
    for (let seconds = 0; seconds <= end; seconds += step) {
      const left = (seconds / end) * 100 + "%";
      const line = document.createElementNS(axis.namespaceURI, "line");
      const text = document.createElementNS(axis.namespaceURI, "text");
      for (const [name, value] of [["x1", left], ["x2", left], ["y1", "0"], ["y2", "100%"], ["class", "grid"]]) line.setAttribute(name, value);
      for (const [name, value] of [["x", left], ["dx", "3"], ["y", "100%"], ["dy", "-5"], ["class", "tick"]]) text.setAttribute(name, value);
      text.textContent = clock(seconds, step < 1 ? 1 : 0);
      marks.push(line, text);
    }
    axis.replaceChildren(...marks);
  };

  // `anchor` is a place on the screen whose moment stays where it is.
  const setZoom = (wanted, anchor) => {
    const before = strip();
    const at = anchor === undefined ? chart.getBoundingClientRect().left + chart.clientWidth / 2 : anchor;
    const share = Math.min(1, Math.max(0, (at - before.left) / before.width));
    zoom = Math.min(zoomMax, Math.max(1, wanted));
    wide.style.setProperty("--zoom", zoom);
    slider.value = Math.round((Math.log(zoom) / Math.log(zoomMax)) * 100);
    const after = strip();
    chart.scrollLeft += after.left + share * after.width - at;
    drawAxis();
  };

  const titleOf = (element) => {
    const title = element.closest && element.closest("rect, line, use, path, text") && element.closest("rect, line, use, path, text").querySelector("title");
    return title ? title.textContent : "";
  };
  const show = (event) => {
    const area = strip();
    const share = (event.clientX - area.left) / area.width;
    if (share < 0 || share > 1) return;
    const seconds = share * end;
    const words = titleOf(event.target);
    readout.textContent = clock(seconds, zoom > 20 ? 1 : 0) + " (" + seconds.toFixed(zoom > 20 ? 2 : 0) + " s)" + (words ? ": " + words : "");
  };

  document.getElementById("controls").hidden = false;
  document.getElementById("zoom-in").addEventListener("click", () => setZoom(zoom * 1.6));
  document.getElementById("zoom-out").addEventListener("click", () => setZoom(zoom / 1.6));
  document.getElementById("zoom-all").addEventListener("click", () => setZoom(1));
  document.getElementById("troubled").addEventListener("change", (event) => wide.classList.toggle("only-troubled", event.target.checked));
  slider.addEventListener("input", () => setZoom(Math.pow(zoomMax, slider.value / 100)));
  chart.addEventListener("pointermove", show);
  chart.addEventListener("pointerdown", show);
  chart.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    setZoom(zoom * Math.exp(-event.deltaY / 200), event.clientX);
  }, { passive: false });
  chart.addEventListener("keydown", (event) => {
    if (event.key === "+" || event.key === "=") setZoom(zoom * 1.6);
    else if (event.key === "-") setZoom(zoom / 1.6);
    else if (event.key === "0") setZoom(1);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const mark = link && document.getElementById(link.getAttribute("href").slice(1));
    if (!mark) return;
    setZoom(Math.max(zoom, 8));
    mark.scrollIntoView({ block: "center", inline: "center" });
    readout.textContent = titleOf(mark);
  });
  window.addEventListener("resize", drawAxis);
  drawAxis();
})();
