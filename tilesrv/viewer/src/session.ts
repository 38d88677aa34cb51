/** Who is signed in. Servers that know their people want a token with every request. */

import { h } from "./dom";

const DATABASE = "bigimage-session";
const TABLE = "session";
const KEY = "token";
/** What the page is told when the server asks who it is. */
export const UNKNOWN = "bigimage:unknown";
/** What the page is told when it knows again who asks. */
export const KNOWN = "bigimage:known";

let token: string | null = null;

/** Headers that say who asks. */
export function credentials(): Record<string, string> {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export function isSignedIn(): boolean {
  return token !== null;
}

/** Find out who is signed in, before anything is asked. */
export async function startSession(): Promise<void> {
  token = await read().catch(() => null);
  if (token) await startWorker();
  addEventListener(UNKNOWN, () => askWho());
}

/** Forget the token. */
export async function signOut(): Promise<void> {
  await write(null);
  navigator.serviceWorker?.controller?.postMessage("changed");
  location.reload();
}

/** Tiles and event streams carry no headers of ours; a service worker adds them. It needs HTTPS, or this machine. */
async function startWorker(): Promise<void> {
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!workers) return;
  await workers.register("sw.js");
  await workers.ready;
  if (!workers.controller) await new Promise((resolve) => workers.addEventListener("controllerchange", resolve, { once: true }));
  workers.controller?.postMessage("changed");
}

async function signIn(entered: string): Promise<string | null> {
  const answer = await fetch("images?limit=1", { headers: { Authorization: `Bearer ${entered}` } }).catch(() => null);
  if (!answer) return "The server cannot be reached.";
  if (answer.status === 401) return "Nobody has this token, or it has expired.";
  if (!answer.ok) return `The server answers ${answer.status}.`;
  await write(entered);
  return null;
}

/** Ask for a token, once however many requests were refused. */
function askWho(): void {
  if (document.querySelector("dialog.who")) return;
  const entry = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true, "aria-label": "Token" });
  const problem = h("p", { class: "problem", role: "alert" });
  const form = h("form", { class: "sheet-body" },
    h("p", {}, token ? "Your token has expired, or was revoked." : "This server knows its people. Your administrator gives you a token."),
    !window.isSecureContext && h("p", { class: "problem" }, "Pictures of signed-in people need HTTPS, or a server on this machine."),
    entry, problem, h("div", { class: "row end" }, h("button", { type: "submit", class: "primary" }, "Sign in")));
  const dialog = h("dialog", { class: "sheet who", "aria-label": "Sign in" }, h("header", {}, h("h2", {}, "Sign in")), form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void signIn(entry.value.trim()).then((wrong) => {
      if (wrong) problem.textContent = wrong;
      else if (token === null) location.reload();
      else void goOn(entry.value.trim(), dialog);
    });
  });
  dialog.addEventListener("close", () => dialog.remove()); // the next refusal asks again
  document.body.append(dialog);
  dialog.showModal();
}

/** The token was another one before: what is being drawn stays, and what waits is sent. */
async function goOn(entered: string, dialog: HTMLDialogElement): Promise<void> {
  token = entered;
  await startWorker();
  dialog.close();
  dispatchEvent(new Event(KNOWN));
}

function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE);
    opening.onerror = () => reject(opening.error ?? new Error("the browser's database failed"));
    opening.onsuccess = () => resolve(opening.result.transaction(TABLE, mode).objectStore(TABLE));
  });
}

async function read(): Promise<string | null> {
  const reading = (await store("readonly")).get(KEY);
  return new Promise((resolve) => {
    reading.onsuccess = () => resolve((reading.result as string | undefined) ?? null);
    reading.onerror = () => resolve(null);
  });
}

async function write(value: string | null): Promise<void> {
  const table = await store("readwrite");
  const writing = value === null ? table.delete(KEY) : table.put(value, KEY);
  await new Promise((resolve) => (writing.onsuccess = resolve));
}
