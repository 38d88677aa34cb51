/** Upload of files, and the jobs that turn them into pyramids. */

import { address, ask, getJson, Problem, words, type Job } from "./api";
import { button, fill, h } from "./dom";
import { bytes } from "./format";
import { credentials } from "./session";

interface Watch {
  done: () => void;
}

/** Send files one after another; each has a line that shows how far it is. */
export async function uploadAll(files: Iterable<File>, list: HTMLElement, watch: Watch): Promise<void> {
  for (const file of files) await upload(file, list, watch);
}

class Line {
  readonly element = h("li", { class: "job" });
  private readonly name: HTMLElement;
  private readonly text = h("span", { class: "muted", role: "status" });
  private readonly bar = h("progress", { max: 1, value: 0 });
  private readonly stop: HTMLButtonElement;
  cancel: () => void = () => undefined;

  constructor(name: string) {
    this.name = h("strong", {}, name);
    this.stop = button({ label: `Cancel ${name}`, icon: "close", class: "tool small", press: () => this.cancel() });
    this.element.append(this.name, this.text, this.stop, this.bar);
  }

  show(text: string, share: number | null): void {
    this.text.textContent = text;
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
  }

  end(text: string, good: boolean): void {
    this.text.textContent = text;
    this.element.classList.add(good ? "good" : "bad");
    this.bar.remove();
    fill(this.stop, "×");
    this.stop.setAttribute("aria-label", "Remove this line");
    this.cancel = () => this.element.remove();
    if (good) setTimeout(() => this.element.remove(), 4000);
  }
}

async function upload(file: File, list: HTMLElement, watch: Watch): Promise<void> {
  const line = new Line(file.name);
  list.append(line.element);
  try {
    const job = await send(file, line);
    follow(job, line, watch);
  } catch (error) {
    line.end(words(error), false);
  }
}

/** XMLHttpRequest, because fetch tells nothing about how much has been sent. */
function send(file: File, line: Line): Promise<Job> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(`images?filename=${encodeURIComponent(file.name)}`));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(credentials())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) =>
      line.show(`sending ${bytes(event.loaded)} of ${bytes(file.size)}`, event.loaded / Math.max(1, file.size));
    request.onload = () => {
      let body: Record<string, unknown> = {};
      try {
        body = JSON.parse(request.responseText) as Record<string, unknown>;
      } catch {
        // the status below says enough
      }
      if (request.status === 202) resolve(body as unknown as Job);
      else reject(new Problem(request.status, String(body["detail"] ?? `refused with status ${request.status}`), body));
    };
    request.onerror = () => reject(new Problem(0, "The upload broke off: the server cannot be reached, or refused it."));
    request.onabort = () => reject(new Problem(0, "Cancelled."));
    line.cancel = () => request.abort();
    request.send(file);
  });
}

/** Show a job until it is over. */
function follow(job: Job, line: Line, watch: Watch): void {
  line.show("waiting", null);
  line.cancel = () => void ask(`jobs/${job.id}`, { method: "DELETE" }).catch(() => undefined);
  const events = new EventSource(address(`jobs/${job.id}/events`));
  const show = (now: Job): void => {
    if (now.state === "running") line.show(now.message || "building the pyramid", now.progress);
    if (now.state === "queued") line.show("waiting", null);
    if (["done", "failed", "cancelled"].includes(now.state)) {
      events.close();
      const good = now.state === "done";
      line.end(good ? `ready: ${now.images.join(", ")}` : now.message || now.state, good);
      watch.done();
    }
  };
  for (const state of ["queued", "running", "done", "failed", "cancelled"]) {
    events.addEventListener(state, (event) => show(JSON.parse((event as MessageEvent<string>).data) as Job));
  }
  // the browser reconnects by itself; a job that is gone ends the wait
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) line.end("the server no longer tells about this job", false);
  };
}

/** Lines for jobs that were running before this page was opened. */
export async function showRunning(list: HTMLElement, watch: Watch): Promise<void> {
  const jobs = await getJson<Job[]>("jobs");
  for (const job of jobs.filter((j) => j.kind === "ingest" && ["queued", "running"].includes(j.state))) {
    const line = new Line(job.source.split("/").at(-1) ?? job.id);
    list.append(line.element);
    follow(job, line, watch);
  }
}
