// The queue, the fleet and the latest results, live.
const RESULTS_MAX = 10;
const WORKERS_MAX = 12; // shown; a fleet may have thousands
const WAIT_MS_MAX = 15_000;

function drawStats(stats) {
  write(element("queued"), short(stats.queued));
  write(element("leased"), short(stats.leased));
  write(element("backlog"), stats.backlog_s === null ? "unknown" : stats.backlog_steps === 0 ? "none" : duration(stats.backlog_s));
  write(element("rate"), short(Math.round(stats.completed_per_s * 10) / 10));
  const ends = [[stats.succeeded, "done"], [stats.dead, "failed"], [stats.cancelled, "cancelled"]];
  write(element("totals"), ends.map(([count, end]) => `${PLAIN.format(count)} ${end}`).join(" · "));
}

function drawFleet(fleet) {
  const here = fleet.workers.filter((worker) => worker.state !== "lost");
  const more = here.length > WORKERS_MAX ? `, the first ${WORKERS_MAX} of them below` : "";
  write(element("decision"), `${plural(here.length, "worker")}${more}. ${fleet.decision ?? ""}`);
  fill(element("workers"), here.slice(0, WORKERS_MAX), (row, worker) => {
    const path = worker.path ? `, ${worker.path}` : "";
    drawRow(row, worker.state, shortId(worker.worker_id), `${plural(worker.leases, "job")}, ${short(worker.capacity)} steps/s${path}`);
    row.title = worker.worker_id;
  });
}

// Keeps the rows that are there: no more is made anew than has to be.
function fill(list, items, draw) {
  while (list.children.length > items.length) list.lastElementChild.remove();
  while (list.children.length < items.length) list.append(copyOf("row-template"));
  items.forEach((item, index) => draw(list.children[index], item));
}

function drawRow(row, state, code, detail) {
  badge(row.querySelector(".badge"), state);
  write(row.querySelector("code"), code);
  write(row.querySelector(".row-detail"), detail);
}

const latest = {
  results: [], // newest first

  draw(results) {
    this.results = results.slice(0, RESULTS_MAX);
    element("no-results").hidden = this.results.length > 0;
    fill(element("results"), this.results, (row, result) => {
      const at = new Date(result.completed_at).toLocaleTimeString();
      drawRow(row, result.state ?? "succeeded", result.hash ?? result.error?.detail ?? shortId(result.job_id), at);
      row.title = `${result.job_id}, ${plural(result.iterations, "iteration")}`;
    });
  },

  add(newestLast) {
    const told = new Set(newestLast.map((result) => result.job_id));
    this.draw([...newestLast.toReversed(), ...this.results.filter((result) => !told.has(result.job_id))]);
  },
};

function showLive(state, text) {
  element("live").dataset.state = state;
  write(element("live"), text);
}

async function onEvent({ event, data }) {
  if (event === "trouble") return showLive("trouble", "The cluster does not answer");
  showLive("live", "Live");
  if (event === "stats") drawStats(data);
  if (event === "fleet") drawFleet(data);
  if (event !== "results") return undefined;
  latest.add(data);
  return jobs.heard(data);
}

// A hidden tab holds no connection: a browser has six for one host, and as many tabs would leave none for calls.
function shown() {
  return new Promise((resolve) => {
    const look = () => document.hidden || resolve(document.removeEventListener("visibilitychange", look));
    document.addEventListener("visibilitychange", look);
    look();
  });
}

let connection = new AbortController();

async function follow() {
  for (let failures = 0; ; ) {
    await shown();
    connection = new AbortController();
    try {
      let isFirst = true;
      for await (const event of events(connection.signal)) {
        failures = 0;
        // Only now: what ends after this comes by the stream.
        if (isFirst) latest.draw(await call("POST", `pullCompleted?top=${RESULTS_MAX}`));
        isFirst = false;
        await onEvent(event);
      }
    } catch (error) {
      if (error.status === 401) await keyGiven();
      else if (error.status === 403) showLive("trouble", "This key may not look: it lacks the right read");
      else if (!document.hidden) showLive("trouble", "Disconnected, trying again");
    }
    if (!connection.signal.aborted) await pause(Math.min(WAIT_MS_MAX, 1000 * 2 ** failures++) * (0.5 + Math.random() / 2));
  }
}

document.addEventListener("visibilitychange", () => document.hidden && connection.abort());
