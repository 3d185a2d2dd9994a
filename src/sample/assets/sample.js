// The sample intranet's scripts: each part runs only on the page that has its elements.
"use strict";

const find = (id) => document.getElementById(id);
const base = new URL("./", location.href);

function mark(element, kind, text) {
  element.className = "mark " + kind;
  element.textContent = text;
}

function log(list, text, limit = 200) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  line.append(time, "  ", text);
  list.prepend(line);
  while (list.children.length > limit) list.lastChild.remove();
}

// Home: where do the links point, and did this page come through the proxy?
function home() {
  const inside = new URL(find("inside").textContent);
  // By the port: “localhost” and 127.0.0.1 are the same place under two names.
  find("how").textContent = inside.port === location.port
    ? "You are looking at it directly, without a proxy."
    : "You see it at " + location.origin + ", so your request came through a proxy.";
  for (const cell of document.querySelectorAll("[data-where]")) {
    const target = targetOf(cell.previousElementSibling.firstElementChild);
    const badge = document.createElement("span");
    if (target.host !== location.host) mark(badge, "bad", "leaves for " + target.host);
    else if (!target.pathname.startsWith(base.pathname)) mark(badge, "bad", "leaves the published path");
    else mark(badge, "good", "stays here");
    cell.append(badge);
  }
  for (const place of document.querySelectorAll("[data-base]")) place.textContent = base.href;
}

function targetOf(element) {
  if (element.href) return new URL(element.href);
  if (element.src) return new URL(element.src);
  const painted = getComputedStyle(element).backgroundImage.match(/url\("?(.*?)"?\)/);
  return new URL(painted ? painted[1] : "", location.href);
}

function cookies(place) {
  place.textContent = document.cookie || "(no cookie is visible to scripts)";
}

// WebSocket: text, binary, round-trip time, close code.
function websocket() {
  const url = new URL("ws", base);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  find("ws-url").textContent = url.href;
  const state = find("ws-state"), lines = find("ws-log"), toggle = find("ws-toggle");
  let socket, sentAt = [];

  function open() {
    sentAt = [];
    mark(state, "open", "connecting");
    // One from an earlier visit would prove nothing.
    for (const path of ["/", base.pathname]) document.cookie = "sample_ws=; Max-Age=0; Path=" + path;
    socket = new WebSocket(url, ["echo"]);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      mark(state, "good", "connected");
      toggle.textContent = "Close";
      find("ws-detail").textContent = "subprotocol: " + (socket.protocol || "none");
      const kept = document.cookie.includes("sample_ws=seen");
      find("ws-cookie").textContent = kept ? "it arrived" : "it did not arrive, so the proxy dropped it";
      send(find("ws-text").value);
    };
    socket.onmessage = (event) => {
      const took = (performance.now() - sentAt.shift()).toFixed(1) + " ms";
      const what = typeof event.data === "string" ? "“" + event.data + "”" : event.data.byteLength + " bytes";
      log(lines, "← " + what + " after " + took);
    };
    socket.onclose = (event) => {
      mark(state, event.wasClean ? "open" : "bad", event.wasClean ? "closed" : "lost");
      toggle.textContent = "Connect";
      log(lines, "closed, code " + event.code + (event.wasClean ? "" : ", without a close handshake"));
    };
  }
  function send(data) {
    if (socket.readyState !== WebSocket.OPEN) return;
    sentAt.push(performance.now());
    socket.send(data);
    log(lines, "→ " + (typeof data === "string" ? "“" + data + "”" : data.byteLength + " bytes"));
  }
  find("ws-form").onsubmit = (event) => { event.preventDefault(); send(find("ws-text").value); };
  find("ws-binary").onclick = () => send(new Uint8Array(65536).buffer);
  toggle.onclick = () => socket.readyState === WebSocket.OPEN ? socket.close(1000, "done") : open();
  open();
}

// Server-sent events: are they passed on as they come?
function events() {
  const state = find("sse-state"), lines = find("sse-log"), toggle = find("sse-toggle");
  let source, before, first, worst;

  function open() {
    before = first = undefined;
    worst = 0;
    mark(state, "open", "connecting");
    toggle.textContent = "Stop";
    source = new EventSource(new URL("events", base));
    source.onopen = () => { first = undefined; mark(state, "good", "connected"); };
    source.onerror = () => {
      const over = source.readyState === EventSource.CLOSED;
      mark(state, "bad", over ? "ended" : "reconnecting");
      if (over) toggle.textContent = "Start";
    };
    source.onmessage = (event) => show(JSON.parse(event.data), performance.now());
  }
  // Lateness is against the first event of this connection: clocks need not agree.
  function show(event, now) {
    if (first === undefined) first = now - event.sent_ms;
    const late = Math.max(0, now - first - event.sent_ms);
    worst = Math.max(worst, late);
    const gap = before === undefined ? "–" : Math.round(now - before) + " ms";
    before = now;
    find("sse-seq").textContent = event.seq;
    find("sse-gap").textContent = gap;
    find("sse-worst").textContent = Math.round(worst) + " ms";
    log(lines, "event " + event.seq + ", " + Math.round(late) + " ms late", 12);
  }
  toggle.onclick = () => {
    if (source.readyState === EventSource.CLOSED) return open();
    source.close();
    mark(state, "open", "stopped");
    toggle.textContent = "Start";
  };
  open();
}

// Upload: XMLHttpRequest, because fetch cannot report progress.
function upload() {
  const answer = find("upload-answer"), progress = find("upload-progress"), detail = find("upload-detail");
  const buttons = document.querySelectorAll("#upload button");

  function send(body) {
    const request = new XMLHttpRequest(), started = performance.now();
    const bar = progress.firstElementChild;
    progress.hidden = false;
    answer.hidden = true;
    buttons.forEach((button) => { button.disabled = true; });
    request.upload.onprogress = (event) => {
      bar.value = event.total ? 100 * event.loaded / event.total : 0;
      const seconds = (performance.now() - started) / 1000;
      detail.textContent = (event.loaded / 1048576).toFixed(1) + " MiB, " + (event.loaded / 1048576 / seconds).toFixed(1) + " MiB/s";
    };
    request.onload = () => show(request.responseText, request.status);
    request.onerror = () => show("The upload broke off before an answer came.", 0);
    request.onloadend = () => buttons.forEach((button) => { button.disabled = false; });
    request.open("PUT", new URL("upload", base));
    request.send(body);
  }
  function show(text, status) {
    answer.hidden = false;
    answer.textContent = (status ? "HTTP " + status + "\n" : "") + text;
  }
  const raw = find("upload-raw"), made = find("upload-made");
  raw.hidden = made.hidden = false;
  raw.onclick = () => {
    const file = find("file").files[0];
    if (file) send(file); else find("file").reportValidity();
  };
  made.onclick = () => send(new Blob(Array(100).fill(new Uint8Array(1048576))));
}

for (const place of document.querySelectorAll("[data-host]")) place.textContent = location.origin + location.pathname;
if (find("inside")) home();
if (find("script-cookies")) cookies(find("script-cookies"));
if (find("ws-form")) websocket();
if (find("sse-log")) events();
if (find("upload")) upload();
