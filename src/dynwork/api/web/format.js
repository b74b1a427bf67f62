// How values are written for people, and the small tools for the page's elements.
const STATES = {
  sending: "Sending", queued: "Waiting", leased: "Running", succeeded: "Done", dead: "Failed", cancelled: "Cancelled",
  gone: "Not found", unsent: "Not sent", ready: "Ready", draining: "Draining", lost: "Lost",
};
const PLAIN = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const element = (id) => document.getElementById(id);
const copyOf = (id) => element(id).content.firstElementChild.cloneNode(true);
const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
const short = (number) => (number < 10_000 ? PLAIN.format(number) : SHORT.format(number));
const shortId = (id) => `…${id.slice(-12)}`;
const plural = (count, noun) => `${PLAIN.format(count)} ${noun}${count === 1 ? "" : "s"}`;

function bytes(size) {
  return size < 1000 ? plural(size, "byte") : `${SHORT.format(size)}B`.replace("KB", " KB").replace("MB", " MB");
}

// A number and its unit stay on one line.
function duration(seconds) {
  if (seconds < 1) return "under\u00a01\u00a0s";
  if (seconds < 90) return `${Math.round(seconds)}\u00a0s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}\u00a0min`;
  return seconds < 129_600 ? `${Math.round(seconds / 3600)}\u00a0h` : `${PLAIN.format(Math.round(seconds / 86_400))}\u00a0days`;
}

// Writes only what changed: an element that is written anew loses the reader's selection.
function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function badge(target, state) {
  target.dataset.state = state;
  write(target, STATES[state] ?? state);
}

const say = (text) => write(element("news"), text);
