// The form, the key, and the start of everything.
const FILES_MAX = 100;
const form = element("submit-form");
const files = element("files");
const keyForm = element("key-form");
let tellKeyGiven = () => {};
let given = new Promise((resolve) => { tellKeyGiven = resolve; });

const keyGiven = async () => sessionStorage.getItem(KEY) ?? given;

function askForKey(refusal) {
  const was = sessionStorage.getItem(KEY);
  if (was) write(element("key-why"), `That key was not taken: ${refusal.message}`);
  sessionStorage.removeItem(KEY);
  showLive("trouble", "A key is needed");
  element("forget").hidden = true;
  if (keyForm.hidden) {
    keyForm.hidden = false;
    element("key").focus();
  }
}

keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, element("key").value.trim());
  element("key").value = "";
  keyForm.hidden = true;
  element("forget").hidden = false;
  tellKeyGiven();
  given = new Promise((resolve) => { tellKeyGiven = resolve; });
});

element("forget").addEventListener("click", () => {
  sessionStorage.clear();
  location.reload();
});

function describeChosen() {
  const chosen = [...files.files];
  const size = chosen.reduce((sum, file) => sum + file.size, 0);
  const what = chosen.length === 1 ? chosen[0].name : plural(chosen.length, "file");
  write(element("chosen"), chosen.length ? `${what}, ${bytes(size)}` : "Each file becomes one job.");
  files.setCustomValidity(chosen.length > FILES_MAX ? `${FILES_MAX} files at a time: for more there is dynwork submit` : "");
}

files.addEventListener("change", describeChosen);
for (const [event, over] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
  files.addEventListener(event, () => files.parentElement.classList.toggle("over", over));
}

async function submitOne(file, iterations, priority) {
  const job = new Job(file);
  jobs.add(job);
  try {
    job.id = await submitFile(file, iterations, priority);
    job.show("queued", shortId(job.id));
    jobs.save();
  } catch (error) {
    job.show("unsent", why(error));
    write(element("refused"), `${file.name} was not submitted: ${why(error)}`);
  }
}

let sending = false;

// A button that is disabled loses the focus, and whoever uses the keyboard starts again at the top: it only says so.
function showSending(now) {
  sending = now;
  element("submit").setAttribute("aria-disabled", String(now));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (sending) return;
  const chosen = [...files.files];
  const [iterations, priority] = [element("iterations").valueAsNumber, element("priority").value]; // as 1e6 it is digits
  write(element("refused"), "");
  showSending(true);
  for (const file of chosen) await submitOne(file, iterations, priority);
  showSending(false);
  files.value = "";
  describeChosen();
});

element("forget").hidden = !sessionStorage.getItem(KEY);
jobs.restore();
jobs.watch();
follow();
