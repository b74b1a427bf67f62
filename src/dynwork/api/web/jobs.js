// The jobs that were submitted in this tab: one card each, looked at twice a second while they run.
const JOBS = "dynwork.jobs";
const JOBS_MAX = 200; // cards; the oldest that ended go first
const LOOKS_MAX = 20; // jobs looked at in one turn: of more, the oldest
const LOOK_MS = 500;
const ENDED = new Set(["succeeded", "dead", "cancelled", "gone", "unsent"]);

// What the tab keeps; of what this page did not write, nothing.
function keptJobs() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(JOBS) ?? "[]");
    return kept.filter((job) => typeof job?.id === "string" && typeof job.name === "string");
  } catch {
    return [];
  }
}

class Job {
  constructor({ name, size, id = null }) {
    Object.assign(this, { name, size, id, state: "sending" });
    this.card = copyOf("job-template");
    this.part = (selector) => this.card.querySelector(selector);
    write(this.part("h3"), name);
    this.part("h3").title = name;
    this.part("progress").setAttribute("aria-label", `Progress of ${name}`);
    this.part(".cancel").setAttribute("aria-label", `Cancel ${name}`);
    this.part(".copy").setAttribute("aria-label", `Copy hash of ${name}`);
    this.part(".requeue").setAttribute("aria-label", `Try ${name} again`);
    this.part(".cancel").addEventListener("click", () => this.attempt(() => this.cancel()));
    this.part(".copy").addEventListener("click", () => this.attempt(() => this.copy()));
    this.part(".requeue").addEventListener("click", () => this.attempt(() => this.requeue()));
    this.show(id ? "queued" : "sending", id ? shortId(id) : bytes(size));
  }

  get ended() {
    return ENDED.has(this.state);
  }

  async attempt(act) {
    try {
      await act();
    } catch (error) {
      write(this.part(".job-detail"), why(error));
    }
  }

  async look() {
    try {
      this.draw(await call("GET", `jobs/${this.id}`));
    } catch (error) {
      if (error.status === 404) this.show("gone", "The cluster does not know this job (any more), or it is not this key's.");
      else if (error instanceof Refusal && error.status < 500) write(this.part(".job-detail"), error.message);
      // else nobody answers just now, and the next turn asks again
    }
  }

  async cancel() {
    this.draw(await call("DELETE", `jobs/${this.id}`));
  }

  async copy() {
    await navigator.clipboard.writeText(this.part(".hash code").textContent);
    say(`The hash of ${this.name} was copied`);
  }

  async requeue() {
    const { job_id } = await call("POST", `jobs/${this.id}/requeue`);
    this.part(".requeue").disabled = true;
    jobs.add(new Job({ name: this.name, size: this.size, id: job_id }));
  }

  show(state, detail) {
    if (state !== this.state && ENDED.has(state)) say(`${this.name}: ${STATES[state]}`);
    this.state = this.card.dataset.state = state;
    badge(this.part(".badge"), state);
    write(this.part(".job-detail"), detail);
    const focused = this.card.contains(document.activeElement) ? document.activeElement : null;
    this.part(".cancel").hidden = this.ended || !this.id;
    this.part(".requeue").hidden = state !== "dead";
    if (focused?.hidden) this.part("h3").focus(); // else the keyboard would start again at the top
  }

  draw(job) {
    this.part("progress").value = job.percent;
    this.show(job.state, this.story(job));
    this.part(".hash").hidden = this.part(".copy").hidden = !job.hash;
    if (!navigator.clipboard) this.part(".copy").hidden = true; // only over TLS, and on this machine
    write(this.part(".hash code"), job.hash ?? "");
  }

  story(job) {
    const steps = `${short(job.done)} of ${short(job.iterations)} iteration${job.iterations === 1 ? "" : "s"}`;
    switch (job.state) {
      case "succeeded":
        return `${plural(job.iterations, "iteration")} in ${duration((Date.parse(job.completed_at) - Date.parse(job.created_at)) / 1000)}`;
      case "dead":
        return `${job.error?.detail ?? "It failed"} (after ${steps})`;
      case "cancelled":
        return `Cancelled after ${steps}`;
      default:
        return `${job.percent.toFixed(job.percent < 10 ? 1 : 0)} %, ${steps}${job.eta_s === null ? "" : `, ${duration(job.eta_s)} to go`}`;
    }
  }
}

const jobs = {
  all: [], // newest first

  add(job) {
    this.all.unshift(job);
    element("jobs").prepend(job.card);
    while (this.all.length > JOBS_MAX) {
      const index = this.all.findLastIndex((old) => old.ended);
      if (index < 0) break;
      this.all.splice(index, 1)[0].card.remove();
    }
    this.save();
  },

  save() {
    element("no-jobs").hidden = this.all.length > 0;
    const kept = this.all.filter((job) => job.id).map(({ name, size, id }) => ({ name, size, id }));
    sessionStorage.setItem(JOBS, JSON.stringify(kept));
  },

  restore() {
    for (const kept of keptJobs().reverse()) this.add(new Job(kept));
  },

  // The feed told of these: a card that is not looked at in every turn hears of its end here.
  async heard(results) {
    const ids = new Set(results.map((result) => result.job_id));
    for (const job of this.all.filter((one) => ids.has(one.id) && !one.ended)) await job.look();
  },

  async watch() {
    for (;;) {
      const running = this.all.filter((job) => job.id && !job.ended).slice(-LOOKS_MAX);
      for (const job of running) await job.look();
      await pause(LOOK_MS);
    }
  },
};
