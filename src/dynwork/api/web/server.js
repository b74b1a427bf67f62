// Calls to the API, with the key that is kept in this tab, and its stream of events.
const KEY = "dynwork.key";
const SUBMIT_TRIES_MAX = 5;
const SILENT_MS_MAX = 40_000; // the server says something every 15 s

class Refusal extends Error {
  constructor(status, problem, retryAfterS) {
    super(problem.detail ?? `the server answered ${status}`);
    Object.assign(this, { status, code: problem.code, retryAfterS });
  }
}

// A header holds bytes: of a key that is more than ASCII those of its UTF-8, as every client sends them.
const bytesOf = (text) => String.fromCharCode(...new TextEncoder().encode(text));
const headers = (key, more = {}) => (key ? { Authorization: `Bearer ${bytesOf(key)}`, ...more } : more);
const why = (error) => (error instanceof TypeError ? "the API cannot be reached" : error.message);

// Throws Refusal for an answer that is none of success, TypeError when nobody answers.
async function request(method, path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const answer = await fetch(path, { method, cache: "no-store", ...options, headers: headers(key, options.headers) });
  if (answer.ok) return answer;
  const refusal = new Refusal(answer.status, await answer.json().catch(() => ({})), Number(answer.headers.get("Retry-After")));
  if (refusal.status === 401 && key === sessionStorage.getItem(KEY)) askForKey(refusal); // else there is another by now
  throw refusal;
}

const call = async (method, path, options) => (await request(method, path, options)).json();

// The key names this submission: however often it is sent, it is one job.
function submissionKey() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// To fetch, a file that changed after it was chosen is as good as nobody who answers.
async function readable(file) {
  await file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Error("it cannot be read, or has changed since it was chosen: choose it again");
  });
}

async function submitFile(file, iterations, priority) {
  const options = { body: file, headers: { "Idempotency-Key": submissionKey(), "Content-Type": "application/octet-stream" } };
  for (let tries = 1; ; tries++) {
    try {
      return (await call("PUT", `enqueue?iterations=${iterations}&priority=${priority}`, options)).job_id;
    } catch (error) {
      if (error instanceof TypeError) await readable(file);
      const passing = error instanceof TypeError || error.status === 429 || error.status === 503;
      if (!passing || tries === SUBMIT_TRIES_MAX) throw error;
      await pause(1000 * (error.retryAfterS || 2 ** (tries - 1)) * (1 + Math.random() / 2));
    }
  }
}

// Yields {event, data} until the stream ends, or `cancel` is aborted, or the server is silent for too long.
async function* events(cancel) {
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  let silence = setTimeout(stop, SILENT_MS_MAX);
  cancel.addEventListener("abort", stop);
  try {
    const answer = await request("GET", "events", { signal: stopped.signal });
    let rest = "";
    for await (const piece of pieces(answer.body.pipeThrough(new TextDecoderStream()))) {
      clearTimeout(silence);
      silence = setTimeout(stop, SILENT_MS_MAX);
      const blocks = (rest + piece).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = /^event: (.*)$/m.exec(block)?.[1];
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (event && data) yield { event, data: JSON.parse(data) };
      }
    }
  } finally {
    clearTimeout(silence);
    cancel.removeEventListener("abort", stop);
    stop();
  }
}

// Not every browser can iterate over a stream itself.
async function* pieces(stream) {
  const reader = stream.getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
}
